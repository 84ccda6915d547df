//! The aspect ratio that `crop` and `pad` take.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::fields::{Fields, invalid, shown};
use crate::Result;

/// The largest number in an aspect ratio such as 16:9.
const MAX_RATIO: u64 = 1000;

/// Width and height in proportion, as in 16:9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Aspect(pub u32, pub u32);

impl Aspect {
    pub(crate) fn ratio(self) -> f64 {
        f64::from(self.0) / f64::from(self.1)
    }
}

impl TryFrom<String> for Aspect {
    type Error = &'static str;

    fn try_from(text: String) -> std::result::Result<Self, Self::Error> {
        let side = |text: &str| text.trim().parse().ok().filter(|&n| (1..=MAX_RATIO as u32).contains(&n));
        let sides = text.split_once(':').and_then(|(width, height)| Some(Self(side(width)?, side(height)?)));
        sides.ok_or("not an aspect")
    }
}

impl From<Aspect> for String {
    fn from(Aspect(width, height): Aspect) -> Self {
        format!("{width}:{height}")
    }
}

pub(super) fn schema() -> Value {
    json!({"type": "string", "pattern": "^[0-9]{1,4}:[0-9]{1,4}$", "description": "Width and height, such as 16:9"})
}

/// Takes the field `aspect`.
pub(super) fn parse(fields: &mut Fields) -> Result<Option<Aspect>> {
    let Some(value) = fields.take("aspect") else { return Ok(None) };
    let text = shown(&value);
    serde_json::from_value(value).map(Some).map_err(|_| {
        let path = &fields.path;
        invalid(format!("{path}.aspect: {text} is not two whole numbers from 1 to {MAX_RATIO}, such as \"16:9\""))
    })
}
