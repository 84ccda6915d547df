//! The fields of a `watermark` that shows a text.

use super::fields::{Fields, invalid};
use crate::text::{self, Outline, Shadow, Text};
use crate::{Error, Limits, Result};

const MAX_TEXT_CHARS: usize = 500;
const MAX_NAME_CHARS: usize = 100;
/// Pixels of outline, and of shadow in each direction.
pub(super) const MAX_EFFECT: f64 = 200.0;

impl Text {
    pub(super) fn parse(text: &str, fields: &mut Fields, limits: &Limits) -> Result<Self> {
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

/// The text with a line feed between lines, whatever line ends it came with, and four spaces instead of each tab: fonts have
/// no glyph for tabs.
fn plain_lines(text: &str) -> String {
    let lines = text.replace("\r\n", "\n").replace(['\r', '\u{85}', '\u{2028}', '\u{2029}'], "\n");
    lines.replace('\t', "    ")
}
