//! The fields of one JSON object, taken out one by one. A field that is left over is unknown and refused, so that a misspelt
//! option is never silently ignored.
//!
//! Every message names the entry, the field, the value and the limit.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{color, known};
pub(super) use crate::error::{clipped, shown};
use crate::length::Length;
use crate::{Code, Error, Limits, Result};

/// The fields of one object. Those that are still there at the end are unknown.
pub(super) struct Fields {
    map: Map<String, Value>,
    /// The path of the object in the request, for messages: `operations[0]`.
    pub(super) path: String,
    /// Names asked for so far, for the message about an unknown one.
    asked: Vec<&'static str>,
    /// The error of a missing field. It is reported last: a misspelt field explains why another is missing.
    lacking: Option<Error>,
}

impl Fields {
    pub(super) fn new(value: Value, path: String) -> Result<Self> {
        match value {
            Value::Object(map) => Ok(Self { map, path, asked: Vec::new(), lacking: None }),
            other => Err(invalid(format!("{path}: {} is not an object", shown(&other)))),
        }
    }

    /// The entry's `type`.
    pub(super) fn kind(&mut self) -> Result<String> {
        match self.map.remove("type") {
            Some(Value::String(kind)) => Ok(kind),
            Some(other) => Err(invalid(format!("{}.type: {} is not a string", self.path, shown(&other)))),
            None => Err(invalid(format!("{}.type: is missing; known: {}", self.path, known()))),
        }
    }

    pub(super) fn side(&mut self, name: &'static str, limits: &Limits) -> Result<Option<u32>> {
        let max = u64::from(limits.max_output_side);
        Ok(self.number(name, 1, max, "limits.max_output_side")?.map(|n| n as u32))
    }

    pub(super) fn number(&mut self, name: &'static str, min: u64, max: u64, limit: &str) -> Result<Option<u64>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        whole(&value, &format!("{}.{name}", self.path), min, max, limit).map(Some)
    }

    /// A number with a fraction.
    pub(super) fn decimal(&mut self, name: &'static str, min: f64, max: f64) -> Result<Option<f64>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let path = format!("{}.{name}", self.path);
        match value.as_f64() {
            Some(n) if n < min => Err(invalid(format!("{path}: {value} is less than {min}"))),
            Some(n) if n > max => Err(invalid(format!("{path}: {value} exceeds the limit ({max})"))),
            Some(n) => Ok(Some(n)),
            None => Err(invalid(format!("{path}: {} is not a number", shown(&value)))),
        }
    }

    pub(super) fn string(&mut self, name: &'static str) -> Result<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(invalid(format!("{}.{name}: {} is not a string", self.path, shown(&other)))),
        }
    }

    pub(super) fn flag(&mut self, name: &'static str) -> Result<Option<bool>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(invalid(format!("{}.{name}: {} is neither true nor false", self.path, shown(&other)))),
        }
    }

    pub(super) fn choice<T: DeserializeOwned>(&mut self, name: &'static str, known: &str) -> Result<Option<T>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let text = shown(&value);
        serde_json::from_value(value)
            .map(Some)
            .map_err(|_| invalid(format!("{}.{name}: {text} is unknown; known: {known}", self.path)))
    }

    pub(super) fn color(&mut self, name: &'static str) -> Result<Option<[u8; 4]>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let read = color::read(&value);
        read.map(Some)
            .ok_or_else(|| invalid(format!("{}.{name}: {} is not {}", self.path, shown(&value), color::FORMS)))
    }

    /// Pixels within bounds, or a share of the picture's width.
    pub(super) fn length(&mut self, name: &'static str, min: u64, max: u64, limit: &str) -> Result<Option<Length>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let path = format!("{}.{name}", self.path);
        match &value {
            Value::String(text) => Length::share(text).map(Some).ok_or_else(|| {
                invalid(format!("{path}: {} is not a share of the picture's width from 0% to 100%", shown(&value)))
            }),
            value => Ok(Some(Length::Pixels(whole(value, &path, min, max, limit)? as u32))),
        }
    }

    /// A number with a fraction. Unlike [`decimal`](Self::decimal), one message has both bounds.
    pub(super) fn within(&mut self, name: &'static str, min: f64, max: f64) -> Result<Option<f32>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if (min..=max).contains(&number) => Ok(Some(number as f32)),
            _ => Err(invalid(format!("{}.{name}: {} is not a number from {min} to {max}", self.path, shown(&value)))),
        }
    }

    /// The fields of an object in this one.
    pub(super) fn object(&mut self, name: &'static str) -> Result<Option<Self>> {
        let path = format!("{}.{name}", self.path);
        self.take(name).map(|value| Self::new(value, path)).transpose()
    }

    /// A field that is `null` counts as left out.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Value> {
        self.asked.push(name);
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// Notes that a required part is missing; [`finish`](Self::finish) returns the error.
    pub(super) fn lacks(&mut self, detail: &str) {
        let path = &self.path;
        self.lacking.get_or_insert_with(|| invalid(format!("{path}{detail}")));
    }

    /// The field's value. A missing one is noted as [`lacks`](Self::lacks) does, and the default returned is never used.
    pub(super) fn required<T: Default>(&mut self, name: &str, value: Option<T>) -> T {
        value.unwrap_or_else(|| {
            self.lacks(&format!(".{name}: is missing"));
            T::default()
        })
    }

    /// # Errors
    /// For a field that no parser asked for, then for one that is missing.
    pub(super) fn finish(self, kind: &str) -> Result<()> {
        match self.map.keys().next() {
            None => self.lacking.map_or(Ok(()), Err),
            Some(name) => Err(invalid(format!(
                "{}: unknown field `{}` of {kind}; known: {}",
                self.path,
                clipped(name),
                self.asked.join(", ")
            ))),
        }
    }
}

pub(super) fn whole(value: &Value, path: &str, min: u64, max: u64, limit: &str) -> Result<u64> {
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

pub(super) fn invalid(detail: String) -> Error {
    Error::new(Code::InvalidOperation, detail)
}

/// A default, for serde.
pub(super) fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
pub(super) fn is_true(flag: &bool) -> bool {
    *flag
}
