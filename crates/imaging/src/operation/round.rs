//! `round`: round corners.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::definition::Definition;
use super::fields::{Fields, invalid, shown};
use super::flag::{Flag, Sets};
use super::{Action, schema};
use crate::{Limits, Result};

/// Round corners. Pixels outside of them are transparent or background.
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

pub(super) const ROUND: Definition = Definition {
    name: "round",
    about: "Round corners.",
    fields: |limits| {
        let share = json!({"type": "string", "pattern": "^[0-9.]+%$",
            "description": "A share of the shorter side, up to 50%"});
        vec![
            ("radius", json!({"oneOf": [schema::side(limits, "Pixels"), share, {"const": "circle"}]})),
            ("background", schema::color("Outside of the corners; unset: transparent")),
        ]
    },
    required: &["radius"],
    parse: |fields, limits| Ok(Action::Round(Round::parse(fields, limits)?)),
    flags: &[Flag::new(
        "round",
        "PX|SHARE%|circle",
        Sets::Number("radius"),
        "Round the corners by pixels or a share of the shorter side; circle: the circle in the middle",
    )],
};

impl Round {
    fn parse(fields: &mut Fields, limits: &Limits) -> Result<Self> {
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
