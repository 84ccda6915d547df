//! A request's JSON object.

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};

use crate::http::problem::Problem;
use crate::http::server::bodies::whole;

/// The JSON object that a request has as its body, of at most `limit` bytes (`limits.max_body_bytes`). `example` shows its
/// form.
///
/// # Errors
/// `not-json`, `request-too-large` or `invalid-json`.
pub(in crate::http) async fn object(
    request: Request,
    limit: usize,
    example: &str,
) -> Result<Map<String, Value>, Problem> {
    if !is_json(request.headers()) {
        let detail = format!("Send the request as application/json: {example}.");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", detail));
    }
    let Some(text) = whole(request.into_body(), limit).await? else {
        let detail = format!("The body has more bytes than limits.max_body_bytes ({limit}).");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "request-too-large", detail));
    };
    // RFC 8259, 8.1: a byte order mark may be ignored.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    let body: Value = serde_json::from_slice(text)
        .map_err(|error| Problem::bad_request("invalid-json", format!("The body is not valid JSON: {error}.")))?;
    match body {
        Value::Object(body) => Ok(body),
        _ => Err(Problem::bad_request("invalid-json", "The body is not a JSON object.")),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media_type.split(';').next().is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}
