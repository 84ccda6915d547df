//! Logging in: `POST /api/login` takes a key and sets a cookie, `/login` is the page for it.
//!
//! Programs send JSON and get JSON. The page posts a form, works without a script and loads nothing else. It leads on
//! to `next`, a path of this service, or to the first page.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use url::form_urlencoded;

use super::page::{Page, escaped};
use super::parts::bar;
use crate::auth::keys::Key;
use crate::config::Scope;
use crate::http::Services;
use crate::http::access::{Access, Login, refused, removed_cookies};
use crate::http::answers::go_on_to;
use crate::http::base::{Base, path};
use crate::http::operation::{Operation, content, ok_as, problem_or_page, reference};
use crate::http::problem::Problem;
use crate::http::server::broken_off;

/// Most bytes of a login. A key and a path are far shorter.
const MOST_BYTES: usize = 4096;
const PAGE: &str = "/login";
/// Where a login without `next` leads.
const FIRST: &str = "/";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(default)]
    key: String,
    next: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Form,
}

/// `POST /api/login`: sets a cookie for a client that sends a key.
pub(in crate::http) async fn login(State(services): State<Arc<Services>>, request: Request) -> Response {
    let access = &services.access;
    let (request, body) = request.into_parts();
    let kind = kind(&request.headers);
    let (next, begun) = match read(access, kind, &request, body).await {
        Ok(Form { key, next }) => {
            let next = next.as_deref().and_then(own_path);
            (next, access.log_in(key.trim(), &request).await)
        }
        Err(problem) => (None, Err(problem)),
    };
    let Login { key, end, cookie } = match begun {
        Ok(begun) => begun,
        Err(problem) => return not_let_in(&services, kind, problem, next.as_deref()),
    };
    let cookie = [(header::SET_COOKIE, cookie)];
    if kind == Some(Kind::Form) {
        return (cookie, go_on_to(&path(next.as_deref().unwrap_or(FIRST)))).into_response();
    }
    let body = Json(json!({"name": key.name, "scopes": key.scopes, "expires_at": end}));
    (cookie, [(header::CACHE_CONTROL, "no-store")], body).into_response()
}

pub(in crate::http) fn login_docs() -> Operation {
    let cookie = json!({"Set-Cookie": {"schema": {"type": "string"}, "description": "The login."}});
    let answer = json!({"description": "Logged in.", "headers": cookie, "content": content("Session")});
    let login = || json!({"schema": reference("Login")});
    let operation =
        Operation::new("login", "pages", "Log in with an API key: the answer sets a cookie.", ("200", answer))
            .details("For pages: a form is answered with a page, and led on to its `next`, a path of this server.")
            .body(json!({
                "required": true,
                "content": {"application/json": login(), "application/x-www-form-urlencoded": login()},
            }))
            .problems(&["303", "400", "415", "503", "401", "403", "429"]);
    let problem = problem_or_page("A problem; to a form, the form again, which tells of it.");
    let refused = ["400", "401", "403", "415", "429", "503"];
    refused.iter().fold(operation, |operation, status| operation.answer(status, problem.clone()))
}

/// The answer to a form is the page, that to JSON a problem document; both have the status.
fn not_let_in(services: &Services, kind: Option<Kind>, problem: Problem, next: Option<&str>) -> Response {
    let detail = problem.detail().to_owned();
    let mut response = refused(services, problem);
    if kind == Some(Kind::Form) {
        let (status, retry_after) = (response.status(), response.headers_mut().remove(header::RETRY_AFTER));
        response = (status, document(&Shown::Form { problem: Some(&detail), next })).into_response();
        response.headers_mut().extend(retry_after.map(|after| (header::RETRY_AFTER, after)));
    }
    response
}

async fn read(access: &Access, kind: Option<Kind>, request: &Parts, body: Body) -> Result<Form, Problem> {
    // Otherwise a page of another site could log its visitors in with a key of its own.
    access.same_origin(request)?;
    let invalid = |detail: String| Problem::bad_request("invalid-login", detail);
    let body = axum::body::to_bytes(body, MOST_BYTES).await.map_err(|error| {
        let cut_off = || invalid(format!("The login was cut off, or has more than {MOST_BYTES} bytes."));
        broken_off(&error).unwrap_or_else(cut_off)
    })?;
    match kind {
        Some(Kind::Json) => {
            serde_json::from_slice(&body).map_err(|error| invalid(format!("The login is not {{\"key\": …}}: {error}.")))
        }
        Some(Kind::Form) => {
            Ok(form_urlencoded::parse(&body).fold(Form::default(), |form, (name, value)| match &*name {
                "key" => Form { key: value.into_owned(), ..form },
                "next" => Form { next: Some(value.into_owned()), ..form },
                _ => form,
            }))
        }
        None => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "invalid-login",
            "Send the key as application/json, {\"key\": …}, or as a form's field `key`.",
        )),
    }
}

fn kind(headers: &HeaderMap) -> Option<Kind> {
    let media_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
    match media_type {
        json if json.eq_ignore_ascii_case("application/json") => Some(Kind::Json),
        form if form.eq_ignore_ascii_case("application/x-www-form-urlencoded") => Some(Kind::Form),
        _ => None,
    }
}

/// `POST /api/logout`: removes the cookie.
pub(in crate::http) async fn logout(State(services): State<Arc<Services>>, request: Request) -> Response {
    let request = request.into_parts().0;
    if let Err(problem) = services.access.same_origin(&request) {
        return refused(&services, problem);
    }
    let cookies = AppendHeaders(removed_cookies().map(|cookie| (header::SET_COOKIE, cookie)));
    match kind(&request.headers) {
        Some(Kind::Form) => (cookies, go_on_to(&path(PAGE))).into_response(),
        _ => (cookies, StatusCode::NO_CONTENT).into_response(),
    }
}

