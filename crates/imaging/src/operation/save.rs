//! How an output is written: the format and its coding, the same fields for every operation.
//!
//! A field that the named `format` cannot follow is refused by name; while `format` is left out, the fields are advice,
//! and the format that the source leads to follows those it can. `keep` is always advice: metadata stays where the
//! format has a place for it.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::fields::{Fields, clipped, invalid, shown};
use crate::{Format, Result};

const MAX_NAME_CHARS: usize = 64;
/// Where `effort` is left out.
pub(crate) const DEFAULT_EFFORT: u8 = 3;
const MAX_EFFORT: u64 = 10;

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
    /// What of the source's metadata stays.
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
    /// As little as looks the same to the eye.
    Auto,
}

/// How many luma samples share one of chroma.
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
    /// Of EXIF and XMP, only who made the picture and whose it is.
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
    /// The fields that every output has.
    pub(super) fn parse(fields: &mut Fields) -> Result<Self> {
        let save = Self::of_convert(fields)?;
        Ok(Self { name: name(fields)?, ..save })
    }

    /// The fields of a `convert` inside a pipeline, which has no file of its own to name.
    pub(super) fn of_convert(fields: &mut Fields) -> Result<Self> {
        let save = Self {
            format: format(fields)?,
            quality: quality(fields)?,
            max_bytes: fields.number("max_bytes", 1, u64::from(u32::MAX), "the limit")?,
            lossless: fields.flag("lossless")?,
            progressive: fields.flag("progressive")?,
            effort: fields.number("effort", 1, MAX_EFFORT, "the limit")?.map(|n| n as u8),
            subsampling: fields.choice("subsampling", "4:4:4, 4:2:2, 4:2:0")?,
            keep: keep(fields)?,
            still: fields.flag("still")?,
            name: None,
        };
        save.check(&fields.path)?;
        Ok(save)
    }

    /// What is unset here is as in `other`.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            format: self.format.or(other.format),
            quality: self.quality.or(other.quality),
            max_bytes: self.max_bytes.or(other.max_bytes),
            lossless: self.lossless.or(other.lossless),
            progressive: self.progressive.or(other.progressive),
            effort: self.effort.or(other.effort),
            subsampling: self.subsampling.or(other.subsampling),
            keep: if self.keep.is_empty() { other.keep } else { self.keep },
            still: self.still.or(other.still),
            name: self.name.or(other.name),
        }
    }

    /// Whether the named format can do what is asked of it.
    ///
    /// # Errors
    /// `invalid-operation`, naming the field and the formats that it is for.
    pub(super) fn check(&self, path: &str) -> Result<()> {
        use Format::{Avif, Gif, Jpeg, Png, Tiff, WebP};
        let Some(format) = self.format else { return Ok(()) };
        let refuse = |field: &str, formats: &[Format]| {
            let names: Vec<&str> = formats.iter().map(|format| format.name()).collect();
            let colon = if field.contains(':') { "" } else { ":" };
            Err(invalid(format!("{path}.{field}{colon} is not for {}, only for {}", format.name(), names.join(", "))))
        };
        let searchable = [Jpeg, WebP, Avif];
        for (asked, field, formats) in [
            (self.quality == Some(Quality::Auto), "quality", &searchable[..]),
            (self.quality.is_some(), "quality", &[Jpeg, Png, WebP, Avif, Gif]),
            (self.lossless == Some(true), "lossless", &[Png, WebP, Tiff, Format::Bmp, Format::Qoi]),
            (self.progressive == Some(true), "progressive", &[Jpeg]),
            (self.effort.is_some(), "effort", &[Jpeg, Png, WebP, Avif, Tiff]),
            (self.subsampling.is_some(), "subsampling", &[Jpeg]),
        ] {
            if asked && !formats.contains(&format) {
                let is_auto = field == "quality" && self.quality == Some(Quality::Auto);
                return refuse(if is_auto { "quality: `auto`" } else { field }, formats);
            }
        }
        if self.lossless == Some(true) {
            match self.quality {
                Some(Quality::Auto) => {
                    return Err(invalid(format!("{path}.quality: `auto` and `lossless` exclude each other")));
                }
                Some(Quality::Of(_)) if format == Png => {
                    return Err(invalid(format!("{path}.quality: of png is a number of colours, and not lossless")));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn keeps(&self, what: Keep) -> bool {
        self.keep.contains(&what)
    }
}

fn format(fields: &mut Fields) -> Result<Option<Format>> {
    let Some(name) = fields.string("format")? else { return Ok(None) };
    let known = Format::ALL.into_iter().filter(|format| format.is_writable());
    let found = match name.as_str() {
        "jpg" => Some(Format::Jpeg),
        "tif" => Some(Format::Tiff),
        name => known.clone().find(|format| format.name() == name),
    };
    found.map(Some).ok_or_else(|| {
        let known: Vec<&str> = known.map(Format::name).collect();
        let (path, name) = (&fields.path, clipped(&name));
        invalid(format!("{path}.format: `{name}` cannot be written; known: {}", known.join(", ")))
    })
}

fn quality(fields: &mut Fields) -> Result<Option<Quality>> {
    let Some(value) = fields.take("quality") else { return Ok(None) };
    match &value {
        Value::String(word) if word == "auto" => Ok(Some(Quality::Auto)),
        Value::String(_) => Err(invalid(format!(
            "{}.quality: {} is neither a number from 1 to 100 nor \"auto\"",
            fields.path,
            shown(&value)
        ))),
        number => {
            let number = super::fields::whole(number, &format!("{}.quality", fields.path), 1, 100, "the limit")?;
            Ok(Some(Quality::Of(number as u8)))
        }
    }
}

fn keep(fields: &mut Fields) -> Result<Vec<Keep>> {
    let Some(value) = fields.take("keep") else { return Ok(Vec::new()) };
    let entries = match &value {
        Value::Array(entries) => entries.clone(),
        Value::String(_) => vec![value.clone()],
        other => return Err(invalid(format!("{}.keep: {} is not a list", fields.path, shown(other)))),
    };
    let mut kept = Vec::new();
    for entry in entries {
        let said = shown(&entry);
        let one: Keep = serde_json::from_value(entry)
            .map_err(|_| invalid(format!("{}.keep: {said} is unknown; known: icc, exif, copyright", fields.path)))?;
        if !kept.contains(&one) {
            kept.push(one);
        }
    }
    Ok(kept)
}

fn name(fields: &mut Fields) -> Result<Option<String>> {
    let Some(name) = fields.string("name")? else { return Ok(None) };
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    // A leading dot would hide the file, and `..` climbs.
    if name.is_empty() || name.len() > MAX_NAME_CHARS || name.starts_with('.') || !name.chars().all(safe) {
        return Err(invalid(format!(
            "{}.name: `{}` is not a file stem of 1 to {MAX_NAME_CHARS} characters \
             A-Z a-z 0-9 . _ - that starts without a dot",
            fields.path,
            clipped(&name)
        )));
    }
    Ok(Some(name))
}
