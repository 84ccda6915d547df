//! Logging in: `POST /api/login` takes a key and sets a cookie, `/login` is the page for it.
//!
//! Programs send JSON and get JSON. The page posts a form, works without scripts and loads nothing; it goes on to where
//! `next` says, which is a path of this server or nowhere.

use std::sync::{Arc, LazyLock};

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tracing::info;
use url::form_urlencoded;

use super::peer::Peer;
use super::{Access, Problem, Services, refused, session};
use crate::config::Scope;
use crate::keys::Key;

/// A key and a path are far shorter.
const MOST_BYTES: usize = 4096;
const PAGE: &str = "/login";

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

/// Sets a cookie for whoever shows a key.
pub(in crate::http) async fn login(State(services): State<Arc<Services>>, request: Request) -> Response {
    let access = &services.access;
    let (request, body) = request.into_parts();
    let (peer, kind) = (access.peer(&request), kind(&request.headers));
    let (next, begun) = match read(access, kind, &request, body).await {
        Ok(Form { key, next }) => {
            let next = next.filter(|next| is_local_path(next));
            (next, begin(access, key.trim(), &peer).await)
        }
        Err(problem) => (None, Err(problem)),
    };
    let (key, session, end) = match begun {
        Ok(begun) => begun,
        Err(problem) => return not_let_in(&services, kind, problem, next.as_deref()),
    };
    info!(key = key.name, "`{}` has logged in from {}", key.name, peer.address);
    let seconds = end.duration_since(Timestamp::now()).as_secs();
    let cookie = [(header::SET_COOKIE, session::set_cookie(&session, seconds, peer.https))];
    if kind == Some(Kind::Form) {
        return (cookie, go_on_to(next.as_deref().unwrap_or(PAGE))).into_response();
    }
    let body = Json(json!({"name": key.name, "scopes": key.scopes, "expires_at": end}));
    (cookie, [(header::CACHE_CONTROL, "no-store")], body).into_response()
}

/// A person gets the page again, and a program a document; both get the status.
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

async fn begin(access: &Access, shown: &str, peer: &Peer) -> Result<(Arc<Key>, String, Timestamp), Problem> {
    let listing = access.created.listing().await;
    let key = access.verify(shown, peer, &listing)?;
    let (session, end) = access.sessions.begin(&key, Timestamp::now()).await?;
    Ok((key, session, end))
}

async fn read(access: &Access, kind: Option<Kind>, request: &Parts, body: Body) -> Result<Form, Problem> {
    // Or a page elsewhere could log its visitors in as somebody else.
    session::same_origin(request, &access.server)?;
    let invalid = |detail: String| Problem::bad_request("invalid-login", detail);
    let body = axum::body::to_bytes(body, MOST_BYTES)
        .await
        .map_err(|_| invalid(format!("The login was cut off, or has more than {MOST_BYTES} bytes.")))?;
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

/// Takes the cookie away, under both its names.
pub(in crate::http) async fn logout(State(services): State<Arc<Services>>, request: Request) -> Response {
    let request = request.into_parts().0;
    if let Err(problem) = session::same_origin(&request, &services.access.server) {
        return refused(&services, problem);
    }
    // The browser may have been here over http, too.
    let cookies = AppendHeaders([false, true].map(|https| (header::SET_COOKIE, session::set_cookie("", 0, https))));
    match kind(&request.headers) {
        Some(Kind::Form) => (cookies, go_on_to(PAGE)).into_response(),
        _ => (cookies, StatusCode::NO_CONTENT).into_response(),
    }
}

/// The page to log in on; who is logged in already is led on.
pub(in crate::http) async fn page(State(services): State<Arc<Services>>, request: Request) -> Response {
    let (access, request) = (&services.access, request.into_parts().0);
    let next = next_of(&request.uri).filter(|next| is_local_path(next));
    let listing = access.created.listing().await;
    let held = match session::cookie(&request.headers, access.peer(&request).https) {
        Some(cookie) => access.of_session(cookie, &listing).await.unwrap_or_default(),
        None => None,
    };
    match (&next, held) {
        (Some(next), Some(_)) => go_on_to(next).into_response(),
        (Some(next), None) if access.is_open(&listing) => go_on_to(next).into_response(),
        (None, Some((key, end))) => document(&Shown::Held { key: &key, end }).into_response(),
        (next, None) => {
            let problem = access.is_open(&listing).then_some("There are no API keys yet, and so no login is needed.");
            document(&Shown::Form { problem, next: next.as_deref() }).into_response()
        }
    }
}

fn next_of(uri: &Uri) -> Option<String> {
    let mut fields = form_urlencoded::parse(uri.query()?.as_bytes());
    fields.find(|(name, _)| name == "next").map(|(_, value)| value.into_owned())
}

/// Whether it leads to a path of this server, whatever a browser makes of it: `//host` and `/\host` lead elsewhere, and
/// browsers overlook tabs and line ends.
fn is_local_path(next: &str) -> bool {
    next.starts_with('/')
        && !next.starts_with("//")
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

fn go_on_to(path: &str) -> (StatusCode, [(header::HeaderName, HeaderValue); 2]) {
    let path = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static(PAGE));
    let headers = [(header::LOCATION, path), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (StatusCode::SEE_OTHER, headers)
}

enum Shown<'a> {
    Form { problem: Option<&'a str>, next: Option<&'a str> },
    Held { key: &'a Key, end: Timestamp },
}

const STYLE: &str = "\
    :root{color-scheme:light dark}\
    body{font:1rem/1.5 system-ui,sans-serif;max-width:24rem;margin:15vh auto;padding:0 1rem}\
    h1{font-size:1.4rem}\
    input,button{font:inherit;box-sizing:border-box;width:100%;padding:.5rem;margin:.25rem 0 1rem}\
    [role=alert]{border-left:.25rem solid #c33;padding-left:.75rem}";

/// Nothing may be loaded or run but this style, and forms go here only.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let style = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    HeaderValue::try_from(policy).expect("it is plain ASCII")
});

fn document(shown: &Shown) -> impl IntoResponse + use<> {
    let body = match shown {
        Shown::Form { problem, next } => {
            let problem = problem.map_or(String::new(), |text| format!("<p role=\"alert\">{}</p>", escaped(text)));
            let next = next.map_or(String::new(), |next| {
                format!("<input type=\"hidden\" name=\"next\" value=\"{}\">", escaped(next))
            });
            format!(
                "<h1>Log in to pixmill</h1>{problem}<form method=\"post\" action=\"/api/login\">\
                 <label for=\"key\">API key</label><input id=\"key\" name=\"key\" type=\"password\" required autofocus \
                 autocomplete=\"current-password\">{next}<button>Log in</button></form>"
            )
        }
        Shown::Held { key, end } => {
            let scopes: Vec<&str> = key.scopes.iter().copied().map(Scope::as_str).collect();
            let (name, scopes) = (escaped(&key.name), scopes.join(", "));
            format!(
                "<h1>Logged in as {name}</h1><p>Scopes: {scopes}. Until {end:.0}.</p>\
                 <form method=\"post\" action=\"/api/logout\"><button>Log out</button></form>"
            )
        }
    };
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>pixmill</title><style>{STYLE}</style></head>\
         <body><main>{body}</main></body></html>\n"
    );
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY.clone()),
        // With `no-referrer` browsers would hide the form's Origin, too.
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, page)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
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

    #[test]
    fn text_in_the_page_is_text() {
        assert_eq!(escaped("<b a=\"x\">&'"), "&lt;b a=&quot;x&quot;&gt;&amp;&#39;");
    }
}
