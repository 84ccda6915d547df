//! `info`: an answer about a picture instead of a picture.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::fields::Fields;
use super::flag::{Flag, Sets};
use super::{Action, schema};
use crate::Result;

/// Facts and colours of a picture; yields no picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inquiry {
    /// The most dominant colours that are named.
    #[serde(default = "Inquiry::colors")]
    pub colors: u8,
    /// Whether the answer has the place where the picture was taken, if its EXIF has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gps: bool,
}

pub(super) const INFO: Definition = Definition {
    name: "info",
    about: "No picture but an answer: dimensions, format, EXIF, colours, BlurHash, ThumbHash, a perceptual hash.",
    fields: |_| {
        vec![
            ("colors", schema::whole(1, 16, "Dominant colours at the most; 5 unless said")),
            ("gps", schema::flag(false, "Whether the place where it was taken is told")),
        ]
    },
    required: &[],
    parse: |fields, _| Ok(Action::Info(Inquiry::parse(fields)?)),
    flags: &[
        Flag::new(
            "info",
            "",
            Sets::Nothing,
            "Make no picture but tell of it in JSON: size, EXIF, colours, BlurHash, ThumbHash, …",
        ),
        Flag::new(
            "colors",
            "N",
            Sets::Number("colors"),
            "How many dominant colours the --info before it names, 1 to 16 [default: 5]",
        )
        .of(&["info"]),
        Flag::new("gps", "", Sets::To("gps", true), "Let the --info before it tell where the picture was taken")
            .of(&["info"]),
    ],
};

impl Inquiry {
    fn parse(fields: &mut Fields) -> Result<Self> {
        Ok(Self {
            colors: fields.number("colors", 1, 16, "the limit")?.map_or_else(Self::colors, |n| n as u8),
            gps: fields.flag("gps")?.unwrap_or_default(),
        })
    }

    fn colors() -> u8 {
        5
    }
}

impl Default for Inquiry {
    fn default() -> Self {
        Self { colors: Self::colors(), gps: false }
    }
}
