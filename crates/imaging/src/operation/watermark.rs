//! `watermark`: its fields and how they are read.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Fields, invalid, shown};
use super::place::{ANCHORS, Anchor};
use crate::length::Length;
use crate::text::{Outline, Shadow, Text};
use crate::{Error, Limits, Result, overlay, text};

const MAX_TEXT_CHARS: usize = 500;
const MAX_TEXT_SIZE: u64 = 4096;
const MAX_NAME_CHARS: usize = 100;
/// Pixels of outline, and of shadow in each direction.
const MAX_EFFECT: f64 = 200.0;

/// A text or a picture laid over a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watermark {
    #[serde(flatten)]
    pub content: Content,
    #[serde(default)]
    pub position: Position,
    /// Between what shows of the mark and the picture's edges.
    #[serde(default = "default_margin")]
    pub margin: Length,
    /// Between the marks of a tile; unset: half of the mark's width.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spacing: Option<Length>,
    /// The text's em, or the overlay's width; unset: 36 pixels, or the overlay's own. Reduced where it would not fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Length>,
    /// Degrees, clockwise.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub angle: f32,
    /// 0 to 1, multiplied with the alpha of the colours.
    #[serde(default = "opaque")]
    pub opacity: f32,
}

/// What a watermark shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    Text(Text),
    Image {
        /// The name of a file among the overlays that the service was given.
        image: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Position {
    At(Anchor),
    Tile(Tile),
}

/// All over the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tile {
    Tile,
}

impl Watermark {
    /// `text` as it looks when nothing else is asked for.
    pub fn new(text: impl Into<String>) -> Self {
        Self::of(Content::Text(Text::new(text)))
    }

    /// An overlay as it looks when nothing else is asked for.
    pub fn image(name: impl Into<String>) -> Self {
        Self::of(Content::Image { image: name.into() })
    }

    fn of(content: Content) -> Self {
        Self {
            content,
            position: Position::default(),
            margin: default_margin(),
            spacing: None,
            size: None,
            angle: 0.0,
            opacity: opaque(),
        }
    }

    pub(super) fn parse(fields: &mut Fields, limits: &Limits) -> Result<Self> {
        let mut mark = match (fields.string("text")?, fields.string("image")?) {
            (None, Some(name)) => {
                let path = format!("{}.image", fields.path);
                if !overlay::is_name(&name) {
                    return Err(invalid(format!("{path}: {} is not the name of a file", shown(&name.into()))));
                }
                overlay::check(&name).map_err(|error| invalid(format!("{path}: {}", error.detail)))?;
                Self::image(name)
            }
            (Some(_), Some(_)) => {
                return Err(invalid(format!("{}: has both `text` and `image`; a watermark shows one", fields.path)));
            }
            (text, None) => {
                if text.is_none() {
                    fields.lacks(": needs `text` or `image`");
                }
                // The other fields of a text are known without it.
                let text = text.unwrap_or_else(|| "?".to_owned());
                Self::of(Content::Text(Text::parse(&text, fields, limits)?))
            }
        };
        if let Some(position) = fields.choice("position", &format!("{ANCHORS}, tile"))? {
            mark.position = position;
        }
        let max_side = u64::from(limits.max_output_side);
        let margin = fields.length("margin", 0, max_side, "limits.max_output_side")?;
        mark.spacing = fields.length("spacing", 0, max_side, "limits.max_output_side")?;
        let tiled = matches!(mark.position, Position::Tile(_));
        if tiled && margin.is_some() {
            return Err(invalid(format!("{}.margin: a tile has none; `spacing` is between its marks", fields.path)));
        }
        if !tiled && mark.spacing.is_some() {
            return Err(invalid(format!("{}.spacing: only position `tile` has it", fields.path)));
        }
        mark.margin = margin.unwrap_or(mark.margin);
        mark.size = match mark.content {
            Content::Text(_) => fields.length("size", 1, MAX_TEXT_SIZE, "the limit")?,
            Content::Image { .. } => fields.length("size", 1, max_side, "limits.max_output_side")?,
        };
        mark.angle = fields.within("angle", -360.0, 360.0)?.unwrap_or(0.0);
        mark.opacity = fields.within("opacity", 0.0, 1.0)?.unwrap_or(mark.opacity);
        Ok(mark)
    }
}

