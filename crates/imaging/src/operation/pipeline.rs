//! `pipeline`: several operations on one picture.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Action;
use super::definition::Definition;
use super::fields::invalid;

/// Actions that are done one after the other. No pipeline is inside another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pipeline {
    pub operations: Vec<Action>,
}

pub(super) const PIPELINE: Definition = Definition {
    name: "pipeline",
    about: "Several operations on one picture, with one output; not info, and no pipeline.",
    fields: |_| vec![("operations", json!({"type": "array", "items": {"type": "object"}, "minItems": 1}))],
    required: &["operations"],
    // The parser takes pipelines itself: this one is inside another.
    parse: |fields, _| Err(invalid(format!("{}: pipelines do not nest", fields.path))),
    flags: &[],
};
