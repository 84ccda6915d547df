//! What the settings allow a workflow, and the checks that several fields share.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::config::{self, Presets};
use crate::net::Guard;
use crate::submission;

/// The settings that documents are checked by.
#[derive(Debug, Clone)]
pub struct Settings {
    pub queues: Vec<String>,
    pub retention: config::Retention,
    pub presets: Presets,
    pub limits: imaging::Limits,
    pub max_files: usize,
    pub sources: Guard,
    pub calls: Guard,
    /// `calls.timeout`.
    pub timeout: Duration,
}

impl Settings {
    pub fn rules(&self) -> Rules<'_> {
        let Self { queues, retention, presets, limits, max_files, sources, calls, timeout } = self;
        let pictures = submission::Rules { queues, retention, presets, limits };
        Rules { pictures, max_files: *max_files, sources, calls, timeout: *timeout }
    }
}

/// What the settings allow.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'s> {
    pub pictures: submission::Rules<'s>,
    /// Entries of a step's `sources`.
    pub max_files: usize,
    /// URLs that pictures may be fetched from.
    pub sources: &'s Guard,
    /// URLs that may be called.
    pub calls: &'s Guard,
    /// `calls.timeout`.
    pub timeout: Duration,
}

/// Why a document is refused: a code, and one sentence that names the step, the field, the value and the limit.
pub type Refusal = (&'static str, String);

pub(super) fn invalid(detail: impl Into<String>) -> Refusal {
    ("invalid-workflow", detail.into())
}

/// A value as a sentence shows it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{}`", text.escape_debug().take(64).collect::<String>()),
        other => other.to_string().chars().take(64).collect(),
    }
}

/// Whether a text is a word of 1 to 64 letters, digits, `-` and `_` that begins with a letter.
pub(super) fn is_word(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.len() <= 64 && text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(plain)
}

pub(super) fn object<'v>(value: &'v Value, path: &str) -> Result<&'v Map<String, Value>, Refusal> {
    value.as_object().ok_or_else(|| invalid(format!("{path}: {} is not an object", shown(value))))
}

pub(super) fn read<T: DeserializeOwned>(value: &Value, path: &str) -> Result<T, Refusal> {
    T::deserialize(value).map_err(|error| invalid(format!("{path}: {}: {error}", shown(value))))
}

/// A whole number from 1 to `most`.
pub(super) fn number(value: &Value, path: &str, most: u64) -> Result<u64, Refusal> {
    let number = value.as_u64().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| invalid(format!("{path}: {} is not a whole number from 1 to {most}", shown(value))))
}

/// Refuses fields that are not among `known`.
pub(super) fn only(fields: &Map<String, Value>, known: &[&str], path: &str) -> Result<(), Refusal> {
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        Some(other) => {
            let other: String = other.escape_debug().take(64).collect();
            Err(invalid(format!("{path}: unknown field `{other}`; known: {}", known.join(", "))))
        }
        None => Ok(()),
    }
}
