//! `rotate`, `flip` and `flop`: the picture turned or mirrored.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::fields::Fields;
use super::flag::{Flag, Sets};
use super::{Action, schema};
use crate::Result;

/// Clockwise, in degrees; exact in quarter turns, else on a canvas that holds all of the picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rotate {
    pub angle: f32,
    /// RGBA; unset: transparent where there is alpha, else white.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<[u8; 4]>,
}

pub(super) const ROTATE: Definition = Definition {
    name: "rotate",
    about: "Turned clockwise; the canvas holds all of the picture.",
    fields: |_| {
        let corners = "In the corners; unset: transparent where there is alpha, else white";
        vec![
            ("angle", schema::decimal(-360.0, 360.0, "Degrees; exact in quarter turns")),
            ("background", schema::color(corners)),
        ]
    },
    required: &["angle"],
    parse: |fields, _| Ok(Action::Rotate(Rotate::parse(fields)?)),
    flags: &[Flag::new(
        "rotate",
        "DEGREES",
        Sets::Number("angle"),
        "Turn clockwise by any angle; the canvas grows with it",
    )
    .with_hyphens()],
};

pub(super) const FLIP: Definition = Definition {
    name: "flip",
    about: "Upside down.",
    fields: |_| vec![],
    required: &[],
    parse: |_, _| Ok(Action::Flip),
    flags: &[Flag::new("flip", "", Sets::Nothing, "Turn upside down, as in a lake")],
};

pub(super) const FLOP: Definition = Definition {
    name: "flop",
    about: "Left and right exchanged.",
    fields: |_| vec![],
    required: &[],
    parse: |_, _| Ok(Action::Flop),
    flags: &[Flag::new("flop", "", Sets::Nothing, "Exchange left and right, as in a mirror")],
};

impl Rotate {
    fn parse(fields: &mut Fields) -> Result<Self> {
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
