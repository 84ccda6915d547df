//! `resize` and `thumbnail`: their fields and how they are read.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::definition::Definition;
use super::fields::{Fields, invalid, is_true, shown, whole, yes};
use super::flag::{Flag, FromText, Sets, sides, wholes};
use super::place::Gravity;
use super::{Action, schema};
use crate::{Limits, Result};

const FITS: &str = "fill, contain, cover, inside, outside";
const FILTERS: &str = "nearest, bilinear, bicubic, lanczos3";

/// At least one of `width` and `height` is set; a missing one follows the aspect ratio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resize {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    #[serde(default)]
    pub fit: Fit,
    /// Which part stays when `cover` cuts, and where the picture stands in `contain`'s box.
    #[serde(default = "Gravity::center")]
    pub gravity: Gravity,
    /// Whether a picture may become larger than its source.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enlarge: bool,
    #[serde(default)]
    pub filter: Filter,
    /// RGBA around the picture in `contain`; unset: transparent where there is alpha, else white.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<[u8; 4]>,
    /// Whether light is averaged instead of the curved values in which pictures are stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub linear: bool,
}

/// How a picture meets a box of another shape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Exactly the box, the aspect ratio is not kept.
    #[default]
    Fill,
    /// Inside the box, the rest is background.
    Contain,
    /// Covers the box, what overhangs is cut.
    Cover,
    /// Inside the box, nothing added.
    Inside,
    /// Covers the box, nothing cut.
    Outside,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    Nearest,
    Bilinear,
    Bicubic,
    #[default]
    Lanczos3,
}

/// Meets a box without ever enlarging; at least 1 px a side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thumbnail {
    pub size: [u32; 2],
    #[serde(default = "Fit::inside", skip_serializing_if = "Fit::is_inside")]
    pub fit: Fit,
    #[serde(default = "Gravity::center")]
    pub gravity: Gravity,
    /// As [`Resize`]'s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<[u8; 4]>,
}

pub(super) const RESIZE: Definition = Definition {
    name: "resize",
    about: "Another size.",
    fields: |limits| {
        let mut fields = vec![
            ("width", schema::side(limits, "Pixels")),
            ("height", schema::side(limits, "Pixels; one of the two may be left out")),
        ];
        fields.extend(box_fields());
        fields.extend([
            ("enlarge", schema::flag(true, "Whether a picture may become larger than its source")),
            ("filter", schema::choice(FILTERS, "How pixels are averaged")),
            ("linear", schema::flag(false, "Average light instead of the curved values that are stored")),
        ]);
        fields
    },
    required: &[],
    parse: |fields, limits| Ok(Action::Resize(Resize::parse(fields, limits)?)),
    flags: &[Flag::new(
        "resize",
        "WxH",
        Sets::Fields(resize_from_flag),
        "Resize to exactly 800x600, or to a width (800x) or a height (x600) with the aspect kept",
    )],
};

pub(super) const THUMBNAIL: Definition = Definition {
    name: "thumbnail",
    about: "Inside a box, never enlarged.",
    fields: |limits| {
        let side = schema::side(limits, "Pixels");
        let mut fields = vec![("size", json!({"type": "array", "items": side, "minItems": 2, "maxItems": 2}))];
        fields.extend(box_fields());
        fields
    },
    required: &["size"],
    parse: |fields, limits| Ok(Action::Thumbnail(Thumbnail::parse(fields, limits)?)),
    flags: &[Flag::new(
        "thumbnail",
        "N|WxH",
        Sets::Fields(thumbnail_from_flag),
        "Shrink into a box of N×N or W×H, aspect kept, never enlarged",
    )],
};

pub(super) const FIT: Flag = Flag::new(
    "fit",
    "FIT",
    Sets::Text("fit"),
    "How the --resize or --thumbnail before it meets its box: fill (--resize's default), contain, cover, inside \
     (--thumbnail's default), outside",
)
.of(&["resize", "thumbnail"]);

pub(super) const FILTER: Flag = Flag::new(
    "filter",
    "FILTER",
    Sets::Text("filter"),
    "Of the --resize before it: nearest, bilinear, bicubic, lanczos3",
)
.of(&["resize"]);

pub(super) const LINEAR: Flag = Flag::new(
    "linear",
    "",
    Sets::To("linear", true),
    "Average light instead of stored values in the --resize before it: slower, fine bright detail stays bright",
)
.of(&["resize"]);

