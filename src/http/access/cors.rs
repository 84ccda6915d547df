//! Which pages of other origins may call the API from a browser (`server.cors_origins`).
//!
//! They send an API key of their own. Cookies are never accepted from them (no `Access-Control-Allow-Credentials`), so
//! `*` exposes no login. Preflights are answered before the guard, because browsers send no key with them.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser remembers a preflight.
const REMEMBERED: Duration = Duration::from_hours(1);

const SENT: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_RANGE,
    header::RANGE,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("x-request-id"),
];

const TOLD: [HeaderName; 10] = [
    header::LOCATION,
    header::RETRY_AFTER,
    header::ETAG,
    header::ACCEPT_RANGES,
    header::CONTENT_RANGE,
    header::CONTENT_DISPOSITION,
    header::CONTENT_LENGTH,
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("x-request-id"),
];

/// `None` if no origin is configured.
pub(in crate::http) fn cors(origins: &[String]) -> Option<CorsLayer> {
    let allowed = match origins {
        [] => return None,
        [all] if all == "*" => AllowOrigin::any(),
        origins => AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok())),
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers(SENT)
        .expose_headers(TOLD)
        .max_age(REMEMBERED);
    Some(layer)
}
