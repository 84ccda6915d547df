//! The paths of uploads, groups, jobs, files, pages and operators' tools.

use imaging::Format;
use serde_json::{Map, Value, json};

use super::{Operation, content, in_path, parameter, reference, sources};
use crate::config;

pub(super) fn paths(limits: &config::Limits) -> Value {
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
            problems: &["206", "304", "400", "404", "410", "412", "416", "503"],
        }.described()},
        "/": {"get": open(page("start", "The first page, to upload pictures on; links where `Accept` does not prefer HTML.",
            &["application/json", "text/html"]))},
        "/groups/{group}": {"get": or_page(Operation {
            id: "groupPage",
            tag: "pages",
            about: "A group's page, which reloads itself until the group has ended.",
            more: "A browser without a login is redirected to `/login`.",
            parameters: paged(group()),
            body: None,
            success: ("200", json!({"description": "The page.", "content": {"text/html": {}}})),
            problems: &["303", "400", "404", "503"],
        }.described())},
        "/upload": {"post": or_page(Operation {
            id: "uploadPage",
            tag: "pages",
            about: "An upload from the first page's form, which works without a script.",
            more: "The form of `/api/upload`. If a field is there twice, the last one that is not blank counts.",
            parameters: Vec::new(),
            body: Some(upload_form(limits)),
            success: ("303", json!({
                "description": "Taken; the group's page.",
                "headers": {"Location": {"schema": {"type": "string"}}},
            })),
            problems: &["400", "408", "409", "413", "415", "422", "503"],
        }.described())},
        "/metrics": {"get": plain("metrics", "Metrics, in OpenMetrics' text format or in Prometheus' own as `Accept` prefers.",
            &["application/openmetrics-text", "text/plain"], &["503"])},
        "/healthz": {"get": open(plain("alive", "Whether the process runs.", &["application/json"], &[]))},
        "/readyz": {"get": open(plain("ready", "Whether uploads would be taken and worked on; if not, all that is wrong.",
            &["application/json"], &["503"]))},
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

fn plain(id: &'static str, about: &'static str, media_types: &[&str], problems: &'static [&'static str]) -> Value {
    let content: Map<_, _> = media_types.iter().map(|&media_type| (media_type.to_owned(), json!({}))).collect();
    let success = json!({"description": about, "content": content});
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
        problems: &["303", "400", "415", "503"],
    }
    .described();
    described["security"] = json!([]);
    let problem = json!({
        "description": "A problem; to a form, the form again, which tells of it.",
        "content": {"application/problem+json": {"schema": reference("Problem")}, "text/html": {}},
    });
    for status in ["400", "401", "403", "415", "429", "503"] {
        described["responses"][status] = problem.clone();
    }
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

/// Whose refusals are pages for browsers.
fn or_page(mut described: Value) -> Value {
    let responses = described["responses"].as_object_mut().into_iter().flatten();
    for (_, response) in responses.filter(|(status, _)| status.starts_with(['4', '5'])) {
        *response = json!({
            "description": "A problem document; for browsers, a page with it.",
            "content": {"application/problem+json": {"schema": reference("Problem")}, "text/html": {}},
        });
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
                    "operations": sources::operations_or_preset(),
                    "options": reference("Options"),
                    "preset": {"type": "string", "description": "A preset's name, as in `options`; for forms without a script. \
                        A blank field counts as left out, as do blank `operations` and `options`."},
                },
            },
            "encoding": {
                "operations": {"contentType": "application/json"},
                "options": {"contentType": "application/json"},
            },
        }},
    })
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