pub(super) const NO_ENLARGE: Flag = Flag::new(
    "no-enlarge",
    "",
    Sets::To("enlarge", false),
    "Leave pictures that are smaller than the --resize before it as they are",
)
.of(&["resize"]);

/// The schemas of the fields that both have.
fn box_fields() -> [(&'static str, Value); 3] {
    let background = "Around the picture in `contain`; unset: transparent where there is alpha, else white";
    [
        ("fit", schema::choice(FITS, "How the picture meets the box")),
        ("gravity", schema::gravity()),
        ("background", schema::color(background)),
    ]
}

impl Fit {
    fn inside() -> Self {
        Self::Inside
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    fn is_inside(&self) -> bool {
        *self == Self::Inside
    }
}

impl Resize {
    /// Exactly `width` × `height`.
    pub fn fill(width: u32, height: u32) -> Self {
        Self {
            width: Some(width),
            height: Some(height),
            fit: Fit::Fill,
            gravity: Gravity::CENTER,
            enlarge: true,
            filter: Filter::Lanczos3,
            background: None,
            linear: false,
        }
    }

    fn parse(fields: &mut Fields, limits: &Limits) -> Result<Self> {
        let defaults = Self::fill(1, 1);
        let resize = Self {
            width: fields.side("width", limits)?,
            height: fields.side("height", limits)?,
            fit: fields.choice("fit", FITS)?.unwrap_or(defaults.fit),
            gravity: Gravity::parse(fields, "gravity")?.unwrap_or(defaults.gravity),
            enlarge: fields.flag("enlarge")?.unwrap_or(defaults.enlarge),
            filter: fields.choice("filter", FILTERS)?.unwrap_or(defaults.filter),
            background: fields.color("background")?,
            linear: fields.flag("linear")?.unwrap_or(defaults.linear),
        };
        if resize.width.is_none() && resize.height.is_none() {
            fields.lacks(": needs `width` or `height`");
        }
        Ok(resize)
    }
}

impl Thumbnail {
    /// Inside a box.
    pub fn inside(width: u32, height: u32) -> Self {
        Self { size: [width, height], fit: Fit::Inside, gravity: Gravity::CENTER, background: None }
    }

    fn parse(fields: &mut Fields, limits: &Limits) -> Result<Self> {
        let value = fields.take("size");
        let path = format!("{}.size", fields.path);
        let thumbnail = Self {
            size: [1, 1],
            fit: fields.choice("fit", FITS)?.unwrap_or(Fit::Inside),
            gravity: Gravity::parse(fields, "gravity")?.unwrap_or(Gravity::CENTER),
            background: fields.color("background")?,
        };
        let max = u64::from(limits.max_output_side);
        let Some(value) = value else {
            fields.lacks(".size: is missing");
            return Ok(thumbnail);
        };
        let sides = match &value {
            Value::Array(sides) if sides.len() == 2 => sides,
            other => return Err(invalid(format!("{path}: {} is not [width, height]", shown(other)))),
        };
        let side =
            |i: usize| whole(&sides[i], &format!("{path}[{i}]"), 1, max, "limits.max_output_side").map(|n| n as u32);
        Ok(Self { size: [side(0)?, side(1)?], ..thumbnail })
    }

    /// The resize that it is.
    pub(crate) fn as_resize(&self) -> Resize {
        let [width, height] = self.size;
        let Self { fit, gravity, background, .. } = *self;
        Resize { fit, gravity, background, enlarge: false, ..Resize::fill(width, height) }
    }
}

/// The fields that `800x600`, `800x` or `x600` stands for.
fn resize_from_flag(text: &str) -> FromText {
    let wrong = || format!("--resize {text}: write 800x600, 800x (a width) or x600 (a height)");
    let (width, height) = sides(text).ok_or_else(wrong)?;
    let mut named = vec![("width", width), ("height", height)];
    named.retain(|(_, text)| !text.is_empty());
    wholes(&named).ok_or_else(wrong)
}

/// The field that `150` or `200x150` stands for.
fn thumbnail_from_flag(text: &str) -> FromText {
    let wrong = |_| format!("--thumbnail {text}: write 150 or 200x150");
    let (width, height) = sides(text).unwrap_or((text, text));
    let size = [width.parse::<u64>().map_err(wrong)?, height.parse::<u64>().map_err(wrong)?];
    Ok(Map::from_iter([("size".to_owned(), json!(size))]))
}
