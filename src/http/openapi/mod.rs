//! `GET /openapi.json`: this API in OpenAPI 3.1, with the limits that are in force.
//!
//! `tests/it/http/openapi.rs` compares it with a real service: it finds paths, parameters and fields that are not described.

mod examples;
mod optional;
mod schemas;

use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Value, json};

use crate::config;
use crate::http::Shared;
use crate::http::operation::{Operation, in_path, ok_as, reference};
use crate::http::submissions::{LONGEST_WAIT, uploads};

pub(super) async fn openapi(State(services): Shared, request: Request) -> Json<Value> {
    let address = services.access.address(&request.into_parts().0);
    let mut document = services.openapi.clone();
    document["servers"] = json!([{"url": if address.is_empty() { "/" } else { &address }}]);
    Json(document)
}

pub(super) fn openapi_docs() -> Operation {
    let about = "This document.";
    Operation::new("openapi", "documentation", about, ok_as(about, &["application/json"]))
}

/// The whole document. `paths` is its object of this name.
pub(super) fn document(paths: &Value, limits: &config::Limits, queue: &config::Queue) -> Value {
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "pixmill",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
            "description": "Upload pictures, follow what is made of them, fetch the results. Every error is an \
                `application/problem+json` document whose `code` stays the same; unknown fields are errors, and so are \
                unknown parameters but those of `/files`.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas::all(limits, queue),
            "responses": responses(),
            "parameters": parameters(),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key. Where there are none, none is needed, on this machine.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "pixmill_session",
                    "description": "What `/api/login` sets; over https with `__Host-` before its name. Taken from this \
                        server's own pages only.",
                },
            },
        },
        "security": [{"key": []}, {"session": []}],
        "tags": [
            {"name": "pictures", "description": "What front ends use."},
            {"name": "work", "description": "Groups and jobs by their ids."},
            {"name": "watching", "description": "Lists, numbers and live events."},
            {"name": "steering", "description": "Orders to queues and workers."},
            {"name": "pages", "description": "Logging in, for what people look at."},
            {"name": "operations", "description": "What operators' tools ask."},
            {"name": "documentation", "description": "What people and their tools read."},
        ],
    });
    optional::allow_null(&mut document["components"]["schemas"]);
    examples::add(&mut document);
    document
}

fn parameters() -> Value {
    let uuid = |example: &str| json!({"type": "string", "format": "uuid", "examples": [example]});
    let id = "01980b54-2f6c-7c4e-9d3a-6a1f0c8e5b27";
    json!({
        "id": in_path("id", "A group's or a job's.", uuid(id)),
        "group": in_path("group", "A group's id.", uuid(id)),
        "job": in_path("job", "A job's id.", uuid(id)),
        "from": {
            "name": "from",
            "in": "query",
            "description": "The index of the first picture told of; `links.next` has it where there are more.",
            "schema": {"type": "integer", "minimum": 0, "maximum": u32::MAX, "default": 0},
        },
        "idempotency_key": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Under the same key and with the same content the answer is the first one's, and nothing \
                is done twice.",
            "schema": {"type": "string", "minLength": 1, "maxLength": uploads::MOST_KEY_CHARS,
                "pattern": "^[\\x21-\\x7e]+$"},
        },
        "prefer": {
            "name": "Prefer",
            "in": "header",
            "description": format!(
                "`wait=10`: the answer is the finished status (200) if the group ends within ten seconds, and 202 otherwise. \
                At most {LONGEST_WAIT} seconds (RFC 7240)."
            ),
            "schema": {"type": "string", "examples": ["wait=10"]},
        },
    })
}

fn responses() -> Value {
    let problem = |about: &str| json!({"description": about, "content": {"application/problem+json": {"schema": reference("Problem")}}});
    let later = |about: &str| {
        let mut later = problem(about);
        later["headers"] = json!({"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}});
        later
    };
    let mut unauthorized = problem("No API key, or an unknown or expired one, and no login.");
    unauthorized["headers"] = json!({"WWW-Authenticate": {"schema": {"const": "Bearer"}}});
    let mut too_often = later("Too often: more than the key's limits allow, or too many wrong keys.");
    let field = |about: &str| json!({"schema": {"type": "string"}, "description": about});
    too_often["headers"]["RateLimit-Policy"] =
        field("The limits, where there are some, as on all answers to a key or a login.");
    too_often["headers"]["RateLimit"] = field("What is left of each: draft-ietf-httpapi-ratelimit-headers.");
    json!({
        "206": {
            "description": "The bytes that `Range` asks for.",
            "headers": {"Content-Range": {"schema": {"type": "string"}}},
        },
        "303": {"description": "Go on there.", "headers": {"Location": {"schema": {"type": "string"}}}},
        "304": {"description": "The client has it already, by `If-None-Match` or `If-Modified-Since`."},
        "400": problem("The request cannot be read."),
        "401": unauthorized,
        "403": problem("The key lacks the scope that this needs, or that changing nobody's things needs; a signed link has expired or was changed; with a \
            login, a page elsewhere asked; without keys, it is not this machine that asks."),
        "404": problem("There is no such thing."),
        "408": problem("The upload did not come on."),
        "409": later("It is not in a state for that, or its first request is still being received."),
        "410": problem("It was there: erased at its owner's wish, or no longer kept."),
        "412": problem("The file is not what `If-Match` or `If-Unmodified-Since` takes it for."),
        "413": problem("More bytes or files than a limit allows."),
        "415": problem("The body is encoded, is neither a form nor JSON, or has no picture that can be read."),
        "416": problem("No byte of the file is in the range."),
        "422": problem("It was understood, and is refused: the detail names the entry, the field and the limit."),
        "429": too_often,
        "500": problem("Our fault; the log says what."),
        "503": later("Not at present: the queue is away or full, or the disk is, or the API keys cannot be read."),
    })
}
