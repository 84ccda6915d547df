//! `watermark`: a text or a picture laid over a picture. The fields of a text are read in `text`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::definition::Definition;
use super::fields::{Fields, invalid, shown};
use super::flag::{Flag, Sets, number};
use super::place::{ANCHORS, Anchor};
use super::text::MAX_EFFECT;
use super::{Action, schema};
use crate::length::Length;
use crate::text::Text;
use crate::{Limits, Result, overlay};

const MAX_TEXT_SIZE: u64 = 4096;

/// A text or a picture laid over a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watermark {
    #[serde(flatten)]
    pub content: Content,
    #[serde(default)]
    pub position: Position,
    /// The distance between the mark's ink and the picture's edges.
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

pub(super) const WATERMARK: Definition = Definition {
    name: "watermark",
    about: "Marked with a text or a picture; one of the two is required.",
    fields,
    required: &[],
    parse: |fields, limits| Ok(Action::Watermark(Watermark::parse(fields, limits)?)),
    flags: &[
        Flag::new("watermark", "TEXT", Sets::Text("text"), "Write TEXT onto the picture, half transparent, bottom right")
            .with_hyphens(),
        Flag::new(
            "overlay",
            "PATH|NAME",
            Sets::Text("image"),
            "Lay another picture onto the picture, bottom right: the file at a path (./logo.png), or one in the folder \
             watermark.overlays, which is all that a server has",
        ),
        option(
            "position",
            "ANCHOR",
            Sets::Text("position"),
            "Place of the --watermark or --overlay before it: top-left, top, top-right, left, center, right, bottom-left, \
             bottom, bottom-right, or tile for all over the picture",
        ),
        option(
            "size",
            "PX|%",
            Sets::Number("size"),
            "Font size of the --watermark, or width of the --overlay before it, in pixels or as a share of the picture's \
             width: 36, 5% [default: 36, or the overlay's own]",
        ),
        option(
            "margin",
            "PX|%",
            Sets::Number("margin"),
            "Distance of the --watermark or --overlay before it from the edges [default: 10]",
        ),
        option(
            "spacing",
            "PX|%",
            Sets::Number("spacing"),
            "Distance between the marks of a tile [default: half of the mark's width; across its rows at most twice its height]",
        ),
        option("angle", "DEGREES", Sets::Number("angle"), "Turn the --watermark or --overlay before it clockwise")
            .with_hyphens(),
        option(
            "color",
            "COLOR",
            Sets::Text("color"),
            "Colour of the --watermark before it, as CSS writes it or r,g,b[,a]: orange, #f80, #ff880080 [default: #ffffff80]; or of the border \
             that the --trim before it cuts away [default: what most corners share]",
        )
        .of(&["watermark", "trim"]),
        option(
            "opacity",
            "0…1",
            Sets::Number("opacity"),
            "Opacity of the --watermark or --overlay before it [default: 1]",
        ),
        option(
            "font",
            "NAME",
            Sets::Text("font"),
            "Font of the --watermark before it: a family or a file in the folder watermark.fonts [default: Noto Sans]",
        ),
        option("weight", "WEIGHT", Sets::Text("weight"), "Weight of the --watermark before it: regular or bold"),
        option(
            "outline",
            "PX[,COLOR]",
            Sets::Value("outline", |text| parts(text, &["width", "color"])),
            "Draw a line around the letters of the --watermark before it, black unless said: 2,#000000c0",
        ),
        option(
            "shadow",
            "X,Y[,BLUR[,COLOR]]",
            Sets::Value("shadow", |text| parts(text, &["x", "y", "blur", "color"])),
            "Draw a shadow under the --watermark before it, so many pixels to the right and below: 2,2,4,#000000a0",
        )
        .with_hyphens(),
        option(
            "line-height",
            "EM",
            Sets::Number("line_height"),
            "Distance between the lines of the --watermark before it, times its size [default: the font's own]",
        ),
        option(
            "align",
            "SIDE",
            Sets::Text("align"),
            "Where short lines of the --watermark before it stand: left, center, right [default: towards the edge]",
        ),
        option("max-width", "PX|%", Sets::Number("max_width"), "Break lines of the --watermark before it that are longer"),
    ],
};

/// A flag for a field of the watermark before it.
const fn option(name: &'static str, value: &'static str, sets: Sets, help: &'static str) -> Flag {
    Flag::new(name, value, sets, help).of(&["watermark"])
}

/// The values between commas under these names, in this order. All are numbers but the colour, which may have commas of its
/// own.
fn parts(text: &str, names: &[&str]) -> Value {
    let pairs = names.iter().zip(text.splitn(names.len(), ',').map(str::trim));
    let read = |name, part: &str| if name == "color" { part.into() } else { number(part) };
    pairs.map(|(&name, part)| (name.to_owned(), read(name, part))).collect::<Map<_, _>>().into()
}

/// The schemas of its fields.
fn fields(limits: &Limits) -> Vec<(&'static str, Value)> {
    let edge = u64::from(limits.max_output_side);
    let effect = |about, fields: Vec<(&str, Value)>| {
        let properties: Map<String, Value> =
            fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
        json!({"type": "object", "description": about, "properties": properties, "additionalProperties": false})
    };
    vec![
        ("text", json!({"type": "string", "minLength": 1, "maxLength": 500, "description": "Lines apart by \\n"})),
        (
            "image",
            json!({"type": "string", "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$",
                "description": "Instead of a text: a file in the service's folder of overlays"}),
        ),
        ("position", schema::choice(&format!("{ANCHORS}, tile"), "Where it stands; tile: all over the picture")),
        ("margin", schema::length(0, edge, "From the edges; not of a tile")),
        (
            "spacing",
            schema::length(
                0,
                edge,
                "Between the marks of a tile; unset: half of the mark's width, across its rows at most twice its height",
            ),
        ),
        ("size", schema::length(1, edge, "The font's size, up to 4096 pixels, or the overlay's width")),
        ("angle", schema::decimal(-360.0, 360.0, "Degrees, clockwise")),
        ("opacity", schema::decimal(0.0, 1.0, "Multiplied with the alpha of the colours")),
        ("font", json!({"type": "string", "maxLength": 100, "description": "A font's family or file name"})),
        ("weight", schema::choice("regular, bold", "Of the text")),
        ("color", schema::color("Of the text")),
        (
            "outline",
            effect(
                "A line around the letters",
                vec![
                    ("color", schema::color("Black unless said")),
                    ("width", schema::decimal(0.1, MAX_EFFECT, "Pixels; 2 unless said")),
                ],
            ),
        ),
        (
            "shadow",
            effect(
                "Under the letters",
                vec![
                    ("color", schema::color("[0, 0, 0, 160] unless said")),
                    ("x", schema::decimal(-MAX_EFFECT, MAX_EFFECT, "Pixels to the right; 2 unless said")),
                    ("y", schema::decimal(-MAX_EFFECT, MAX_EFFECT, "Pixels downwards; 2 unless said")),
                    ("blur", schema::decimal(0.0, MAX_EFFECT, "Pixels of soft edge; 4 unless said")),
                ],
            ),
        ),
        ("line_height", schema::decimal(0.5, 5.0, "Between baselines, times the font's size; unset: the font's own")),
        ("align", schema::choice("left, center, right", "Of several lines; unset: towards the edge")),
        ("max_width", schema::length(1, edge, "Longer lines are broken")),
    ]
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

    fn parse(fields: &mut Fields, limits: &Limits) -> Result<Self> {
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

impl Default for Position {
    fn default() -> Self {
        Self::At(Anchor::BottomRight)
    }
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
