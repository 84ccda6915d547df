//! The documents that the API answers with, and what an upload consists of.

mod scheduling;
mod submitting;
mod watching;
mod workflows;

use imaging::{Format, operation};
use serde_json::{Map, Value, json};

use crate::config::{self, Scope};
use crate::http::operation::reference;

/// `components.schemas`.
pub(super) fn all(limits: &config::Limits, queue: &config::Queue) -> Value {
    let parts = [
        schemas(limits),
        submitting::schemas(limits, queue),
        watching::schemas(),
        workflows::schemas(),
        scheduling::schemas(),
    ];
    parts.into_iter().flat_map(|part| part.as_object().cloned().unwrap_or_default()).collect::<Map<_, _>>().into()
}

fn schemas(limits: &config::Limits) -> Value {
    let written: Vec<&str> = Format::ALL.iter().filter(|format| format.is_writable()).map(|one| one.name()).collect();
    let read: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
    let color = json!({"type": "string", "pattern": "^#[0-9a-f]{6}$"});
    json!({
        "Operations": operation::schema(&limits.imaging()),
        "Login": {
            "type": "object",
            "required": ["key"],
            "additionalProperties": false,
            "properties": {"key": text("An API key."), "next": text("Where a form's answer leads on to.")},
        },
        "Session": {
            "type": "object",
            "required": ["name", "scopes", "expires_at"],
            "properties": {
                "name": text("The key's."),
                "scopes": {"type": "array", "items": {"enum": Scope::ALL.map(Scope::as_str)}},
                "expires_at": {"type": "string", "format": "date-time"},
            },
            "additionalProperties": false,
        },
        "Submitted": {
            "type": "object",
            "required": ["status", "task_id", "total_images", "rejected", "links"],
            "properties": {
                "status": {"const": "processing"},
                "task_id": text("The group's id."),
                "total_images": count("Accepted pictures."),
                "rejected": {"type": "array", "items": reference("Rejected")},
                "links": reference("Links"),
            },
            "additionalProperties": false,
        },
        "Rejected": {
            "type": "object",
            "required": ["index", "image", "error"],
            "properties": {
                "index": count("Its place among the request's pictures."),
                "image": text("The name that it was sent under."),
                "error": {
                    "type": "object",
                    "required": ["code", "detail"],
                    "properties": {"code": text("Stays the same."), "detail": text("For people.")},
                    "additionalProperties": false,
                },
            },
            "additionalProperties": false,
        },
        "Links": {
            "type": "object",
            "required": ["self"],
            "properties": {
                "self": text("The status."),
                "next": text("More results."),
                "events": text("A group's live events."),
                "group": text("A job's group."),
                "archive": text("All outputs of the group as a zip, once it has ended."),
                "then": text("What follows; there once it has begun."),
            },
            "additionalProperties": false,
        },
        "Status": {
            "type": "object",
            "required": ["status", "kind", "task_id", "done", "succeeded", "failed", "cancelled", "progress",
                "created_at", "finished_at", "result", "links"],
            "properties": {
                "status": {"enum": ["processing", "completed", "failed", "cancelled"], "description":
                    "Any picture open: `processing`; else any cancelled: `cancelled`; else none succeeded: `failed`; \
                    else `completed`."},
                "kind": text("What its jobs do, `image.process`."),
                "task_id": text("The group's or the job's id."),
                "total_images": count("Accepted pictures; only there for pictures."),
                "total": count("Jobs of any other kind."),
                "done": count("Pictures that have ended."),
                "succeeded": count(""),
                "failed": count(""),
                "cancelled": count(""),
                "progress": {"type": "number", "minimum": 0, "maximum": 1},
                "created_at": {"type": "string", "format": "date-time"},
                "finished_at": {"type": ["string", "null"], "format": "date-time"},
                "state": {"enum": ["delayed", "waiting", "active", "succeeded", "failed", "cancelled"],
                    "description": "Of a job."},
                "attempts": count("Of a job: those that counted."),
                "result": {"type": "array", "items": {"anyOf": [reference("Result"), reference("JobResult")]}, "maxItems": 1000,
                    "description": "Pictures or jobs that have ended, in the upload's order."},
                "rejected": {"type": "array", "items": reference("Rejected")},
                "files": {"enum": ["erasing", "erased"], "description": "There where the group's files were erased, or \
                    are about to be: no path leads anywhere."},
                "retry_of": text("The group or job that this one tries again."),
                "request_id": text("The `X-Request-Id` of the request that it came with; logs name it."),
                "labels": reference("Labels"),
                "follows": text("The group whose originals these are."),
                "schedule": {
                    "type": "object",
                    "required": ["name", "slot"],
                    "description": "The slot of the schedule that asked for it.",
                    "properties": {
                        "name": text("The schedule's."),
                        "slot": {"type": "string", "format": "date-time"},
                        "from": {"type": "string", "format": "date-time", "description":
                            "The slot before: the period of this one begins there and ends before `slot`."},
                        "manual": {"const": true, "description": "It was asked for, and did not come by the clock."},
                    },
                    "additionalProperties": false,
                },
                "then": {
                    "type": "object",
                    "required": ["on", "task_id"],
                    "description": "The group that follows.",
                    "properties": {"on": {"enum": ["success", "always"]}, "task_id": text("Its id.")},
                    "additionalProperties": false,
                },
                "links": reference("Links"),
            },
            "additionalProperties": false,
        },
        "Result": {
            "type": "object",
            "required": ["success", "job_id", "image"],
            "properties": {
                "success": {"type": "boolean"},
                "job_id": text(""),
                "image": {"type": ["string", "null"], "description": "The name that it was sent under."},
                "attempts": count(""),
                "duration_ms": {"type": ["integer", "null"], "description": "Of the attempt that counted."},
                "paths": {"type": "array", "items": {"type": ["string", "null"]}, "description":
                    "The outputs' paths on this server, one an operation; null for `info`. Where API keys are \
                    configured they are signed links, which open without a key for a while."},
                "outputs": {"type": "array", "items": {"oneOf": [reference("Output"), reference("Info")]}},
                "error": {
                    "type": "object",
                    "required": ["code", "detail", "retryable"],
                    "properties": {
                        "code": text("Stays the same."),
                        "detail": text("For people."),
                        "retryable": {"type": "boolean"},
                    },
                    "additionalProperties": false,
                },
            },
            "additionalProperties": false,
        },
        "JobResult": {
            "type": "object",
            "required": ["success", "job_id"],
            "description": "A job that is about no picture, with the fields of its kind's result.",
            "properties": {
                "success": {"type": "boolean"},
                "job_id": text(""),
                "error": {"type": "object", "required": ["code", "detail", "retryable"]},
            },
        },
        "Output": {
            "type": "object",
            "required": ["type", "path", "format", "width", "height", "bytes"],
            "properties": {
                "type": text("The operation's."),
                "path": text("On this server."),
                "format": {"enum": written},
                "width": count("Pixels."),
                "height": count("Pixels."),
                "bytes": count(""),
                "frames": count("Of an animation."),
                "duration_ms": count("One round of an animation."),
                "warnings": {"type": "array", "items": text("Begins with a code.")},
            },
            "additionalProperties": false,
        },
        "Info": {
            "type": "object",
            "required": ["type", "format", "width", "height", "frames", "orientation", "has_alpha", "grayscale",
                "bit_depth", "average", "colors", "blurhash", "thumbhash", "phash"],
            "properties": {
                "type": {"const": "info"},
                "format": {"enum": read},
                "width": count("Pixels of the upright picture."),
                "height": count("Pixels of the upright picture."),
                "frames": count(""),
                "orientation": {"type": "integer", "minimum": 1, "maximum": 8, "description": "EXIF's."},
                "has_alpha": {"type": "boolean"},
                "grayscale": {"type": "boolean"},
                "bit_depth": {"enum": [8, 16]},
                "profile": {"type": ["string", "null"], "description": "The embedded colour profile's name."},
                "exif": {"anyOf": [reference("Exif"), {"type": "null"}]},
                "average": color,
                "colors": {"type": "array", "description": "The dominant ones, the largest share first.", "items": {
                    "type": "object",
                    "required": ["color", "share"],
                    "properties": {"color": color, "share": {"type": "number", "minimum": 0, "maximum": 1}},
                    "additionalProperties": false,
                }},
                "blurhash": text("<https://blurha.sh>"),
                "thumbhash": text("<https://evanw.github.io/thumbhash/>, in base64."),
                "phash": {"type": "string", "pattern": "^[0-9a-f]{16}$",
                    "description": "Pictures that look alike differ in few bits."},
            },
            "additionalProperties": false,
        },
        "Exif": {
            "type": "object",
            "properties": {
                "make": text(""),
                "model": text(""),
                "lens": text(""),
                "software": text(""),
                "taken_at": text("In the camera's own time."),
                "exposure": {"type": "number", "description": "Seconds."},
                "f_number": {"type": "number"},
                "iso": count(""),
                "focal_length": {"type": "number", "description": "Millimetres."},
                "artist": text(""),
                "copyright": text(""),
                "gps": {"type": "object", "description": "Only where it was asked for."},
            },
            "additionalProperties": false,
        },
        "Code": {
            "type": "object",
            "required": ["code", "type", "statuses", "places", "retry", "meaning", "remedy"],
            "properties": {
                "code": text("Stays the same."),
                "type": text("This address."),
                "statuses": {"type": "array", "items": {"type": "integer"}, "description":
                    "The HTTP statuses that it comes with; none where it only stands in a document."},
                "places": {"type": "array", "items": {"type": "string"}, "description": "Where it is met."},
                "retry": {"type": "boolean", "description": "Whether the same may succeed later."},
                "meaning": text("For people."),
                "remedy": text("For people: what to do."),
            },
            "additionalProperties": false,
        },
        "Problem": {
            "type": "object",
            "description": "RFC 9457.",
            "required": ["type", "title", "status", "code", "detail"],
            "properties": {
                "type": text("Ends in the code."),
                "title": text("The status in words."),
                "status": {"type": "integer", "minimum": 400, "maximum": 599},
                "code": text("One of those at /problems; stays the same."),
                "detail": text("For people: what was wrong, and what would be right."),
                "rejected": {"type": "array", "items": reference("Rejected")},
                "faults": {
                    "type": "array",
                    "description": "In answers of `/readyz`: all faults; the first one gives the code.",
                    "items": {
                        "type": "object",
                        "required": ["part", "code", "detail"],
                        "properties": {
                            "part": {"enum": ["broker", "store", "workers"]},
                            "code": text("As of a problem."),
                            "detail": text("For people."),
                        },
                        "additionalProperties": false,
                    },
                },
            },
            "additionalProperties": false,
        },
    })
}

fn count(about: &str) -> Value {
    json!({"type": "integer", "minimum": 0, "description": about})
}

fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}
