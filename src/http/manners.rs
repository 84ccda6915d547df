//! What every answer carries: headers that keep browsers from guessing and framing; and compression where it pays.
//! Requests' own bodies are taken uncompressed only.

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, Predicate, SizeAbove};

use super::{Problem, bodies};

/// Below this a compressed answer takes as many packets as a plain one.
const WORTHWHILE: u64 = 1 << 10;

const EVERYWHERE: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (CROSS_ORIGIN, "same-origin"),
];

/// Who may embed an answer in a page.
pub(super) const CROSS_ORIGIN: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Adds what the handler has not said itself.
pub(super) fn dress<B>(mut response: Response<B>) -> Response<B> {
    let headers = response.headers_mut();
    for (name, value) in EVERYWHERE {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Refuses a body that has a `Content-Encoding`, before the handler tries to read it (RFC 9110, 15.5.16), and any body if
/// the handler reads none.
pub(super) async fn plain_bodies(State(reads_body): State<bool>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let Some(encoding) = encoding(request.headers()) else {
        if reads_body {
            return next.run(request).await;
        }
        return match bodies::refuse_unread(request).await {
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

type Pays = And<SizeAbove, fn(StatusCode, Version, &HeaderMap, &Extensions) -> bool>;

/// gzip, Brotli or Zstandard for text. Pictures and archives are compressed already; events must not wait in a buffer.
pub(super) fn compression() -> CompressionLayer<Pays> {
    let is_text: fn(StatusCode, Version, &HeaderMap, &Extensions) -> bool = |_, _, headers, _| is_text(headers);
    CompressionLayer::new().compress_when(SizeAbove::new(WORTHWHILE).and(is_text))
}

fn is_text(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    match media_type {
        "text/event-stream" => false,
        "application/json" | "application/problem+json" | "application/openmetrics-text" | "application/javascript" => {
            true
        }
        other => other.starts_with("text/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_is_compressed() {
        let judged = |media_type: &'static str| {
            is_text(&HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))]))
        };
        for text in ["application/json", "text/html; charset=utf-8", "application/openmetrics-text; version=1.0.0"] {
            assert!(judged(text), "{text}");
        }
        for other in ["text/event-stream", "image/jpeg", "application/zip", "application/octet-stream", ""] {
            assert!(!judged(other), "{other}");
        }
        assert!(!is_text(&HeaderMap::new()));
    }
}
