//! Bodies of requests: which are refused before the handler runs, and reading a short one.
//!
//! A body that no handler reads is refused, or its client would believe that it counts.

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;

use super::broken_off;
use crate::http::base::path;
use crate::http::problem::Problem;

/// Largest body of an order to a worker, and most bytes that are read to find out whether a body is blank.
pub(in crate::http) const MOST_BYTES: usize = 4 << 10;

/// Refuses a body that has a `Content-Encoding`, before the handler tries to read it (RFC 9110, 15.5.16), and any body if
/// the handler reads none.
pub(in crate::http) async fn check(State(reads_body): State<bool>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let Some(encoding) = encoding(request.headers()) else {
        if reads_body {
            return next.run(request).await;
        }
        return match refuse_unread(request).await {
            Ok(request) => next.run(request).await,
            Err(problem) => problem.into_response(),
        };
    };
    let shown: String = encoding.escape_debug().take(60).collect();
    let detail = format!("The body has `Content-Encoding: {shown}`; send the body without it.");
    let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoded-body", detail);
    ([(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))], problem).into_response()
}

/// The first content coding that changes anything.
fn encoding(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut codings = lines.flat_map(|line| {
        let line = String::from_utf8_lossy(line.as_bytes()).into_owned();
        line.split(',').map(|coding| coding.trim().to_owned()).collect::<Vec<_>>()
    });
    codings.find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
}

/// Refuses a body that the handler does not read. Blanks and `{}` are allowed, because some programs send them with every
/// request; the handler gets an empty body then.
async fn refuse_unread(request: Request) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    if whole(body, MOST_BYTES).await?.is_some_and(|text| matches!(text.trim_ascii(), b"" | b"{}")) {
        return Ok(Request::from_parts(parts, Body::empty()));
    }
    let detail = format!("{} {} takes no body.", parts.method, path(parts.uri.path()));
    Err(Problem::bad_request("unexpected-body", detail))
}

/// All of a body; `None` if it has more than `most` bytes.
///
/// # Errors
/// If the body is cut off, comes too slowly, or there is no room for it.
pub(in crate::http) async fn whole(body: Body, most: usize) -> Result<Option<Vec<u8>>, Problem> {
    let (mut text, mut chunks) = (Vec::new(), body.into_data_stream());
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            let cut_off = || Problem::bad_request("invalid-json", format!("The body was cut off: {error}."));
            broken_off(&error).unwrap_or_else(cut_off)
        })?;
        if text.len() + chunk.len() > most {
            return Ok(None);
        }
        text.extend_from_slice(&chunk);
    }
    Ok(Some(text))
}
