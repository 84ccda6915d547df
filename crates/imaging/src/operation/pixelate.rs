//! `pixelate`: squares of one colour.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::flag::{Flag, Sets};
use super::{Action, schema};

/// Squares of one colour each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pixelate {
    /// Pixels a side.
    pub size: u32,
}

pub(super) const PIXELATE: Definition = Definition {
    name: "pixelate",
    about: "In squares of one colour.",
    fields: |limits| vec![("size", schema::side(limits, "Pixels a side"))],
    required: &["size"],
    parse: |fields, limits| {
        let size = fields.side("size", limits)?;
        Ok(Action::Pixelate(Pixelate { size: fields.required("size", size) }))
    },
    flags: &[Flag::new("pixelate", "PX", Sets::Number("size"), "Coarsen into squares of that many pixels a side")],
};
