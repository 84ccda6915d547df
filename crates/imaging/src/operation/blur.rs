//! `blur` and `sharpen`.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::flag::{Flag, Sets};
use super::{Action, schema};

/// A Gaussian blur.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blur {
    /// Standard deviation in pixels.
    pub sigma: f32,
}

/// An unsharp mask: what a blur takes away is added once more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sharpen {
    /// Standard deviation of the blur in pixels.
    pub sigma: f32,
    /// How much of the difference is added.
    pub amount: f32,
    /// Differences below it, in steps of 255, stay as they are.
    pub threshold: u8,
}

pub(super) const BLUR: Definition = Definition {
    name: "blur",
    about: "A Gaussian blur.",
    fields: |_| vec![("sigma", schema::decimal(0.3, 250.0, "Pixels; 2 unless said"))],
    required: &[],
    parse: |fields, _| {
        let sigma = fields.decimal("sigma", 0.3, 250.0)?.unwrap_or(2.0) as f32;
        Ok(Action::Blur(Blur { sigma }))
    },
    flags: &[Flag::new("blur", "SIGMA", Sets::Number("sigma"), "Blur with a Gaussian of that many pixels, 0.3 to 250")],
};

pub(super) const SHARPEN: Definition = Definition {
    name: "sharpen",
    about: "An unsharp mask.",
    fields: |_| {
        vec![
            ("sigma", schema::decimal(0.3, 10.0, "Pixels; 1 unless said")),
            ("amount", schema::decimal_or(1.0, 0.0, 10.0, "How much of the difference is added")),
            ("threshold", schema::whole(0, 255, "Smaller differences stay as they are")),
        ]
    },
    required: &[],
    parse: |fields, _| {
        Ok(Action::Sharpen(Sharpen {
            sigma: fields.decimal("sigma", 0.3, 10.0)?.unwrap_or(1.0) as f32,
            amount: fields.decimal("amount", 0.0, 10.0)?.unwrap_or(1.0) as f32,
            threshold: fields.number("threshold", 0, 255, "the limit")?.unwrap_or(0) as u8,
        }))
    },
    flags: &[
        Flag::new(
            "sharpen",
            "SIGMA",
            Sets::Number("sigma"),
            "Sharpen by an unsharp mask of that many pixels, 0.3 to 10; 1 is usual",
        ),
        Flag::new(
            "amount",
            "N",
            Sets::Number("amount"),
            "How much the --sharpen (0 to 10) or --sepia (0 to 1) before it does [default: 1]",
        )
        .of(&["sharpen", "sepia"]),
        Flag::new(
            "threshold",
            "0…255",
            Sets::Number("threshold"),
            "Smaller differences are left alone by the --sharpen before it [default: 0], or belong to the border for the \
             --trim before it [default: 10]",
        )
        .of(&["sharpen", "trim"]),
    ],
};
