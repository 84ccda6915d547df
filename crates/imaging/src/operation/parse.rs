//! From JSON to [`Operation`]s, by hand: serde's messages name neither the entry nor the limit.
//!
//! Each operation reads its own fields, in its own file; this module does what they have in common.

use serde_json::Value;

use super::definition::known;
use super::entries::{action, auto_orient, entries, spend};
use super::fields::{Fields, invalid};
use super::{Operation, Save, pipeline};
use crate::{Limits, Result};

/// Parses and checks a JSON list of operations.
///
/// # Errors
/// `invalid-operation`, naming the entry, the field, the value and the limit.
pub fn parse(json: &str, limits: &Limits) -> Result<Vec<Operation>> {
    let value: Value =
        serde_json::from_str(json).map_err(|error| invalid(format!("operations: not valid JSON: {error}")))?;
    let entries = entries(value, "operations")?;
    let mut budget = limits.max_operations;
    entries
        .into_iter()
        .enumerate()
        .map(|(i, entry)| operation(entry, format!("operations[{i}]"), limits, &mut budget))
        .collect()
}

fn operation(value: Value, path: String, limits: &Limits, budget: &mut usize) -> Result<Operation> {
    spend(budget, limits)?;
    let mut fields = Fields::new(value, path)?;
    let kind = fields.kind(known)?;
    let operation = match kind.as_str() {
        // Its answer has no file that could be named or written in a format, and is about the upright picture.
        "info" => action(&mut fields, "info", limits)?.into(),
        "pipeline" => pipeline::parse(&mut fields, limits, budget)?,
        kind => {
            let action = action(&mut fields, kind, limits)?;
            let auto_orient = auto_orient(&mut fields)?;
            Operation { action, auto_orient, save: Save::parse(&mut fields)? }
        }
    };
    if kind == "convert" && operation.save.format.is_none() {
        fields.lacks(".format: is missing");
    }
    fields.finish(&kind)?;
    Ok(operation)
}
