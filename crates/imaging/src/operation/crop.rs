//! `crop`: a part of the picture.

use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::aspect::{self, Aspect};
use super::definition::Definition;
use super::fields::{Fields, invalid};
use super::flag::{Flag, FromText, Sets, sides, wholes};
use super::place::Gravity;
use super::{Action, place, resize, schema};
use crate::{Limits, Result};

/// The part that stays: a box, a size, or the largest part of an aspect.
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

pub(super) const CROP: Definition = Definition {
    name: "crop",
    about: "A part: a box, a size, or the largest part of an aspect.",
    fields: |limits| {
        let at = |about| schema::whole(0, limits.max_side.into(), about);
        vec![
            ("left", at("Pixels from the left")),
            ("top", at("Pixels from the top")),
            ("width", schema::side(limits, "Pixels")),
            ("height", schema::side(limits, "Pixels")),
            ("aspect", aspect::schema()),
            ("gravity", schema::gravity()),
        ]
    },
    required: &[],
    parse: |fields, limits| Ok(Action::Crop(Crop::parse(fields, limits)?)),
    flags: &[
        Flag::new(
            "crop",
            "WxH[+X+Y]|W:H",
            Sets::Fields(from_flag),
            "Cut out a size (400x300), a box (400x300+10+20), or the largest part of an aspect (16:9)",
        ),
        resize::FIT,
        place::GRAVITY,
        resize::FILTER,
        resize::LINEAR,
        resize::NO_ENLARGE,
    ],
};

impl Crop {
    fn parse(fields: &mut Fields, limits: &Limits) -> Result<Self> {
        let max = u64::from(limits.max_side);
        let corner = |fields: &mut Fields, name| fields.number(name, 0, max, "limits.max_side");
        let (left, top) = (corner(fields, "left")?, corner(fields, "top")?);
        let (width, height) = (fields.side("width", limits)?, fields.side("height", limits)?);
        let aspect = aspect::parse(fields)?;
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

/// The fields that `400x300`, `400x300+10+20` or `16:9` stands for.
fn from_flag(text: &str) -> FromText {
    let wrong = || format!("--crop {text}: write 400x300, 400x300+10+20 (from the left and the top) or 16:9");
    if text.contains(':') {
        return Ok(Map::from_iter([("aspect".to_owned(), text.into())]));
    }
    let mut parts = text.split('+');
    let (width, height) = parts.next().and_then(sides).ok_or_else(wrong)?;
    let mut named = vec![("width", width), ("height", height)];
    match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => {}
        (Some(left), Some(top), None) => named.extend([("left", left), ("top", top)]),
        _ => return Err(wrong()),
    }
    wholes(&named).ok_or_else(wrong)
}
