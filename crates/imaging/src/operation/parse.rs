//! From JSON to [`Operation`]s, by hand: serde's messages name neither the entry nor the limit.
//!
//! Each operation reads its own fields, in its own file; this is what they have in common.

use serde_json::Value;

use super::fields::{Fields, clipped, invalid, shown};
use super::{
    Action, Amount, Blur, Crop, Flatten, Gamma, Inquiry, Operation, Pad, Pixelate, Resize, Rotate, Round, Save,
    Sharpen, Thumbnail, Trim, Watermark,
};
use crate::{Limits, Result};

/// Every type, for messages.
pub const KNOWN: &str = "resize, thumbnail, crop, rotate, flip, flop, pad, trim, round, flatten, blur, sharpen, \
    brightness, contrast, saturation, gamma, grayscale, sepia, invert, pixelate, watermark, convert, info, pipeline";

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
    let kind = fields.kind(KNOWN)?;
    let operation = match kind.as_str() {
        // It has no file that could be named or written in a format, and its facts are those of the upright picture.
        "info" => Action::Info(Inquiry::parse(&mut fields)?).into(),
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

fn pipeline(fields: &mut Fields, limits: &Limits, budget: &mut usize) -> Result<Operation> {
    let path = format!("{}.operations", fields.path);
    let inner = fields.take("operations");
    let auto_orient = auto_orient(fields)?;
    let save = Save::parse(fields)?;
    let mut converted = Save::default();
    let mut operations = Vec::new();
    let Some(inner) = inner else {
        fields.lacks(".operations: is missing");
        return Ok(Operation { action: Action::Pipeline { operations }, auto_orient, save });
    };
    for (i, entry) in entries(inner, &path)?.into_iter().enumerate() {
        spend(budget, limits)?;
        let mut fields = Fields::new(entry, format!("{path}[{i}]"))?;
        let kind = fields.kind(KNOWN)?;
        match kind.as_str() {
            "pipeline" => {
                return Err(invalid(format!("{}: pipelines do not nest", fields.path)));
            }
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
    Ok(Operation { action: Action::Pipeline { operations }, auto_orient, save })
}

fn action(fields: &mut Fields, kind: &str, limits: &Limits) -> Result<Action> {
    Ok(match kind {
        "resize" => Action::Resize(Resize::parse(fields, limits)?),
        "thumbnail" => Action::Thumbnail(Thumbnail::parse(fields, limits)?),
        "crop" => Action::Crop(Crop::parse(fields, limits)?),
        "rotate" => Action::Rotate(Rotate::parse(fields)?),
        "flip" => Action::Flip,
        "flop" => Action::Flop,
        "pad" => Action::Pad(Pad::parse(fields, limits)?),
        "trim" => Action::Trim(Trim::parse(fields)?),
        "round" => Action::Round(Round::parse(fields, limits)?),
        "flatten" => Action::Flatten(Flatten::parse(fields)?),
        "blur" => Action::Blur(Blur::parse(fields)?),
        "sharpen" => Action::Sharpen(Sharpen::parse(fields)?),
        "brightness" => Action::Brightness(Amount::factor(fields)?),
        "contrast" => Action::Contrast(Amount::factor(fields)?),
        "saturation" => Action::Saturation(Amount::factor(fields)?),
        "gamma" => Action::Gamma(Gamma::parse(fields)?),
        "grayscale" => Action::Grayscale,
        "sepia" => Action::Sepia(Amount::share(fields)?),
        "invert" => Action::Invert,
        "pixelate" => Action::Pixelate(Pixelate::parse(fields, limits)?),
        "watermark" => Action::Watermark(Watermark::parse(fields, limits)?),
        "convert" => Action::Convert,
        _ => {
            let kind = clipped(kind);
            return Err(invalid(format!("{}: unknown operation `{kind}`; known: {KNOWN}", fields.path)));
        }
    })
}

/// Of the whole output: inside a pipeline the picture has already been turned.
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
