//! Lengths that may depend on the picture.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::shown;

/// Pixels, or a share of the picture's width, written `"5%"`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "Value", try_from = "Value")]
pub enum Length {
    Pixels(u32),
    /// In percent.
    Share(f32),
}

impl Length {
    /// The length in pixels on a picture of this width.
    pub(crate) fn pixels(self, width: u32) -> f32 {
        match self {
            Self::Pixels(pixels) => pixels as f32,
            Self::Share(percent) => percent / 100.0 * width as f32,
        }
    }

    /// The share that a text such as `"5%"` gives.
    pub(crate) fn share(text: &str) -> Option<Self> {
        let percent: f32 = text.strip_suffix('%')?.trim().parse().ok()?;
        (percent > 0.0 && percent <= 100.0).then_some(Self::Share(percent))
    }
}

impl From<Length> for Value {
    fn from(length: Length) -> Self {
        match length {
            Length::Pixels(pixels) => pixels.into(),
            Length::Share(percent) => format!("{percent}%").into(),
        }
    }
}

impl TryFrom<Value> for Length {
    type Error = String;

    fn try_from(value: Value) -> std::result::Result<Self, String> {
        let pixels = value.as_u64().and_then(|pixels| u32::try_from(pixels).ok()).map(Self::Pixels);
        let length = pixels.or_else(|| value.as_str().and_then(Self::share));
        length.ok_or_else(|| format!("{} is neither pixels nor a share like \"5%\"", shown(&value)))
    }
}