pub(in crate::http) fn logout_docs() -> Operation {
    let answer = json!({"description": "Logged out."});
    Operation::new("logout", "pages", "Log out: the answer takes the cookie away.", ("204", answer))
        .problems(&["303", "500", "403"])
}

/// `GET /login`: the page to log in on. It leads a browser that is logged in on to `next`.
pub(in crate::http) async fn page(State(services): State<Arc<Services>>, request: Request) -> Response {
    let (access, request) = (&services.access, request.into_parts().0);
    let next = next_of(&request.uri).as_deref().and_then(own_path);
    let needs_login = access.needs_login().await;
    match (&next, access.login(&request).await) {
        (Some(next), Some(_)) => go_on_to(&path(next)).into_response(),
        (Some(next), None) if !needs_login => go_on_to(&path(next)).into_response(),
        (None, Some((key, end))) => document(&Shown::Held { key: &key, end }).into_response(),
        (next, None) => {
            let problem = (!needs_login).then_some("There are no API keys yet, and so no login is needed.");
            document(&Shown::Form { problem, next: next.as_deref() }).into_response()
        }
    }
}

pub(in crate::http) fn page_docs() -> Operation {
    let next = json!({"name": "next", "in": "query", "schema": {"type": "string"},
        "description": "Where it leads on to: a path of this server."});
    Operation::new("loginPage", "pages", "The page to log in on.", ok_as("The page.", &["text/html"]))
        .parameters([next])
        .problems(&["303"])
}

fn next_of(uri: &Uri) -> Option<String> {
    let mut fields = form_urlencoded::parse(uri.query()?.as_bytes());
    fields.find(|(name, _)| name == "next").map(|(_, value)| value.into_owned())
}

/// `next` as one of the service's own paths; `None` if it leads elsewhere. It may have the prefix of a proxy.
fn own_path(next: &str) -> Option<String> {
    let base = Base::current();
    let rest = next.strip_prefix(base.as_str()).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    let own = match rest {
        Some(rest) if !rest.starts_with('/') => format!("/{rest}"),
        rest => rest.unwrap_or(next).to_owned(),
    };
    is_local_path(&own).then_some(own)
}

/// Whether every browser takes it for a path of this server. `//host` and `/\host` lead to other hosts, and browsers
/// ignore tabs and line ends.
fn is_local_path(next: &str) -> bool {
    next.starts_with('/')
        && !next.starts_with("//")
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

enum Shown<'a> {
    Form { problem: Option<&'a str>, next: Option<&'a str> },
    Held { key: &'a Key, end: Timestamp },
}

fn document(shown: &Shown) -> impl IntoResponse + use<> {
    let body = match shown {
        Shown::Form { problem, next } => {
            let problem = problem.map_or(String::new(), |text| {
                format!("<div class=\"note x\"><p role=\"alert\">{}</p></div>", escaped(text))
            });
            let next = next.map_or(String::new(), |next| {
                format!("<input type=\"hidden\" name=\"next\" value=\"{}\">", escaped(next))
            });
            format!(
                "<h1>Log in to pixmill</h1>{problem}<form class=\"panel\" method=\"post\" action=\"{}\">\
                 <div class=\"pad\"><div class=\"field\"><label for=\"key\">API key</label><input id=\"key\" name=\"key\" \
                 type=\"password\" required autofocus autocomplete=\"current-password\"></div>{next}\
                 <p><button class=\"btn main\">Log in</button></p><p class=\"q\">The operator of this service makes keys: \
                 <code>pixmill keys create</code>.</p></div></form>",
                path("/api/login"),
            )
        }
        Shown::Held { key, end } => {
            let scopes: Vec<&str> = key.scopes.iter().copied().map(Scope::as_str).collect();
            let (name, scopes) = (escaped(&key.name), scopes.join(", "));
            format!(
                "<h1>Logged in as {name}</h1><p>Scopes: {scopes}. Until {end:.0}.</p><p class=\"row\">\
                 <a class=\"btn main\" href=\"{}\">Upload pictures</a><a href=\"{}\">Documentation</a></p>\
                 <form method=\"post\" action=\"{}\"><button class=\"btn\">Log out</button></form>",
                path(FIRST),
                path("/docs"),
                path("/api/logout"),
            )
        }
    };
    (
        [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))],
        Page::to_work_with("Log in", "", &bar(None, false), "slim", &body),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_server_are_gone_on_to() {
        for path in ["/", "/docs", "/files/a/b?x=1&y=%20", "/a//b", "/@host"] {
            assert!(is_local_path(path), "{path}");
        }
        for path in [
            "",
            "docs",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "/\n",
            "https://evil.example",
            "/ä",
            "/a b",
        ] {
            assert!(!is_local_path(path), "{path:?}");
        }
    }

    #[tokio::test]
    async fn next_is_a_path_with_or_without_the_prefix() {
        let base = Base::configured("/mill");
        base.scope(async {
            for (next, own) in [
                ("/docs?x=1", Some("/docs?x=1")),
                ("/mill/docs", Some("/docs")),
                ("/mill", Some("/")),
                ("/mill?x", Some("/?x")),
                ("/mills", Some("/mills")),
                ("/mill//evil.example", None),
                ("//evil.example", None),
                ("https://evil.example", None),
            ] {
                assert_eq!(own_path(next).as_deref(), own, "{next}");
            }
        })
        .await;
    }
}
