//! `info`: what is asked of a picture instead of another picture.

use serde::{Deserialize, Serialize};

use super::fields::Fields;
use crate::Result;

/// Facts and colours of a picture; yields no picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inquiry {
    /// How many dominant colours are named at the most.
    #[serde(default = "Inquiry::colors")]
    pub colors: u8,
    /// Whether the place where the picture was taken is told, if its EXIF has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gps: bool,
}

impl Inquiry {
    pub(super) fn parse(fields: &mut Fields) -> Result<Self> {
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
