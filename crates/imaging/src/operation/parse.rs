//! From JSON to [`Operation`]s, by hand: serde's messages name neither the entry nor the limit.
//!
//! Each operation reads its own fields, in its own file; this module does what they have in common.

use serde_json::Value;

use super::definition::Definition;
use super::fields::{Fields, clipped, invalid, shown};
use super::{Action, Operation, Pipeline, Save, known};
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
    let kind = fields.kind()?;
    let operation = match kind.as_str() {
        // Its answer has no file that could be named or written in a format, and is about the upright picture.
        "info" => action(&mut fields, "info", limits)?.into(),
        "pipeline" => pipeline(&mut fields, limits, budget)?,
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

/// A pipeline. A `convert` in it says how the output is written, as the pipeline's own fields do.
fn pipeline(fields: &mut Fields, limits: &Limits, budget: &mut usize) -> Result<Operation> {
    let path = format!("{}.operations", fields.path);
    let inner = fields.take("operations");
    let auto_orient = auto_orient(fields)?;
    let save = Save::parse(fields)?;
    let mut converted = Save::default();
    let mut operations = Vec::new();
    let Some(inner) = inner else {
        fields.lacks(".operations: is missing");
        return Ok(Operation { action: Action::Pipeline(Pipeline { operations }), auto_orient, save });
    };
    for (i, entry) in entries(inner, &path)?.into_iter().enumerate() {
        spend(budget, limits)?;
        let mut fields = Fields::new(entry, format!("{path}[{i}]"))?;
        let kind = fields.kind()?;
        match kind.as_str() {
            "info" => {
                return Err(invalid(format!("{}: info yields no picture; it stands by itself", fields.path)));
            }
            "convert" => {
                converted = Save::of_convert(&mut fields)?;
                if converted.format.is_none() {
                    fields.lacks(".format: is missing");
                }
                // Nothing is left to do there, and those after it keep their numbers.
                operations.push(Action::Convert);
            }
            kind => operations.push(action(&mut fields, kind, limits)?),
        }
        fields.finish(&kind)?;
    }
    if let (Some(outer), Some(inner)) = (save.format, converted.format)
        && outer != inner
    {
        let (path, outer, inner) = (&fields.path, outer.name(), inner.name());
        return Err(invalid(format!("{path}.format: is {outer}, but the convert inside says {inner}")));
    }
    let save = save.or(converted);
    save.check(&fields.path)?;
    Ok(Operation { action: Action::Pipeline(Pipeline { operations }), auto_orient, save })
}

/// What an entry does, from its own fields.
fn action(fields: &mut Fields, kind: &str, limits: &Limits) -> Result<Action> {
    let definition = Definition::find(kind).ok_or_else(|| {
        let (path, kind, known) = (&fields.path, clipped(kind), known());
        invalid(format!("{path}: unknown operation `{kind}`; known: {known}"))
    })?;
    (definition.parse)(fields, limits)
}

/// A field of whole outputs only: inside a pipeline the picture has already been turned.
fn auto_orient(fields: &mut Fields) -> Result<bool> {
    Ok(fields.flag("auto_orient")?.unwrap_or(true))
}

fn entries(value: Value, path: &str) -> Result<Vec<Value>> {
    match value {
        Value::Array(entries) if entries.is_empty() => Err(invalid(format!("{path}: the list is empty"))),
        Value::Array(entries) => Ok(entries),
        other => Err(invalid(format!("{path}: {} is not a list", shown(&other)))),
    }
}

fn spend(budget: &mut usize, limits: &Limits) -> Result<()> {
    *budget = budget
        .checked_sub(1)
        .ok_or_else(|| invalid(format!("operations: more than limits.max_operations ({})", limits.max_operations)))?;
    Ok(())
}
