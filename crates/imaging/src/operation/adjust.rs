//! What changes a picture's pixels and not its frame: blur, sharpness, brightness, colours.

use serde::{Deserialize, Serialize};

use super::fields::Fields;
use crate::{Limits, Result};

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

/// How strongly something is done; what 1 means is the operation's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Amount {
    pub amount: f32,
}

/// Values to the power of 1/gamma: above 1 brightens the middle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gamma {
    pub gamma: f32,
}

/// Squares of one colour each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pixelate {
    /// Pixels a side.
    pub size: u32,
}

impl Blur {
    pub(super) fn parse(fields: &mut Fields) -> Result<Self> {
        Ok(Self { sigma: fields.decimal("sigma", 0.3, 250.0)?.unwrap_or(2.0) as f32 })
    }
}

impl Sharpen {
    pub(super) fn parse(fields: &mut Fields) -> Result<Self> {
        Ok(Self {
            sigma: fields.decimal("sigma", 0.3, 10.0)?.unwrap_or(1.0) as f32,
            amount: fields.decimal("amount", 0.0, 10.0)?.unwrap_or(1.0) as f32,
            threshold: fields.number("threshold", 0, 255, "the limit")?.unwrap_or(0) as u8,
        })
    }
}

impl Amount {
    /// A factor, of which 1 changes nothing.
    pub(super) fn factor(fields: &mut Fields) -> Result<Self> {
        let amount = fields.decimal("amount", 0.0, 10.0)?;
        Ok(Self { amount: fields.required("amount", amount) as f32 })
    }

    /// A share, of which 0 changes nothing.
    pub(super) fn share(fields: &mut Fields) -> Result<Self> {
        Ok(Self { amount: fields.decimal("amount", 0.0, 1.0)?.unwrap_or(1.0) as f32 })
    }
}

impl Gamma {
    pub(super) fn parse(fields: &mut Fields) -> Result<Self> {
        let gamma = fields.decimal("gamma", 0.1, 10.0)?;
        Ok(Self { gamma: fields.required("gamma", gamma) as f32 })
    }
}

impl Pixelate {
    pub(super) fn parse(fields: &mut Fields, limits: &Limits) -> Result<Self> {
        let size = fields.side("size", limits)?;
        Ok(Self { size: fields.required("size", size) })
    }
}
