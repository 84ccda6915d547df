//! `pipeline`: several operations on one picture.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::definition::{Definition, known};
use super::entries::{action, auto_orient, entries, spend};
use super::fields::{Fields, invalid};
use super::{Action, Operation, Save};
use crate::{Limits, Result};

/// Actions that are done one after the other; none of them is a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pipeline {
    pub operations: Vec<Action>,
}

pub(super) const PIPELINE: Definition = Definition {
    name: "pipeline",
    about: "Several operations on one picture, with one output; not info, and no pipeline.",
    fields: |_| vec![("operations", json!({"type": "array", "items": {"type": "object"}, "minItems": 1}))],
    required: &["operations"],
    // [`parse`] takes an entry of the list itself; this is one inside a pipeline.
    parse: |fields, _| Err(invalid(format!("{}: pipelines do not nest", fields.path))),
    flags: &[],
};

/// An entry of the list. A `convert` in it says how the output is written, as the entry's own fields do.
pub(super) fn parse(fields: &mut Fields, limits: &Limits, budget: &mut usize) -> Result<Operation> {
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
        let kind = fields.kind(known)?;
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
