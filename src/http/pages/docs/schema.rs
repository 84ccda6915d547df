//! A JSON Schema as nested lists: each field with its type, bounds, default and description.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::http::pages::page::{escaped, inline};

/// The type in a few words, with a link if it has a name: `array of Result`.
pub(super) fn kind(schema: &Value) -> String {
    if let Some(name) = named(schema) {
        return format!("<a href=\"#schema-{0}\">{0}</a>", escaped(name));
    }
    if let Some(value) = schema.get("const") {
        return format!("<code>{}</code>", escaped(&value.to_string()));
    }
    if let Some(values) = schema["enum"].as_array() {
        let one_of = values.iter().map(|value| format!("<code>{}</code>", escaped(&plain(value))));
        return one_of.collect::<Vec<_>>().join(" | ");
    }
    for alternatives in ["oneOf", "anyOf"] {
        if let Some(schemas) = schema[alternatives].as_array() {
            // Long lists of values have names and are listed below.
            if schemas.iter().all(|schema| schema["title"].is_string()) {
                return "one of the following".into();
            }
            return schemas.iter().map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    let mut told = match &schema["type"] {
        Value::String(kind) if kind == "array" => format!("array of {}", kind_of_items(&schema["items"])),
        Value::String(kind) => escaped(kind),
        Value::Array(kinds) => kinds.iter().map(|kind| escaped(&plain(kind))).collect::<Vec<_>>().join(" or "),
        _ => "anything".into(),
    };
    if let Some(format) = schema["format"].as_str() {
        let _ = write!(told, " ({})", escaped(format));
    }
    told + &bounds(schema)
}

fn kind_of_items(items: &Value) -> String {
    if items.is_null() { "anything".into() } else { kind(items) }
}

/// `, 1 to 10, default 5`.
fn bounds(schema: &Value) -> String {
    let mut told = String::new();
    let limits =
        [("minimum", "maximum", ""), ("minItems", "maxItems", " items"), ("minLength", "maxLength", " characters")];
    for (least, most, unit) in limits {
        let said = match (schema.get(least), schema.get(most)) {
            (Some(least), Some(most)) if least == most => format!(", {least}{unit}"),
            (Some(least), Some(most)) => format!(", {least} to {most}{unit}"),
            (Some(least), None) => format!(", at least {least}{unit}"),
            (None, Some(most)) => format!(", at most {most}{unit}"),
            (None, None) => continue,
        };
        told += &said;
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        let _ = write!(told, ", <code>{}</code>", escaped(pattern));
    }
    if let Some(default) = schema.get("default") {
        let _ = write!(told, ", default <code>{}</code>", escaped(&default.to_string()));
    }
    told
}

/// Everything inside the schema: its fields, its alternatives.
pub(super) fn below(schema: &Value) -> String {
    let mut told = String::new();
    if let Some(fields) = schema["properties"].as_object() {
        told += &listed(fields, &schema["required"]);
    }
    for alternatives in ["oneOf", "anyOf"] {
        for schema in schema[alternatives].as_array().into_iter().flatten() {
            match schema["title"].as_str() {
                Some(title) => {
                    let about = schema["description"].as_str().map(inline).unwrap_or_default();
                    let title = escaped(title);
                    let _ = write!(
                        told,
                        "<details><summary><code>{title}</code> {about}</summary>{}</details>",
                        below(schema)
                    );
                }
                None => told += &below(schema),
            }
        }
    }
    if schema["items"].is_object() {
        told += &below(&schema["items"]);
    }
    told
}

fn listed(fields: &Map<String, Value>, required: &Value) -> String {
    let must = |name: &str| required.as_array().is_some_and(|names| names.iter().any(|one| one == name));
    let fields = fields.iter().map(|(name, schema)| field(name, schema, must(name)));
    format!("<ul class=\"fields\">{}</ul>", fields.collect::<String>())
}

/// One line of a list, with what is inside it.
pub(super) fn field(name: &str, schema: &Value, must: bool) -> String {
    let must = if must { " <span class=\"must\">required</span>" } else { "" };
    let about = schema["description"].as_str().filter(|about| !about.is_empty());
    let about = about.map(|about| format!("<span class=\"about\">{}</span>", inline(about))).unwrap_or_default();
    let below = if named(schema).is_some() { String::new() } else { below(schema) };
    format!("<li><b>{}</b> <span class=\"kind\">{}</span>{must}{about}{below}</li>", escaped(name), kind(schema))
}

fn named(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str().and_then(|at| at.strip_prefix("#/components/schemas/"))
}

/// Strings without their quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