impl Text {
    fn parse(text: &str, fields: &mut Fields, limits: &Limits) -> Result<Self> {
        let path = format!("{}.text", fields.path);
        let text = plain_lines(text);
        if text.chars().all(text::is_blank) {
            return Err(invalid(format!("{path}: is empty")));
        }
        let chars = text.chars().count();
        if chars > MAX_TEXT_CHARS {
            return Err(invalid(format!("{path}: {chars} characters exceed the limit of {MAX_TEXT_CHARS}")));
        }
        if let Some(c) = text.chars().find(|c| c.is_control() && *c != '\n') {
            return Err(invalid(format!("{path}: holds the control character U+{:04X}", u32::from(c))));
        }
        let mut text = Self::new(text);
        if let Some(name) = fields.string("font")? {
            if name.chars().count() > MAX_NAME_CHARS {
                return Err(invalid(format!("{}.font: exceeds the limit of {MAX_NAME_CHARS} characters", fields.path)));
            }
            text::library().check(&name).map_err(|error| invalid(format!("{}.font: {}", fields.path, error.detail)))?;
            text.font = Some(name);
        }
        text.weight = fields.choice("weight", "regular, bold")?.unwrap_or_default();
        text.color = fields.color("color")?.unwrap_or(text.color);
        if let Some(mut outline) = fields.object("outline")? {
            text.outline = Some(Outline {
                color: outline.color("color")?.unwrap_or([0, 0, 0, 255]),
                width: outline.within("width", 0.1, MAX_EFFECT)?.unwrap_or(2.0),
            });
            outline.finish("outline")?;
        }
        if let Some(mut shadow) = fields.object("shadow")? {
            text.shadow = Some(Shadow {
                color: shadow.color("color")?.unwrap_or([0, 0, 0, 160]),
                x: shadow.within("x", -MAX_EFFECT, MAX_EFFECT)?.unwrap_or(2.0),
                y: shadow.within("y", -MAX_EFFECT, MAX_EFFECT)?.unwrap_or(2.0),
                blur: shadow.within("blur", 0.0, MAX_EFFECT)?.unwrap_or(4.0),
            });
            shadow.finish("shadow")?;
        }
        text.line_height = fields.within("line_height", 0.5, 5.0)?;
        text.align = fields.choice("align", "left, center, right")?;
        text.max_width = fields.length("max_width", 1, limits.max_output_side.into(), "limits.max_output_side")?;
        text::check(&text, text::library())
            .map_err(|error| Error::new(error.code, format!("{path}: {}", error.detail)))?;
        Ok(text)
    }
}

impl Default for Position {
    fn default() -> Self {
        Self::At(Anchor::BottomRight)
    }
}

impl Fields {
    /// Pixels within bounds, or a share of the picture's width.
    fn length(&mut self, name: &'static str, min: u64, max: u64, limit: &str) -> Result<Option<Length>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let path = format!("{}.{name}", self.path);
        match &value {
            Value::String(text) => Length::share(text).map(Some).ok_or_else(|| {
                invalid(format!("{path}: {} is not a share of the picture's width from 0% to 100%", shown(&value)))
            }),
            value => Ok(Some(Length::Pixels(super::fields::whole(value, &path, min, max, limit)? as u32))),
        }
    }

    fn within(&mut self, name: &'static str, min: f64, max: f64) -> Result<Option<f32>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if (min..=max).contains(&number) => Ok(Some(number as f32)),
            _ => Err(invalid(format!("{}.{name}: {} is not a number from {min} to {max}", self.path, shown(&value)))),
        }
    }

    fn object(&mut self, name: &'static str) -> Result<Option<Self>> {
        let path = format!("{}.{name}", self.path);
        self.take(name).map(|value| Self::new(value, path)).transpose()
    }
}

/// A text with line feeds alone between its lines, whatever system and program it comes from, and four spaces for a tab,
/// for which fonts have no glyph.
fn plain_lines(text: &str) -> String {
    let lines = text.replace("\r\n", "\n").replace(['\r', '\u{85}', '\u{2028}', '\u{2029}'], "\n");
    lines.replace('\t', "    ")
}

fn default_margin() -> Length {
    Length::Pixels(10)
}

fn opaque() -> f32 {
    1.0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(angle: &f32) -> bool {
    *angle == 0.0
}
