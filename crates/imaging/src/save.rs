//! How an output is written: its format, its coding and the metadata that it keeps. The same for every operation.
//!
//! Operations read it from a request, codecs follow it.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::Format;

/// The effort if the operation gives none.
pub(crate) const DEFAULT_EFFORT: u8 = 3;

/// How an output is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Save {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
    /// The most bytes that the output may have; quality gives way first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Every pixel as it is. With a `quality` below 100, WebP's near-lossless coding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lossless: Option<bool>,
    /// A JPEG that appears whole at once, and sharpens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progressive: Option<bool>,
    /// 1 (quick) to 10 (small).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<u8>,
    /// A JPEG's chroma; unset: 4:2:0, from quality 95 on 4:4:4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subsampling: Option<Chroma>,
    /// The metadata of the source that the output keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<Keep>,
    /// Only the first frame of an animation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub still: Option<bool>,
    /// A safe file stem for the output: `[A-Za-z0-9._-]`, at most 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// How much an output may lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quality {
    /// 1 to 100.
    Of(u8),
    /// The lowest quality that looks the same to the eye.
    Auto,
}

/// How many luma samples share one chroma sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chroma {
    #[serde(rename = "4:4:4")]
    Full,
    #[serde(rename = "4:2:2")]
    Half,
    #[serde(rename = "4:2:0")]
    Quarter,
}

/// A kind of metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// The colour profile; the pixels then stay in its colours.
    Icc,
    /// All of EXIF, places too, but orientation, thumbnails and maker notes.
    Exif,
    /// Of EXIF and XMP, only the artist and the copyright.
    Copyright,
}

impl Serialize for Quality {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Of(quality) => serializer.serialize_u8(*quality),
            Self::Auto => serializer.serialize_str("auto"),
        }
    }
}

impl<'de> Deserialize<'de> for Quality {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(word) if word == "auto" => Ok(Self::Auto),
            Value::Number(number) => number
                .as_u64()
                .filter(|number| (1..=100).contains(number))
                .map(|number| Self::Of(number as u8))
                .ok_or_else(|| D::Error::custom("a quality is 1 to 100")),
            _ => Err(D::Error::custom("a quality is 1 to 100 or \"auto\"")),
        }
    }
}

impl Save {
    pub(crate) fn keeps(&self, what: Keep) -> bool {
        self.keep.contains(&what)
    }
}
