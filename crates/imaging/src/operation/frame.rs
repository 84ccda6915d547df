//! What changes a picture's frame: `crop`, `pad`, `rotate`, `trim`, `round` and `flatten`; their fields and how they are read.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Fields, invalid, shown};
use super::place::{ANCHORS, Anchor, Gravity};
use crate::{Limits, Result};

/// The longest side of an aspect ratio such as 16:9.
const MAX_RATIO: u64 = 1000;
const MAX_LEVEL: u64 = 255;

/// What is cut out: a box, a size, or the largest part of an aspect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Crop {
    #[serde(flatten)]
    pub area: CropArea,
    /// Which part stays, unless the box has a corner of its own.
    #[serde(default = "Gravity::center")]
    pub gravity: Gravity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CropArea {
    Box { left: u32, top: u32, width: u32, height: u32 },
    Size { width: u32, height: u32 },
    Aspect { aspect: Aspect },
}

/// Width and height in proportion, as in 16:9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Aspect(pub u32, pub u32);

/// A wider frame around the picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pad {
    #[serde(flatten)]
    pub area: PadArea,
    /// Where the picture stands in a box or an aspect.
    #[serde(default = "Anchor::center")]
    pub gravity: Anchor,
    /// RGBA; unset: transparent where there is alpha, else white.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<[u8; 4]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PadArea {
    Sides {
        top: u32,
        right: u32,
        bottom: u32,
        left: u32,
    },
    /// At least this large; a missing side stays as it is.
    Box {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        width: Option<u32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        height: Option<u32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        aspect: Option<Aspect>,
    },
}

/// Clockwise, in degrees; exact in quarter turns, else on a canvas that holds all of the picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rotate {
    pub angle: f32,
    /// RGBA; unset: transparent where there is alpha, else white.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<[u8; 4]>,
}

/// Cuts away a border of one colour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trim {
    /// How far a channel may be from the border's colour, in steps of 255.
    pub threshold: u8,
    /// RGBA; unset: the colour that most corners share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<[u8; 4]>,
}

/// What can be seen through gets a background.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flatten {
    pub background: [u8; 3],
}

/// Round corners; what is outside of them is transparent or background.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    pub radius: Radius,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<[u8; 4]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Radius {
    /// The circle in the middle of the picture, which becomes square.
    Circle,
    /// Of the shorter side, 0 to 0.5.
    Share(f32),
    Pixels(u32),
}

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

impl Crop {
    pub(super) fn parse(fields: &mut Fields, limits: &Limits) -> Result<Self> {
        let max = u64::from(limits.max_side);
        let corner = |fields: &mut Fields, name| fields.number(name, 0, max, "limits.max_side");
        let (left, top) = (corner(fields, "left")?, corner(fields, "top")?);
        let (width, height) = (fields.side("width", limits)?, fields.side("height", limits)?);
        let aspect = aspect(fields)?;
        let gravity = Gravity::parse(fields, "gravity")?;
        let area = match (left, top, width, height, aspect) {
            (Some(left), Some(top), Some(width), Some(height), None) if gravity.is_none() => {
                CropArea::Box { left: left as u32, top: top as u32, width, height }
            }
            (None, None, Some(width), Some(height), None) => CropArea::Size { width, height },
            (None, None, None, None, Some(aspect)) => CropArea::Aspect { aspect },
            (Some(_), _, _, _, None) | (_, Some(_), _, _, None) if gravity.is_some() => {
                return Err(invalid(format!("{}: `gravity` means nothing beside `left` and `top`", fields.path)));
            }
            _ => {
                fields.lacks(": needs `left`, `top`, `width` and `height`; or `width` and `height`; or `aspect`");
                CropArea::Size { width: 1, height: 1 }
            }
        };
        Ok(Self { area, gravity: gravity.unwrap_or(Gravity::CENTER) })
    }
}

