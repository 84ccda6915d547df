//! The JSON Schema (2020-12) of a submission's `operations`, and the parts that operations describe their fields with.
//!
//! A test holds it against the parser: each type has exactly the fields that its parser asks for.

use serde_json::{Value, json};

use super::LIST;
use super::place::ANCHORS;
use crate::Limits;

/// The schema of the whole list.
pub fn schema(limits: &Limits) -> Value {
    let entries = LIST.iter().map(|definition| definition.schema(limits)).collect::<Vec<_>>();
    json!({
        "type": "array",
        "description": "Each entry is applied to a copy of the original and yields one output.",
        "minItems": 1,
        "maxItems": limits.max_operations,
        "items": {"oneOf": entries},
    })
}

/// A side of an output.
pub(super) fn side(limits: &Limits, about: &str) -> Value {
    whole(1, limits.max_output_side.into(), about)
}

/// Pixels, or a share of the picture's width.
pub(super) fn length(least: u64, most: u64, about: &str) -> Value {
    json!({"description": about, "oneOf": [whole(least, most, "Pixels"),
        {"type": "string", "pattern": "^[0-9.]+%$", "description": "A share of the picture's width"}]})
}

pub(super) fn whole(least: u64, most: u64, about: &str) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most, "description": about})
}

pub(super) fn decimal(least: f64, most: f64, about: &str) -> Value {
    json!({"type": "number", "minimum": least, "maximum": most, "description": about})
}

pub(super) fn flag(default: bool, about: &str) -> Value {
    json!({"type": "boolean", "default": default, "description": about})
}

/// A decimal with a default.
pub(super) fn decimal_or(default: f64, least: f64, most: f64, about: &str) -> Value {
    let mut schema = decimal(least, most, about);
    schema["default"] = default.into();
    schema
}

pub(super) fn choice(known: &str, about: &str) -> Value {
    json!({"enum": known.split(", ").collect::<Vec<_>>(), "description": about})
}

pub(super) fn color(about: &str) -> Value {
    let channel = json!({"type": "integer", "minimum": 0, "maximum": 255});
    json!({"description": about, "oneOf": [
        {"type": "array", "items": channel, "minItems": 3, "maxItems": 4},
        {"type": "string", "description": "As CSS writes it, or `r,g,b[,a]`",
            "examples": ["#ff8800", "#ff880080", "orange", "rgb(255 136 0 / 50%)", "hsl(32 100% 50%)", "transparent"]},
    ]})
}

pub(super) fn gravity() -> Value {
    let share = json!({"type": "number", "minimum": 0, "maximum": 1});
    json!({"description": "Which part stays", "oneOf": [
        {"enum": ANCHORS.split(", ").chain(["smart"]).collect::<Vec<_>>()},
        {"type": "object", "properties": {"x": share.clone(), "y": share}, "required": ["x", "y"],
            "additionalProperties": false},
    ]})
}
