//! From JSON to [`Operation`]s, by hand: serde's messages name neither the entry nor the limit.
//!
//! Every field is taken out of its object as it is read; whatever is left over is unknown and
//! refused, so that a misspelt option is never silently ignored.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Action, Anchor, Fit, Operation, Resize, Save, Thumbnail, Watermark};
use crate::imaging::{Code, Error, Format, Limits, Result};

const KNOWN: &str = "resize, thumbnail, watermark, convert, pipeline";
const ANCHORS: &str = "top-left, top, top-right, left, center, right, bottom-left, bottom, bottom-right";
const MAX_TEXT_CHARS: usize = 500;
const MAX_TEXT_SIZE: u64 = 4096;
const MAX_NAME_CHARS: usize = 64;

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
        "pipeline" => pipeline(&mut fields, limits, budget)?,
        "convert" => Operation { action: Action::Convert, save: fields.save(true)? },
        kind => Operation { action: fields.action(kind, KNOWN, limits)?, save: fields.save(false)? },
    };
    fields.finish(&kind)?;
    Ok(operation)
}

fn pipeline(fields: &mut Fields, limits: &Limits, budget: &mut usize) -> Result<Operation> {
    let path = format!("{}.operations", fields.path);
    let inner = fields.take("operations").ok_or_else(|| invalid(format!("{path}: is missing")))?;
    let mut save = fields.save(false)?;
    let mut converted = Save::default();
    let mut operations = Vec::new();
    for (i, entry) in entries(inner, &path)?.into_iter().enumerate() {
        spend(budget, limits)?;
        let mut fields = Fields::new(entry, format!("{path}[{i}]"))?;
        let kind = fields.kind()?;
        match kind.as_str() {
            "pipeline" => {
                return Err(invalid(format!("{}: pipelines do not nest", fields.path)));
            }
            "convert" => {
                converted.format = Some(fields.format()?.ok_or_else(|| fields.missing("format"))?);
                converted.quality = fields.quality()?;
            }
            kind => {
                operations.push(fields.action(kind, "resize, thumbnail, watermark, convert", limits)?);
            }
        }
        fields.finish(&kind)?;
    }
    if save.format.is_none() {
        save.format = converted.format;
    }
    if save.quality.is_none() {
        save.quality = converted.quality;
    }
    Ok(Operation { action: Action::Pipeline { operations }, save })
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

/// The fields of one entry, taken out one by one so that what is left is unknown.
struct Fields {
    map: Map<String, Value>,
    path: String,
    /// Names asked for so far, for the message about an unknown one.
    asked: Vec<&'static str>,
}

impl Fields {
    fn new(value: Value, path: String) -> Result<Self> {
        match value {
            Value::Object(map) => Ok(Self { map, path, asked: Vec::new() }),
            other => Err(invalid(format!("{path}: {} is not an object", shown(&other)))),
        }
    }

    fn kind(&mut self) -> Result<String> {
        match self.map.remove("type") {
            Some(Value::String(kind)) => Ok(kind),
            Some(other) => Err(invalid(format!("{}.type: {} is not a string", self.path, shown(&other)))),
            None => Err(invalid(format!("{}.type: is missing; known: {KNOWN}", self.path))),
        }
    }

    fn action(&mut self, kind: &str, known: &str, limits: &Limits) -> Result<Action> {
        Ok(match kind {
            "resize" => Action::Resize(self.resize(limits)?),
            "thumbnail" => Action::Thumbnail(self.thumbnail(limits)?),
            "watermark" => Action::Watermark(self.watermark(limits)?),
            _ => {
                return Err(invalid(format!("{}: unknown operation `{}`; known: {known}", self.path, clipped(kind))));
            }
        })
    }

    fn resize(&mut self, limits: &Limits) -> Result<Resize> {
        let (width, height) = (self.side("width", limits)?, self.side("height", limits)?);
        if width.is_none() && height.is_none() {
            return Err(invalid(format!("{}: needs `width` or `height`", self.path)));
        }
        let defaults = Resize::fill(1, 1);
        Ok(Resize {
            width,
            height,
            fit: self.choice::<Fit>("fit", "fill, contain, cover, inside, outside")?.unwrap_or(defaults.fit),
            gravity: self.choice("gravity", ANCHORS)?.unwrap_or(defaults.gravity),
            enlarge: self.flag("enlarge")?.unwrap_or(defaults.enlarge),
            filter: self.choice("filter", "nearest, bilinear, bicubic, lanczos3")?.unwrap_or(defaults.filter),
            background: self.color("background")?,
        })
    }

    fn thumbnail(&mut self, limits: &Limits) -> Result<Thumbnail> {
        let value = self.take("size").ok_or_else(|| self.missing("size"))?;
        let path = format!("{}.size", self.path);
        let max = u64::from(limits.max_output_side);
        let sides = match &value {
            Value::Array(sides) if sides.len() == 2 => sides,
            other => {
                return Err(invalid(format!("{path}: {} is not [width, height]", shown(other))));
            }
        };
        let side =
            |i: usize| whole(&sides[i], &format!("{path}[{i}]"), 1, max, "limits.max_output_side").map(|n| n as u32);
        Ok(Thumbnail { size: [side(0)?, side(1)?] })
    }

    fn watermark(&mut self, limits: &Limits) -> Result<Watermark> {
        let text = self.string("text")?.ok_or_else(|| self.missing("text"))?;
        let path = format!("{}.text", self.path);
        if text.trim().is_empty() {
            return Err(invalid(format!("{path}: is empty")));
        }
        let chars = text.chars().count();
        if chars > MAX_TEXT_CHARS {
            return Err(invalid(format!("{path}: {chars} characters exceed the limit of {MAX_TEXT_CHARS}")));
        }
        if let Some(c) = text.chars().find(|c| c.is_control() && *c != '\n') {
            return Err(invalid(format!("{path}: holds the control character U+{:04X}", u32::from(c))));
        }
        let mut mark = Watermark::new(text);
        let max_side = u64::from(limits.max_output_side);
        if let Some(anchor) = self.choice::<Anchor>("position", ANCHORS)? {
            mark.position = anchor;
        }
        if let Some(margin) = self.number("margin", 0, max_side, "limits.max_output_side")? {
            mark.margin = margin as u32;
        }
        if let Some(size) = self.number("size", 1, MAX_TEXT_SIZE, "the limit")? {
            mark.size = size as u32;
        }
        if let Some(color) = self.color("color")? {
            mark.color = color;
        }
        if let Some(value) = self.take("opacity") {
            mark.opacity = match value.as_f64() {
                Some(opacity) if (0.0..=1.0).contains(&opacity) => opacity as f32,
                _ => {
                    return Err(invalid(format!(
                        "{}.opacity: {} is not a number from 0 to 1",
                        self.path,
                        shown(&value)
                    )));
                }
            };
        }
        Ok(mark)
    }

    fn save(&mut self, needs_format: bool) -> Result<Save> {
        let format = self.format()?;
        if needs_format && format.is_none() {
            return Err(self.missing("format"));
        }
        Ok(Save { format, quality: self.quality()?, name: self.name()? })
    }

    fn format(&mut self) -> Result<Option<Format>> {
        let Some(name) = self.string("format")? else { return Ok(None) };
        match name.as_str() {
            "jpeg" | "jpg" => Ok(Some(Format::Jpeg)),
            "png" => Ok(Some(Format::Png)),
            "webp" => Ok(Some(Format::WebP)),
            other => Err(invalid(format!(
                "{}.format: `{}` cannot be written; known: jpeg, png, webp",
                self.path,
                clipped(other)
            ))),
        }
    }

    fn quality(&mut self) -> Result<Option<u8>> {
        Ok(self.number("quality", 1, 100, "the limit")?.map(|n| n as u8))
    }

    fn name(&mut self) -> Result<Option<String>> {
        let Some(name) = self.string("name")? else { return Ok(None) };
        let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        // A leading dot would hide the file, and `..` climbs.
        if name.is_empty() || name.len() > MAX_NAME_CHARS || name.starts_with('.') || !name.chars().all(safe) {
            return Err(invalid(format!(
                "{}.name: `{}` is not a file stem of 1 to {MAX_NAME_CHARS} characters \
                 A-Z a-z 0-9 . _ - that starts without a dot",
                self.path,
                clipped(&name)
            )));
        }
        Ok(Some(name))
    }

    fn side(&mut self, name: &'static str, limits: &Limits) -> Result<Option<u32>> {
        let max = u64::from(limits.max_output_side);
        Ok(self.number(name, 1, max, "limits.max_output_side")?.map(|n| n as u32))
    }

    fn number(&mut self, name: &'static str, min: u64, max: u64, limit: &str) -> Result<Option<u64>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        whole(&value, &format!("{}.{name}", self.path), min, max, limit).map(Some)
    }

    fn string(&mut self, name: &'static str) -> Result<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(invalid(format!("{}.{name}: {} is not a string", self.path, shown(&other)))),
        }
    }

    fn flag(&mut self, name: &'static str) -> Result<Option<bool>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(invalid(format!("{}.{name}: {} is neither true nor false", self.path, shown(&other)))),
        }
    }

    fn choice<T: DeserializeOwned>(&mut self, name: &'static str, known: &str) -> Result<Option<T>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let text = shown(&value);
        serde_json::from_value(value)
            .map(Some)
            .map_err(|_| invalid(format!("{}.{name}: {text} is unknown; known: {known}", self.path)))
    }

    fn color(&mut self, name: &'static str) -> Result<Option<[u8; 4]>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let parts: Option<Vec<u8>> = value
            .as_array()
            .and_then(|parts| parts.iter().map(|part| part.as_u64().and_then(|n| u8::try_from(n).ok())).collect());
        match parts.as_deref() {
            Some(&[r, g, b]) => Ok(Some([r, g, b, 255])),
            Some(&[r, g, b, a]) => Ok(Some([r, g, b, a])),
            _ => Err(invalid(format!(
                "{}.{name}: {} is not [r, g, b] or [r, g, b, a] with values from 0 to 255",
                self.path,
                shown(&value)
            ))),
        }
    }

    /// A field that is `null` counts as left out.
    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.asked.push(name);
        self.map.remove(name).filter(|value| !value.is_null())
    }

    fn missing(&self, name: &str) -> Error {
        invalid(format!("{}.{name}: is missing", self.path))
    }

    fn finish(self, kind: &str) -> Result<()> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(name) => Err(invalid(format!(
                "{}: unknown field `{}` of {kind}; known: {}",
                self.path,
                clipped(name),
                self.asked.join(", ")
            ))),
        }
    }
}

fn whole(value: &Value, path: &str, min: u64, max: u64, limit: &str) -> Result<u64> {
    match value {
        Value::Number(number) => match number.as_u64() {
            Some(n) if n < min => Err(invalid(format!("{path}: {n} is less than {min}"))),
            Some(n) if n > max => Err(invalid(format!("{path}: {n} exceeds {limit} ({max})"))),
            Some(n) => Ok(n),
            None => Err(invalid(format!("{path}: {number} is not a whole number from {min}"))),
        },
        other => Err(invalid(format!("{path}: {} is not a number", shown(other)))),
    }
}

/// A value for a message: short, whatever the client sent.
fn shown(value: &Value) -> String {
    clipped(&value.to_string())
}

fn clipped(text: &str) -> String {
    if text.chars().count() <= 60 { text.to_owned() } else { text.chars().take(57).chain("...".chars()).collect() }
}

fn invalid(detail: String) -> Error {
    Error::new(Code::InvalidOperation, detail)
}
