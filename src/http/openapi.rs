//! `GET /openapi.json`: this API in OpenAPI 3.1, with the limits that are in force.
//!
//! A path, a parameter or a field that answers have and this has not is found by `tests/it/http/openapi.rs`, which
//! holds a real service's answers and methods against it.

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};

use super::{Shared, examples, nulls, openapi_sources, openapi_watching};
use crate::config::{self, Scope};
use crate::imaging::{Format, operation};

pub(super) async fn openapi(State(services): Shared) -> Json<Value> {
    Json(document(&services.limits, &services.queue))
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
                `application/problem+json` document whose `code` stays the same; unknown parameters and fields are \
                errors.",
        },
        "paths": joined(joined(paths(limits), openapi_sources::paths()), openapi_watching::paths()),
        "components": {
            "schemas": joined(
                joined(schemas(limits), openapi_sources::schemas(limits, queue)),
                openapi_watching::schemas(),
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

fn paths(limits: &config::Limits) -> Value {
    let status = |about: &str| json!({"description": about, "content": content("Status")});
    let (group, job) = (|| vec![parameter("group")], || vec![parameter("job")]);
    let paged = |mut parameters: Vec<Value>| {
        parameters.push(parameter("from"));
        parameters
    };
    json!({
        "/api/upload": {"post": Operation {
            id: "upload",
            tag: "pictures",
            about: "Upload pictures and have them processed.",
            more: "All pictures of a request become one group. A picture that cannot be taken is told in `rejected` \
                and fails no other. 202 means that everything is on disk: no acknowledged picture is lost.",
            parameters: vec![parameter("idempotency_key")],
            body: Some(upload_form(limits)),
            success: ("202", json!({
                "description": "Taken; ask for the status at `links.self`.",
                "headers": {"Location": {"schema": {"type": "string"}, "description": "The status's path."}},
                "content": content("Submitted"),
            })),
            problems: &["400", "408", "409", "413", "415", "422", "503"],
        }.described()},
        "/api/task_status/{id}": {"get": Operation {
            id: "taskStatus",
            tag: "pictures",
            about: "The status of a group or a job.",
            more: "Poll until `status` is no longer `processing`.",
            parameters: paged(vec![parameter("id")]),
            body: None,
            success: ("200", status("The status, with the results so far.")),
            problems: &["400", "404", "503"],
        }.described()},
        "/api/groups/{group}": {
            "get": Operation {
                id: "group",
                tag: "work",
                about: "The status of a group.",
                more: "",
                parameters: paged(group()),
                body: None,
                success: ("200", status("The status, with the results so far.")),
                problems: &["400", "404", "503"],
            }.described(),
            "delete": Operation {
                id: "cancelGroup",
                tag: "work",
                about: "Cancel what has not ended.",
                more: "Pictures that are being made end as soon as they can; finished ones stay. With `files`, \
                    originals and outputs are erased too: at once where the group has ended, or as soon as it has; \
                    `files` in the answer says which. Nobody is given them from now on.",
                parameters: [group(), vec![flag("files", "Erase the group's files.")]].concat(),
                body: None,
                success: ("200", status("The status, in which pictures that were at work may still be open.")),
                problems: &["400", "404", "503"],
            }.described(),
        },
        "/api/groups/{group}/archive": {"get": Operation {
            id: "archive",
            tag: "pictures",
            about: "All outputs of a group as one zip, streamed while it is made.",
            more: "Files are called `<image stem>-<index>-<type>.<ext>`; `results.json`, the last one, has what the \
                status says of each picture, and as `file` of each output its name in the archive. Should a file be \
                missing midway, the answer breaks off.",
            parameters: [
                group(),
                vec![flag("partial", "What there is so far, of a group that has not ended.")],
                signed(),
            ].concat(),
            body: None,
            success: ("200", json!({
                "description": "The archive.",
                "headers": {"Content-Disposition": {"schema": {"type": "string"}}},
                "content": {"application/zip": {}},
            })),
            problems: &["400", "404", "409", "410", "503"],
        }.described()},
        "/api/groups/{group}/retry": {"post": retry("retryGroup", group())},
        "/api/jobs/{job}": {
            "get": Operation {
                id: "job",
                tag: "work",
                about: "The status of a job: the same document, of one picture.",
                more: "",
                parameters: job(),
                body: None,
                success: ("200", status("The status.")),
                problems: &["400", "404", "503"],
            }.described(),
            "delete": Operation {
                id: "cancelJob",
                tag: "work",
                about: "Cancel a job that has not ended.",
                more: "",
                parameters: job(),
                body: None,
                success: ("200", status("The status.")),
                problems: &["400", "404", "503"],
            }.described(),
        },
        "/api/jobs/{job}/retry": {"post": retry("retryJob", job())},
        "/files/{group}/{job}/{run}/{file}": {"get": Operation {
            id: "file",
            tag: "pictures",
            about: "An output, by the path that the status tells.",
            more: "What lies at a path never changes. Preconditions, and a single range, are honoured as RFC 9110 \
                says.",
            parameters: [vec![
                parameter("group"),
                parameter("job"),
                in_path("run", "The run of the job that wrote it.", json!({"type": "string"})),
                in_path("file", "Its name.", json!({"type": "string"})),
                flag("download", "Have browsers save it rather than show it."),
            ], signed()].concat(),
            body: None,
            success: ("200", json!({
                "description": "The picture.",
                "headers": {
                    "ETag": {"schema": {"type": "string"}},
                    "Last-Modified": {"schema": {"type": "string"}},
                    "Accept-Ranges": {"schema": {"const": "bytes"}},
                    "Content-Disposition": {"schema": {"type": "string"}},
                    "Cache-Control": {"schema": {"type": "string"}},
                },
                "content": Format::ALL.iter().filter(|format| format.is_writable()).map(|format| {
                    (format.media_type().to_owned(), json!({}))
                }).collect::<Map<_, _>>(),
            })),
            problems: &["206", "304", "400", "404", "410", "412", "416"],
        }.described()},
        "/metrics": {"get": plain("metrics", "Metrics in OpenMetrics' text format.",
            "application/openmetrics-text", &["503"])},
        "/healthz": {"get": open(plain("alive", "Whether the process runs.", "application/json", &[]))},
        "/readyz": {"get": open(plain("ready", "Whether uploads would be taken and worked on.",
            "application/json", &["503"]))},
        "/openapi.json": {"get": open(page("openapi", "This document.", &["application/json"]))},
        "/login": {"get": open(login_page())},
        "/api/login": {"post": login()},
        "/api/logout": {"post": logout()},
        "/docs": {"get": open(page("docs", "This document, for people.", &["text/html"]))},
        "/problems": {"get": open(page("problems", "Every error code; as a page where `Accept` prefers HTML.",
            &["application/json", "text/html"]))},
        "/problems/{code}": {"get": open(Operation {
            id: "problem",
            tag: "documentation",
            about: "What an error code means, and what to do; as a page where `Accept` prefers HTML.",
            more: "A problem's `type` is this address.",
            parameters: vec![in_path("code", "The code.", json!({"type": "string", "examples": ["too-large"]}))],
            body: None,
            success: ("200", json!({
                "description": "The code.",
                "content": {"application/json": {"schema": reference("Code")}, "text/html": {}},
            })),
            problems: &["404"],
        }.described())},
    })
}

/// One method of a path.
pub(super) struct Operation {
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) about: &'static str,
    pub(super) more: &'static str,
    pub(super) parameters: Vec<Value>,
    pub(super) body: Option<Value>,
    pub(super) success: (&'static str, Value),
    /// The statuses of `components.responses` beside 401, 403 and 429, which all guarded ones have, and 500.
    pub(super) problems: &'static [&'static str],
}

impl Operation {
    pub(super) fn described(self) -> Value {
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

fn retry(id: &'static str, parameters: Vec<Value>) -> Value {
    Operation {
        id,
        tag: "work",
        about: "Try what has failed or was cancelled again.",
        more: "As a group of its own, whose status names the first in `retry_of`.",
        parameters,
        body: None,
        success: (
            "202",
            json!({
                "description": "Taken.",
                "headers": {"Location": {"schema": {"type": "string"}, "description": "The new group's status."}},
                "content": content("Submitted"),
            }),
        ),
        problems: &["400", "404", "409", "503"],
    }
    .described()
}

fn plain(id: &'static str, about: &'static str, media_type: &str, problems: &'static [&'static str]) -> Value {
    let success = json!({"description": about, "content": {media_type: {}}});
    let (more, parameters, body) = ("", Vec::new(), None);
    Operation { id, tag: "operations", about, more, parameters, body, success: ("200", success), problems }.described()
}

fn page(id: &'static str, about: &'static str, media_types: &[&str]) -> Value {
    let content: Map<_, _> = media_types.iter().map(|&media_type| (media_type.to_owned(), json!({}))).collect();
    let success = ("200", json!({"description": about, "content": content}));
    let (more, parameters, body, tag) = ("", Vec::new(), None, "documentation");
    Operation { id, tag, about, more, parameters, body, success, problems: &[] }.described()
}

fn login_page() -> Value {
    let success = ("200", json!({"description": "The page.", "content": {"text/html": {}}}));
    let next = json!({"name": "next", "in": "query", "schema": {"type": "string"},
        "description": "Where it leads on to: a path of this server."});
    let (about, more, parameters, body) = ("The page to log in on.", "", vec![next], None);
    Operation { id: "loginPage", tag: "pages", about, more, parameters, body, success, problems: &["303"] }.described()
}

fn login() -> Value {
    let cookie = json!({"Set-Cookie": {"schema": {"type": "string"}, "description": "The login."}});
    let login = || json!({"schema": reference("Login")});
    let mut described = Operation {
        id: "login",
        tag: "pages",
        about: "Log in with an API key: the answer sets a cookie.",
        more: "For pages: a form is answered with a page, and led on to its `next`, a path of this server.",
        parameters: Vec::new(),
        body: Some(json!({
            "required": true,
            "content": {"application/json": login(), "application/x-www-form-urlencoded": login()},
        })),
        success: ("200", json!({"description": "Logged in.", "headers": cookie, "content": content("Session")})),
        problems: &["303", "400", "415"],
    }
    .described();
    described["security"] = json!([]);
    described
}

fn logout() -> Value {
    let mut described = Operation {
        id: "logout",
        tag: "pages",
        about: "Log out: the answer takes the cookie away.",
        more: "",
        parameters: Vec::new(),
        body: None,
        success: ("204", json!({"description": "Logged out."})),
        problems: &["303"],
    }
    .described();
    described["security"] = json!([]);
    if let Some(responses) = described["responses"].as_object_mut() {
        responses.remove("401");
        responses.remove("429");
    }
    described
}

/// Without a key, from anywhere.
fn open(mut described: Value) -> Value {
    described["security"] = json!([]);
    if let Some(responses) = described["responses"].as_object_mut() {
        for status in ["401", "403", "429"] {
            responses.remove(status);
        }
    }
    described
}

fn upload_form(limits: &config::Limits) -> Value {
    json!({
        "required": true,
        "content": {"multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["images"],
                "additionalProperties": false,
                "properties": {
                    "images": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": limits.max_files,
                        "items": {"type": "string", "contentMediaType": "application/octet-stream"},
                        "description": format!(
                            "The pictures, at most {} bytes each, {} in all.",
                            limits.max_file_bytes, limits.max_request_bytes
                        ),
                    },
                    "operations": openapi_sources::operations_or_preset(),
                    "options": reference("Options"),
                },
            },
            "encoding": {
                "operations": {"contentType": "application/json"},
                "options": {"contentType": "application/json"},
            },
        }},
    })
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
    too_often["headers"]["RateLimit-Policy"] = field("The limits, where there are some, as on all answers.");
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
        "403": problem("The key lacks the scope that this needs; a signed link has expired or was changed; with a \
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
        "503": later("Not at present: the queue is away or full, or the disk is."),
    })
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
            "required": ["status", "task_id", "total_images", "done", "succeeded", "failed", "cancelled", "progress",
                "created_at", "finished_at", "result", "links"],
            "properties": {
                "status": {"enum": ["processing", "completed", "failed", "cancelled"], "description":
                    "Any picture open: `processing`; else any cancelled: `cancelled`; else none succeeded: `failed`; \
                    else `completed`."},
                "task_id": text("The group's or the job's id."),
                "total_images": count("Accepted pictures."),
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
                "result": {"type": "array", "items": reference("Result"), "maxItems": 1000,
                    "description": "Pictures that have ended, in the upload's order."},
                "rejected": {"type": "array", "items": reference("Rejected")},
                "files": {"enum": ["erasing", "erased"], "description": "There where the group's files were erased, or \
                    are about to be: no path leads anywhere."},
                "retry_of": text("The group or job that this one tries again."),
                "request_id": text("The `X-Request-Id` of the request that it came with; logs name it."),
                "follows": text("The group whose originals these are."),
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
            },
            "additionalProperties": false,
        },
    })
}

pub(super) fn count(about: &str) -> Value {
    json!({"type": "integer", "minimum": 0, "description": about})
}

pub(super) fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

pub(super) fn content(schema: &str) -> Value {
    json!({"application/json": {"schema": reference(schema)}})
}

pub(super) fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

pub(super) fn parameter(name: &str) -> Value {
    json!({"$ref": format!("#/components/parameters/{name}")})
}

fn flag(name: &str, about: &str) -> Value {
    json!({"name": name, "in": "query", "description": about, "schema": {"enum": ["true", "1", "false", "0"]}})
}

/// What a signed link bears.
fn signed() -> Vec<Value> {
    let about = "Of a signed link, as the status has it where API keys are configured.";
    ["expires", "signature"]
        .map(|name| json!({"name": name, "in": "query", "description": about, "schema": {"type": "string"}}))
        .to_vec()
}

#[allow(clippy::needless_pass_by_value, reason = "as json! makes it")]
pub(super) fn in_path(name: &str, about: &str, schema: Value) -> Value {
    json!({"name": name, "in": "path", "required": true, "description": about, "schema": schema})
}
