//! What the entries of a request's list have in common with those of a pipeline's.

use serde_json::Value;

use super::Action;
use super::definition::{Definition, known};
use super::fields::{Fields, clipped, invalid, shown};
use crate::{Limits, Result};

/// What an entry does, from its own fields.
pub(super) fn action(fields: &mut Fields, kind: &str, limits: &Limits) -> Result<Action> {
    let definition = Definition::find(kind).ok_or_else(|| {
        let (path, kind, known) = (&fields.path, clipped(kind), known());
        invalid(format!("{path}: unknown operation `{kind}`; known: {known}"))
    })?;
    (definition.parse)(fields, limits)
}

/// A field of whole outputs only: inside a pipeline the picture has already been turned.
pub(super) fn auto_orient(fields: &mut Fields) -> Result<bool> {
    Ok(fields.flag("auto_orient")?.unwrap_or(true))
}

pub(super) fn entries(value: Value, path: &str) -> Result<Vec<Value>> {
    match value {
        Value::Array(entries) if entries.is_empty() => Err(invalid(format!("{path}: the list is empty"))),
        Value::Array(entries) => Ok(entries),
        other => Err(invalid(format!("{path}: {} is not a list", shown(&other)))),
    }
}

pub(super) fn spend(budget: &mut usize, limits: &Limits) -> Result<()> {
    *budget = budget
        .checked_sub(1)
        .ok_or_else(|| invalid(format!("operations: more than limits.max_operations ({})", limits.max_operations)))?;
    Ok(())
}