impl Pad {
    pub(super) fn parse(fields: &mut Fields, limits: &Limits) -> Result<Self> {
        let max = u64::from(limits.max_output_side);
        let mut sides = [None; 4];
        for (side, name) in sides.iter_mut().zip(["top", "right", "bottom", "left"]) {
            *side = fields.number(name, 0, max, "limits.max_output_side")?.map(|n| n as u32);
        }
        let (width, height) = (fields.side("width", limits)?, fields.side("height", limits)?);
        let aspect = aspect(fields)?;
        let gravity = fields.choice::<Anchor>("gravity", ANCHORS)?;
        let background = fields.color("background")?;
        let by_sides = sides.iter().any(Option::is_some);
        let by_box = width.is_some() || height.is_some();
        if usize::from(by_sides) + usize::from(by_box) + usize::from(aspect.is_some()) != 1 {
            fields.lacks(": needs one of: sides (`top`, `right`, `bottom`, `left`); `width` or `height`; `aspect`");
        }
        let path = &fields.path;
        if by_sides && gravity.is_some() {
            return Err(invalid(format!("{path}: `gravity` means nothing beside `top`, `right`, `bottom` and `left`")));
        }
        let [top, right, bottom, left] = sides.map(Option::unwrap_or_default);
        let area =
            if by_sides { PadArea::Sides { top, right, bottom, left } } else { PadArea::Box { width, height, aspect } };
        Ok(Self { area, gravity: gravity.unwrap_or(Anchor::Center), background })
    }
}

impl Rotate {
    pub(super) fn parse(fields: &mut Fields) -> Result<Self> {
        let angle = fields.decimal("angle", -360.0, 360.0)?;
        let background = fields.color("background")?;
        Ok(Self { angle: fields.required("angle", angle) as f32, background })
    }

    /// The orientation of EXIF that turns as much, if this is a quarter turn.
    pub(crate) fn quarter(&self) -> Option<u8> {
        let angle = self.angle.rem_euclid(360.0);
        [(0.0, 1), (90.0, 6), (180.0, 3), (270.0, 8), (360.0, 1)]
            .into_iter()
            .find(|(quarter, _)| (angle - quarter).abs() < 1e-3)
            .map(|(_, orientation)| orientation)
    }
}

impl Trim {
    pub(super) fn parse(fields: &mut Fields) -> Result<Self> {
        let threshold = fields.number("threshold", 0, MAX_LEVEL, "the limit")?.unwrap_or(10) as u8;
        Ok(Self { threshold, color: fields.color("color")? })
    }
}

impl Flatten {
    pub(super) fn parse(fields: &mut Fields) -> Result<Self> {
        match fields.color("background")?.unwrap_or([255; 4]) {
            [r, g, b, 255] => Ok(Self { background: [r, g, b] }),
            [.., alpha] => {
                let path = &fields.path;
                Err(invalid(format!("{path}.background: an alpha of {alpha} would not cover what is behind it")))
            }
        }
    }
}

impl Round {
    pub(super) fn parse(fields: &mut Fields, limits: &Limits) -> Result<Self> {
        let value = fields.take("radius");
        let background = fields.color("background")?;
        let Some(value) = value else {
            fields.lacks(".radius: is missing");
            return Ok(Self { radius: Radius::Circle, background });
        };
        let share = |text: &str| {
            let percent: f32 = text.strip_suffix('%')?.trim().parse().ok()?;
            (percent > 0.0 && percent <= 50.0).then_some(Radius::Share(percent / 100.0))
        };
        let max = limits.max_output_side;
        let radius = match &value {
            Value::String(word) if word == "circle" => Some(Radius::Circle),
            Value::String(text) => share(text),
            other => {
                other.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| (1..=max).contains(n)).map(Radius::Pixels)
            }
        };
        let radius = radius.ok_or_else(|| {
            let path = &fields.path;
            let known =
                format!("pixels from 1 to limits.max_output_side ({max}), a share up to \"50%\", or \"circle\"");
            invalid(format!("{path}.radius: {} is not {known}", shown(&value)))
        })?;
        Ok(Self { radius, background })
    }
}

fn aspect(fields: &mut Fields) -> Result<Option<Aspect>> {
    let Some(value) = fields.take("aspect") else { return Ok(None) };
    let text = shown(&value);
    serde_json::from_value(value).map(Some).map_err(|_| {
        let path = &fields.path;
        invalid(format!("{path}.aspect: {text} is not two whole numbers from 1 to {MAX_RATIO}, such as \"16:9\""))
    })
}
