//! The schemas of groups by reference, presets and options.

use serde_json::{Value, json};

use super::{count, text};
use crate::config;
use crate::http::operation::{operations_or_preset, reference};
use crate::job::labels;
use crate::submission::MOST_PER_CHUNK;

pub(super) fn schemas(limits: &config::Limits, queue: &config::Queue) -> Value {
    json!({
        "Group": {
            "type": "object",
            "required": ["sources"],
            "additionalProperties": false,
            "properties": {
                "sources": {"type": "array", "minItems": 1, "maxItems": limits.max_files, "items": reference("Source")},
                "operations": operations_or_preset(),
                "options": reference("Options"),
            },
        },
        "Source": {"oneOf": [
            source("url", "Fetched from there, where sources.urls allows it.", "uri"),
            source("key", "A file below sources.folder.", ""),
            {
                "type": "object",
                "required": ["prefix"],
                "additionalProperties": false,
                "properties": {"prefix": text("Every file below a folder of sources.folder; ends in `/`, or is empty.")},
            },
            {
                "type": "object",
                "required": ["group"],
                "additionalProperties": false,
                "properties": {
                    "group": {"type": "string", "format": "uuid",
                        "description": "An earlier group, whose originals are still kept."},
                    "index": count("One picture of it, by its place in `result`."),
                },
            },
        ]},
        "Presets": {
            "type": "object",
            "required": ["presets"],
            "properties": {"presets": {"type": "array", "items": {
                "type": "object",
                "required": ["name", "operations"],
                "properties": {"name": text("What requests name it by."), "operations": {"type": "array"}},
                "additionalProperties": false,
            }}},
            "additionalProperties": false,
        },
        "Retention": {
            "type": "object",
            "additionalProperties": false,
            "description": "From the end of the group, at most as long as the settings say: `36h`.",
            "properties": {
                "records": text("The record; whatever else has a time of its own goes with it at the latest."),
                "originals": text("Uploaded and fetched pictures; they go with the record at the latest."),
                "outputs": text("What was made."),
            },
        },
        "Labels": {
            "type": "object",
            "description": "Names and values of the submitter's own, by which groups and jobs are listed.",
            "maxProperties": labels::MOST,
            "propertyNames": {"pattern": format!("^[A-Za-z0-9._-]{{1,{}}}$", labels::LONGEST_NAME)},
            "additionalProperties": {"type": "string", "minLength": 1, "maxLength": labels::LONGEST_VALUE},
        },
        "Then": {
            "type": "object",
            "required": ["operations"],
            "additionalProperties": false,
            "properties": {
                "on": {"enum": ["success", "always"], "default": "success",
                    "description": "When all pictures have succeeded, or ended however."},
                "operations": operations_or_preset(),
                "options": {"allOf": [reference("Options")], "description": "Without eta, expires, chunk_size, labels, dedupe, then."},
            },
        },
        "Options": {
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "queue": {"enum": queue.names},
                "priority": {"type": "integer", "minimum": 1, "maximum": 10, "description": "10 first."},
                "eta": {"type": "string", "format": "date-time", "description": "Not to be started before."},
                "expires": {"type": "string", "format": "date-time",
                    "description": "Cancelled, with the code `expired`, if not begun by then."},
                "retries": {"type": "integer", "minimum": 0, "maximum": 100,
                    "description": "Further attempts after the first."},
                "lenient": {"type": "boolean", "default": false,
                    "description": "Make what there is of a file cut short, with a warning, instead of refusing it."},
                "preset": text("Operations by the name of a preset, in place of `operations`."),
                "retention": reference("Retention"),
                "labels": reference("Labels"),
                "dedupe": {
                    "type": "object",
                    "required": ["key", "window"],
                    "additionalProperties": false,
                    "description": "A second submission with the same key within the window is answered with the first \
                        one's group. Not together with an `Idempotency-Key`.",
                    "properties": {
                        "key": {"type": "string", "minLength": 1, "maxLength": 128},
                        "window": text("From the first submission on, `1s` to `30d`."),
                    },
                },
                "then": {"allOf": [reference("Then")],
                    "description": "The originals once more, as a group of its own, when this one has finished."},
                "chunk_size": {"type": "integer", "minimum": 1, "maximum": MOST_PER_CHUNK, "default": MOST_PER_CHUNK,
                    "description": "Pictures of a long prefix that are enqueued at a time."},
            },
        },
    })
}

fn source(kind: &str, about: &str, format: &str) -> Value {
    let mut own = json!({"type": "string", "description": about});
    if !format.is_empty() {
        own["format"] = format.into();
    }
    json!({
        "type": "object",
        "required": [kind],
        "additionalProperties": false,
        "properties": {kind: own, "name": {"type": "string", "description": "What it is called in answers."}},
    })
}
