//! Pages for people: `/docs`, made from the OpenAPI document, and `/problems`, made from the table of codes.
//!
//! They are whole without a script or another request, so that their policy can forbid both, and they work without
//! the internet. Which of a problem's two forms is sent, `Accept` says.

mod page;
mod reference;
mod schema;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Problem, Shared, UrlPath, openapi};
use crate::codes::{self, Code};
use page::{Page, escaped, inline};

/// `GET /docs`.
pub(super) async fn reference(State(services): Shared) -> Response {
    reference::page(&openapi::document(&services.limits, &services.queue)).into_response()
}

/// `GET /problems`: every code.
pub(super) async fn problems(headers: HeaderMap) -> Response {
    if !wants_page(&headers) {
        return Json(codes::ALL.iter().map(told).collect::<Value>()).into_response();
    }
    let entries = codes::ALL.iter().map(|code| {
        let (name, meaning) = (code.name, inline(code.meaning));
        format!("<li><a href=\"/problems/{name}\"><code>{name}</code></a> <span class=\"about\">{meaning}</span></li>")
    });
    let body = format!(
        "<h1>Error codes</h1><p>Each stands in an answer's <code>code</code>, under <code>rejected</code>, or in the \
         <code>error</code> of a picture. They stay the same.</p><ul class=\"list\">{}</ul>\
         <p><a href=\"/docs\">The API's documentation</a></p>",
        entries.collect::<String>()
    );
    Page::alone("Error codes", &body).into_response()
}

/// `GET /problems/{code}`: what a problem's `type` leads to.
pub(super) async fn problem(UrlPath(code): UrlPath<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let code = codes::find(&code)
        .ok_or_else(|| Problem::not_found(format!("There is no error code `{code}`: see /problems.")))?;
    if !wants_page(&headers) {
        return Ok(Json(told(code)).into_response());
    }
    let status = if code.statuses.is_empty() { String::new() } else { row("Status", &code.statuses_shown()) };
    let body = format!(
        "<h1><code>{name}</code></h1><p>{meaning}</p><p><strong>What to do:</strong> {remedy}</p>\
         <dl>{status}{places}{retry}</dl><p><a href=\"/problems\">All codes</a> · \
         <a href=\"/docs\">The API's documentation</a></p>",
        name = code.name,
        meaning = inline(code.meaning),
        remedy = inline(code.remedy),
        places = row("Met in", &code.places_shown()),
        retry = row("Again?", code.retry.shown()),
    );
    Ok(Page::alone(code.name, &body).into_response())
}

fn row(name: &str, value: &str) -> String {
    format!("<dt>{}</dt><dd>{}</dd>", escaped(name), inline(value))
}

fn told(code: &Code) -> Value {
    json!({
        "code": code.name,
        "type": format!("/problems/{}", code.name),
        "statuses": code.statuses,
        "places": code.places.iter().map(|place| place.shown().replace('`', "")).collect::<Vec<_>>(),
        "retry": code.retry == codes::Retry::Later,
        "meaning": code.meaning,
        "remedy": code.remedy,
    })
}

/// Browsers ask for HTML by name; programs do not.
fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| {
        let types = accept.split(',').map(|one| one.split(';').next().unwrap_or_default().trim());
        types.into_iter().find(|one| ["text/html", "application/json"].contains(one)) == Some("text/html")
    })
}
