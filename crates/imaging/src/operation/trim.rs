//! `trim`: the picture without its border.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::fields::Fields;
use super::flag::{Flag, Sets};
use super::{Action, schema};
use crate::Result;

const MAX_LEVEL: u64 = 255;

/// Cuts away a border of one colour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trim {
    /// How far a channel may be from the border's colour, in steps of 255.
    pub threshold: u8,
    /// RGBA; unset: the colour that most corners share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<[u8; 4]>,
}

pub(super) const TRIM: Definition = Definition {
    name: "trim",
    about: "Without its border of one colour.",
    fields: |_| {
        vec![
            ("threshold", schema::whole(0, MAX_LEVEL, "How far from the border's colour is still border")),
            ("color", schema::color("The border's colour; unset: what most corners share")),
        ]
    },
    required: &[],
    parse: |fields, _| Ok(Action::Trim(Trim::parse(fields)?)),
    flags: &[Flag::new("trim", "", Sets::Nothing, "Cut away a border of one colour")],
};

impl Trim {
    fn parse(fields: &mut Fields) -> Result<Self> {
        let threshold = fields.number("threshold", 0, MAX_LEVEL, "the limit")?.unwrap_or(10) as u8;
        Ok(Self { threshold, color: fields.color("color")? })
    }
}
