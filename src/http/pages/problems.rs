//! `GET /problems` and `GET /problems/{code}`: the table of error codes, as JSON, or as pages where `Accept` prefers HTML.

use axum::Json;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::page::{self, Page, escaped, inline};
use crate::errors::codes::{self, Code};
use crate::http::base::path;
use crate::http::operation::{Operation, in_path, ok_as, reference};
use crate::http::problem::Problem;
use crate::http::request::UrlPath;

/// `GET /problems`: every code.
pub(in crate::http) async fn list(headers: HeaderMap) -> Response {
    if !page::is_wanted(&headers) {
        return Json(codes::ALL.iter().map(shown).collect::<Value>()).into_response();
    }
    let entries = codes::ALL.iter().map(|code| {
        let (name, meaning) = (code.name, inline(code.meaning));
        let about = path(&format!("/problems/{name}"));
        format!("<li><a href=\"{about}\"><code>{name}</code></a> <span class=\"about\">{meaning}</span></li>")
    });
    let body = format!(
        "<h1>Error codes</h1><p>Each stands in an answer's <code>code</code>, under <code>rejected</code>, or in the \
         <code>error</code> of a picture. They stay the same.</p><ul class=\"list\">{}</ul>\
         <p><a href=\"{}\">The API's documentation</a></p>",
        entries.collect::<String>(),
        path("/docs"),
    );
    Page::alone("Error codes", &body).into_response()
}

pub(in crate::http) fn list_docs() -> Operation {
    let about = "Every error code; as a page where `Accept` prefers HTML.";
    Operation::new("problems", "documentation", about, ok_as(about, &["application/json", "text/html"]))
}

/// One code. A problem's `type` is this address.
pub(in crate::http) async fn one(UrlPath(code): UrlPath<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let code = codes::find(&code)
        .ok_or_else(|| Problem::not_found(format!("There is no error code `{code}`: see {}.", path("/problems"))))?;
    if !page::is_wanted(&headers) {
        return Ok(Json(shown(code)).into_response());
    }
    let status = if code.statuses.is_empty() { String::new() } else { row("Status", &code.statuses_shown()) };
    let body = format!(
        "<h1><code>{name}</code></h1><p>{meaning}</p><p><strong>What to do:</strong> {remedy}</p>\
         <dl>{status}{places}{retry}</dl><p><a href=\"{all}\">All codes</a> · \
         <a href=\"{docs}\">The API's documentation</a></p>",
        all = path("/problems"),
        docs = path("/docs"),
        name = code.name,
        meaning = inline(code.meaning),
        remedy = inline(code.remedy),
        places = row("Met in", &code.places_shown()),
        retry = row("Again?", code.retry.shown()),
    );
    Ok(Page::alone(code.name, &body).into_response())
}

pub(in crate::http) fn one_docs() -> Operation {
    let answer = json!({
        "description": "The code.",
        "content": {"application/json": {"schema": reference("Code")}, "text/html": {}},
    });
    let summary = "What an error code means, and what to do; as a page where `Accept` prefers HTML.";
    Operation::new("problem", "documentation", summary, ("200", answer))
        .details("A problem's `type` is this address.")
        .parameters([in_path("code", "The code.", json!({"type": "string", "examples": ["too-large"]}))])
        .problems(&["404"])
}

fn row(name: &str, value: &str) -> String {
    format!("<dt>{}</dt><dd>{}</dd>", escaped(name), inline(value))
}

fn shown(code: &Code) -> Value {
    json!({
        "code": code.name,
        "type": path(&format!("/problems/{}", code.name)),
        "statuses": code.statuses,
        "places": code.places.iter().map(|place| place.shown().replace('`', "")).collect::<Vec<_>>(),
        "retry": code.retry == codes::Retry::Later,
        "meaning": code.meaning,
        "remedy": code.remedy,
    })
}
