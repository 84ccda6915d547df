//! Headers that every answer has: they keep browsers from guessing types and from framing pages.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

const EVERYWHERE: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (CROSS_ORIGIN, "same-origin"),
];

/// Who may embed an answer in a page.
pub(in crate::http) const CROSS_ORIGIN: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Adds the headers that the handler has not set.
pub(super) fn add_defaults<B>(mut response: Response<B>) -> Response<B> {
    let headers = response.headers_mut();
    for (name, value) in EVERYWHERE {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
