//! `flatten`: a background behind transparent pixels.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::fields::{Fields, invalid};
use super::flag::{Flag, Sets};
use super::{Action, schema};
use crate::Result;

/// A background behind transparent and half-transparent pixels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flatten {
    pub background: [u8; 3],
}

pub(super) const FLATTEN: Definition = Definition {
    name: "flatten",
    about: "Over a background, where it can be seen through.",
    fields: |_| vec![("background", schema::color("Opaque; white unless said"))],
    required: &[],
    parse: |fields, _| Ok(Action::Flatten(Flatten::parse(fields)?)),
    flags: &[
        Flag::new("flatten", "", Sets::Nothing, "Lay what can be seen through over a --background [default: white]"),
        Flag::new(
            "background",
            "COLOR",
            Sets::Text("background"),
            "What shows around the picture in the operation before it, with --flatten through it [default: transparent \
             where there is alpha, else white]",
        )
        .of(&["resize", "thumbnail", "rotate", "pad", "round", "flatten"]),
    ],
};

impl Flatten {
    fn parse(fields: &mut Fields) -> Result<Self> {
        match fields.color("background")?.unwrap_or([255; 4]) {
            [r, g, b, 255] => Ok(Self { background: [r, g, b] }),
            [.., alpha] => {
                let path = &fields.path;
                Err(invalid(format!("{path}.background: an alpha of {alpha} would not cover what is behind it")))
            }
        }
    }
}
