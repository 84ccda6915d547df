//! Pages for people: `/docs`, made from the OpenAPI document, and `/problems`, made from the table of codes.
//!
//! They are whole without another request and work without the internet. All can be read without a script; `/docs` has
//! one, its own, that sends the requests that it describes. Which of a problem's two forms is sent, `Accept` says.

mod reference;
mod schema;
mod trying;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::base::path;
use super::operation::{self, Operation, in_path, ok_as};
use super::page::{self, Page, escaped, inline};
use super::{Problem, Shared, UrlPath};
use crate::codes::{self, Code};

/// `GET /docs`.
pub(super) async fn reference(State(services): Shared, request: Request) -> Response {
    let address = services.access.address(&request.into_parts().0);
    reference::page(&services.openapi, &address).into_response()
}

pub(super) fn reference_docs() -> Operation {
    let about = "This document, for people.";
    Operation::new("docs", "documentation", about, ok_as(about, &["text/html"]))
}

/// `GET /problems`: every code.
pub(super) async fn problems(headers: HeaderMap) -> Response {
    if !page::is_wanted(&headers) {
        return Json(codes::ALL.iter().map(told).collect::<Value>()).into_response();
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

pub(super) fn problems_docs() -> Operation {
    let about = "Every error code; as a page where `Accept` prefers HTML.";
    Operation::new("problems", "documentation", about, ok_as(about, &["application/json", "text/html"]))
}

/// `GET /problems/{code}`: what a problem's `type` leads to.
pub(super) async fn problem(UrlPath(code): UrlPath<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let code = codes::find(&code)
        .ok_or_else(|| Problem::not_found(format!("There is no error code `{code}`: see {}.", path("/problems"))))?;
    if !page::is_wanted(&headers) {
        return Ok(Json(told(code)).into_response());
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

pub(super) fn problem_docs() -> Operation {
    let answer = json!({
        "description": "The code.",
        "content": {"application/json": {"schema": operation::reference("Code")}, "text/html": {}},
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

fn told(code: &Code) -> Value {
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
