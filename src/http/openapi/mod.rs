//! `GET /openapi.json`: this API in OpenAPI 3.1, with the limits that are in force.
//!
//! A path, a parameter or a field that answers have and this has not is found by `tests/it/http/openapi.rs`, which
//! holds a real service's answers and methods against it.

mod paths;
mod schemas;
mod sources;
mod watching;

use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Map, Value, json};

use super::{Shared, examples, nulls};
use crate::config;

pub(super) async fn openapi(State(services): Shared, request: Request) -> Json<Value> {
    let address = services.access.address(&request.into_parts().0);
    let mut document = document(&services.limits, &services.queue);
    document["servers"] = json!([{"url": if address.is_empty() { "/" } else { &address }}]);
    Json(document)
}

/// The whole document.
pub fn document(limits: &config::Limits, queue: &config::Queue) -> Value {
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
        "paths": joined(joined(paths::paths(limits), sources::paths()), watching::paths()),
        "components": {
            "schemas": joined(
                joined(schemas::schemas(limits), sources::schemas(limits, queue)),
                watching::schemas(),
            ),
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
    nulls::allow(&mut document["components"]["schemas"]);
    examples::add(&mut document);
    document
}

fn joined(mut all: Value, more: Value) -> Value {
    let Value::Object(more) = more else { return all };
    for (name, described) in more {
        match (&mut all[name.as_str()], described) {
            // A path that both know, with methods of each.
            (Value::Object(known), Value::Object(further)) => known.extend(further),
            (unknown, described) => *unknown = described,
        }
    }
    all
}

/// One method of a path.
struct Operation {
    id: &'static str,
    tag: &'static str,
    about: &'static str,
    more: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    success: (&'static str, Value),
    /// The statuses of `components.responses` beside 401, 403 and 429, which all guarded ones have, and 500.
    problems: &'static [&'static str],
}

impl Operation {
    fn described(self) -> Value {
        let mut responses = Map::from_iter([(self.success.0.to_owned(), self.success.1)]);
        for status in self.problems.iter().chain(&["401", "403", "429", "500"]) {
            responses.insert((*status).into(), json!({"$ref": format!("#/components/responses/{status}")}));
        }
        let mut described = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.about,
            "responses": responses,
        });
        if !self.more.is_empty() {
            described["description"] = self.more.into();
        }
        if !self.parameters.is_empty() {
            described["parameters"] = self.parameters.into();
        }
        if let Some(body) = self.body {
            described["requestBody"] = body;
        }
        described
    }
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
            "schema": {"type": "string", "minLength": 1, "maxLength": super::uploads::MOST_KEY_CHARS,
                "pattern": "^[\\x21-\\x7e]+$"},
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
        "415": problem("Not a form, not JSON, or not a picture that can be read."),
        "416": problem("No byte of the file is in the range."),
        "422": problem("It was understood, and is refused: the detail names the entry, the field and the limit."),
        "429": too_often,
        "500": problem("Our fault; the log says what."),
        "503": later("Not at present: the queue is away or full, or the disk is, or the API keys cannot be read."),
    })
}

fn count(about: &str) -> Value {
    json!({"type": "integer", "minimum": 0, "description": about})
}

fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

fn content(schema: &str) -> Value {
    json!({"application/json": {"schema": reference(schema)}})
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn parameter(name: &str) -> Value {
    json!({"$ref": format!("#/components/parameters/{name}")})
}

#[allow(clippy::needless_pass_by_value, reason = "as json! makes it")]
fn in_path(name: &str, about: &str, schema: Value) -> Value {
    json!({"name": name, "in": "path", "required": true, "description": about, "schema": schema})
}
