//! `pad`: a wider frame.

use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::aspect::{self, Aspect};
use super::definition::Definition;
use super::fields::{Fields, invalid};
use super::flag::{Flag, FromText, Sets, sides, wholes};
use super::place::{ANCHORS, Anchor};
use super::{Action, schema};
use crate::{Limits, Result};

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

pub(super) const PAD: Definition = Definition {
    name: "pad",
    about: "A wider frame: by sides, to a size, or to an aspect.",
    fields: |limits| {
        let from_edge = || schema::whole(0, limits.max_output_side.into(), "Pixels");
        vec![
            ("top", from_edge()),
            ("right", from_edge()),
            ("bottom", from_edge()),
            ("left", from_edge()),
            ("width", schema::side(limits, "At least so many pixels")),
            ("height", schema::side(limits, "At least so many pixels")),
            ("aspect", aspect::schema()),
            ("gravity", schema::choice(ANCHORS, "Where the picture stands")),
            ("background", schema::color("Unset: transparent where there is alpha, else white")),
        ]
    },
    required: &[],
    parse: |fields, limits| Ok(Action::Pad(Pad::parse(fields, limits)?)),
    flags: &[Flag::new(
        "pad",
        "N|T,R,B,L|WxH|W:H",
        Sets::Fields(from_flag),
        "Widen the frame: by pixels on all sides or on each, to a size, or to an aspect",
    )],
};

impl Pad {
    fn parse(fields: &mut Fields, limits: &Limits) -> Result<Self> {
        let max = u64::from(limits.max_output_side);
        let mut sides = [None; 4];
        for (side, name) in sides.iter_mut().zip(["top", "right", "bottom", "left"]) {
            *side = fields.number(name, 0, max, "limits.max_output_side")?.map(|n| n as u32);
        }
        let (width, height) = (fields.side("width", limits)?, fields.side("height", limits)?);
        let aspect = aspect::parse(fields)?;
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

/// The fields that `20`, `10,20,10,20`, `800x600` or `16:9` stands for.
fn from_flag(text: &str) -> FromText {
    let wrong = || format!("--pad {text}: write 20, 10,20,10,20 (top, right, bottom, left), 800x600 or 16:9");
    if text.contains(':') {
        return Ok(Map::from_iter([("aspect".to_owned(), text.into())]));
    }
    if let Some((width, height)) = sides(text) {
        return wholes(&[("width", width), ("height", height)]).ok_or_else(wrong);
    }
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let [top, right, bottom, left] = match parts[..] {
        [all] => [all; 4],
        [top, right, bottom, left] => [top, right, bottom, left],
        _ => return Err(wrong()),
    };
    wholes(&[("top", top), ("right", right), ("bottom", bottom), ("left", left)]).ok_or_else(wrong)
}
