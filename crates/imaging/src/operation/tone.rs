//! Operations on the values of pixels: `brightness`, `contrast`, `saturation`, `gamma`, `grayscale`, `sepia` and `invert`.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::fields::Fields;
use super::flag::{Flag, Sets};
use super::{Action, schema};
use crate::Result;

/// How strongly an operation works. Each operation says what 0 and 1 mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Amount {
    pub amount: f32,
}

/// Values to the power of 1/gamma: above 1 brightens the middle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gamma {
    pub gamma: f32,
}

pub(super) const BRIGHTNESS: Definition = Definition {
    name: "brightness",
    about: "All values times `amount`.",
    fields: |_| vec![("amount", schema::decimal(0.0, 10.0, "1: as it is"))],
    required: &["amount"],
    parse: |fields, _| Ok(Action::Brightness(Amount::factor(fields)?)),
    flags: &[Flag::new(
        "brightness",
        "FACTOR",
        Sets::Number("amount"),
        "Multiply all values: 1 changes nothing, 0 is black",
    )],
};

pub(super) const CONTRAST: Definition = Definition {
    name: "contrast",
    about: "The distance from middle grey times `amount`.",
    fields: |_| vec![("amount", schema::decimal(0.0, 10.0, "1: as it is"))],
    required: &["amount"],
    parse: |fields, _| Ok(Action::Contrast(Amount::factor(fields)?)),
    flags: &[Flag::new(
        "contrast",
        "FACTOR",
        Sets::Number("amount"),
        "Multiply the distance from middle grey: 1 changes nothing",
    )],
};

pub(super) const SATURATION: Definition = Definition {
    name: "saturation",
    about: "The strength of colours times `amount`.",
    fields: |_| vec![("amount", schema::decimal(0.0, 10.0, "1: as it is"))],
    required: &["amount"],
    parse: |fields, _| Ok(Action::Saturation(Amount::factor(fields)?)),
    flags: &[Flag::new(
        "saturation",
        "FACTOR",
        Sets::Number("amount"),
        "Multiply the strength of colours: 1 changes nothing, 0 is grey",
    )],
};

pub(super) const GAMMA: Definition = Definition {
    name: "gamma",
    about: "Values to the power of 1/`gamma`.",
    fields: |_| vec![("gamma", schema::decimal(0.1, 10.0, "Above 1 brightens the middle tones"))],
    required: &["gamma"],
    parse: |fields, _| {
        let gamma = fields.decimal("gamma", 0.1, 10.0)?;
        Ok(Action::Gamma(Gamma { gamma: fields.required("gamma", gamma) as f32 }))
    },
    flags: &[Flag::new(
        "gamma",
        "GAMMA",
        Sets::Number("gamma"),
        "Brighten (above 1) or darken (below 1) the middle tones",
    )],
};

pub(super) const GRAYSCALE: Definition = Definition {
    name: "grayscale",
    about: "Without colours.",
    fields: |_| vec![],
    required: &[],
    parse: |_, _| Ok(Action::Grayscale),
    flags: &[Flag::new("grayscale", "", Sets::Nothing, "Take the colours away")],
};

pub(super) const SEPIA: Definition = Definition {
    name: "sepia",
    about: "Brown as an old photograph.",
    fields: |_| vec![("amount", schema::decimal_or(1.0, 0.0, 1.0, "A share of it"))],
    required: &[],
    parse: |fields, _| {
        let amount = fields.decimal("amount", 0.0, 1.0)?.unwrap_or(1.0) as f32;
        Ok(Action::Sepia(Amount { amount }))
    },
    flags: &[Flag::new("sepia", "", Sets::Nothing, "Brown as an old photograph")],
};

pub(super) const INVERT: Definition = Definition {
    name: "invert",
    about: "A negative.",
    fields: |_| vec![],
    required: &[],
    parse: |_, _| Ok(Action::Invert),
    flags: &[Flag::new("invert", "", Sets::Nothing, "Make a negative")],
};

impl Amount {
    /// A factor: 1 changes nothing.
    fn factor(fields: &mut Fields) -> Result<Self> {
        let amount = fields.decimal("amount", 0.0, 10.0)?;
        Ok(Self { amount: fields.required("amount", amount) as f32 })
    }
}
