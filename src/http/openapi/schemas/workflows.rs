//! The documents of workflows.

use serde_json::{Value, json};

use super::{count, text};
use crate::http::operation::reference;
use crate::job::labels;
use crate::workflows::document::MOST_STEPS;

pub(super) fn schemas() -> Value {
    let instant = || json!({"type": ["string", "null"], "format": "date-time"});
    let uuid = |about: &str| json!({"type": "string", "format": "uuid", "description": about});
    let own = || {
        json!({"type": "object", "required": ["self"], "properties": {"self": text("The status.")},
        "additionalProperties": false})
    };
    json!({
        "Workflow": {
            "type": "object",
            "additionalProperties": false,
            "description": "Steps, or the name of a template of the settings. docs/workflows.md describes the fields of steps.",
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 128, "description": "For people."},
                "workflow": text("A template of the settings, in place of `name` and `steps`."),
                "input": {"type": "object", "description": "Values that steps refer to."},
                "labels": {"type": "object", "maxProperties": labels::MOST, "additionalProperties": {"type": "string"}},
                "steps": {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": MOST_STEPS,
                    "additionalProperties": {"type": "object", "required": ["kind"]},
                },
            },
        },
        "WorkflowSubmitted": {
            "type": "object",
            "required": ["workflow_id", "status", "links"],
            "properties": {"workflow_id": uuid("Its id."), "status": {"const": "processing"}, "links": own()},
            "additionalProperties": false,
        },
        "WorkflowStep": {
            "type": "object",
            "required": ["state", "kind", "after", "on", "total", "succeeded", "failed", "cancelled", "finished_at"],
            "properties": {
                "state": {"enum": ["waiting", "running", "succeeded", "failed", "cancelled", "skipped"]},
                "reason": text("Why it is skipped."),
                "kind": text("What its jobs do."),
                "after": {"type": "array", "items": {"type": "string"}, "description": "The steps before it."},
                "on": {"enum": ["success", "failure", "always"]},
                "total": count("Jobs; 0 before it has begun."),
                "succeeded": count(""),
                "failed": count("Jobs, and sources that were refused."),
                "cancelled": count(""),
                "finished_at": instant(),
                "task_id": uuid("Its group, once it has begun."),
                "links": own(),
                "error": {
                    "type": "object",
                    "required": ["code", "detail", "retryable"],
                    "description": "Of the first job that failed, or why the step could not begin.",
                    "properties": {"code": text("Stays the same."), "detail": text("For people."),
                        "retryable": {"type": "boolean"}},
                    "additionalProperties": false,
                },
            },
            "additionalProperties": false,
        },
        "WorkflowStatus": {
            "type": "object",
            "required": ["workflow_id", "name", "status", "created_at", "finished_at", "steps", "links"],
            "properties": {
                "workflow_id": uuid("Its id."),
                "name": {"type": ["string", "null"]},
                "status": {"enum": ["processing", "completed", "failed", "cancelled"]},
                "labels": reference("Labels"),
                "created_at": instant(),
                "finished_at": instant(),
                "retry_of": uuid("The workflow that this one does again."),
                "request_id": text("The `X-Request-Id` of the request that it came with."),
                "steps": {"type": "object", "additionalProperties": reference("WorkflowStep")},
                "links": own(),
            },
            "additionalProperties": false,
        },
        "Workflows": {
            "type": "object",
            "required": ["workflows", "links"],
            "properties": {
                "workflows": {"type": "array", "items": reference("WorkflowStatus")},
                "links": {"type": "object", "required": ["self"],
                    "properties": {"self": text("This page."), "next": text("The next page.")},
                    "additionalProperties": false},
            },
            "additionalProperties": false,
        },
    })
}
