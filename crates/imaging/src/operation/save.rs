//! The fields of every operation that say how its output is written, made into a [`Save`].
//!
//! A field that the named `format` cannot follow is refused by name; while `format` is left out, the fields are advice,
//! and the format that the source leads to follows those it can. `keep` is always advice: metadata stays where the
//! format has a place for it.

use serde_json::{Value, json};

use super::fields::{Fields, clipped, invalid, shown};
use super::schema;
use crate::save::{Keep, Quality, Save};
use crate::{Format, Result};

const MAX_NAME_CHARS: usize = 64;
const MAX_EFFORT: u64 = 10;

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

    /// The schemas of the fields that every output has.
    pub(super) fn schema() -> Vec<(&'static str, Value)> {
        vec![
            (
                "format",
                schema::choice(
                    "jpeg, jpg, png, webp, gif, bmp, tiff, tif, avif, qoi",
                    "Unset: the source's own where it is written",
                ),
            ),
            (
                "quality",
                json!({"oneOf": [{"type": "integer", "minimum": 1, "maximum": 100}, {"const": "auto"}],
                    "description": "Unset: the format's usual, or the source's own where a JPEG keeps its size. `auto`: the \
                        lowest that looks the same"}),
            ),
            ("max_bytes", schema::whole(1, u32::MAX.into(), "The most bytes; quality gives way to it")),
            ("lossless", schema::flag(false, "Of WebP; PNG, TIFF, BMP and QOI are")),
            ("progressive", schema::flag(false, "A JPEG that appears whole at once, and sharpens")),
            ("effort", schema::whole(1, MAX_EFFORT, "From quick to small; unset: 3")),
            (
                "subsampling",
                schema::choice("4:4:4, 4:2:2, 4:2:0", "A JPEG's chroma; unset: 4:2:0, from quality 95 on 4:4:4"),
            ),
            (
                "keep",
                json!({"type": "array", "items": {"enum": ["icc", "exif", "copyright"]},
                    "description": "What of the source's metadata stays where the format has a place for it"}),
            ),
            ("still", schema::flag(false, "Only the first frame of an animation")),
            (
                "name",
                json!({"type": "string", "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$",
                    "description": "The output's file stem"}),
            ),
        ]
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

    /// Refuses fields that the named format cannot follow.
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
