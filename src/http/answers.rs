//! Answers that several handlers give.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Bytes that most documents fit in.
const ROOM: usize = 4 << 10;
/// Where [`go_on_to`] leads if the place cannot be written into a header.
const FALLBACK: &str = "/login";

/// 200 with a JSON document that nobody may cache.
pub(super) fn fresh(document: impl Serialize) -> Response {
    // Growing step by step costs as much as writing the document.
    let mut body = Vec::with_capacity(ROOM);
    serde_json::to_writer(&mut body, &document).expect("strings and numbers always serialise");
    let about = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (about, body).into_response()
}

/// 303: the browser asks for another place on this server, with GET.
pub(super) fn go_on_to(place: &str) -> (StatusCode, [(header::HeaderName, HeaderValue); 2]) {
    let place = HeaderValue::from_str(place).unwrap_or(HeaderValue::from_static(FALLBACK));
    let headers = [(header::LOCATION, place), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (StatusCode::SEE_OTHER, headers)
}
