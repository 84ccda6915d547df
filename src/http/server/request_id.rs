//! `X-Request-Id`: a word by which a request and its jobs are found in the logs.
//!
//! The client's own id is used if it is short and plain, so that it can neither forge a line of the log nor fill it.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tower_http::request_id::{MakeRequestId, RequestId};
use uuid::Builder;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MOST_CHARS: usize = 64;

/// Removes an id that cannot be used. A new one is made later.
pub(super) fn vet(mut request: Request) -> Request {
    let headers = request.headers_mut();
    if headers.get_all(REQUEST_ID).iter().count() > 1 || of(headers).is_none_or(|id| !is_plain(id)) {
        headers.remove(REQUEST_ID);
    }
    request
}

/// A random UUID for requests without an id. It is no secret, so a fast generator is enough.
#[derive(Clone, Copy)]
pub(super) struct Fresh;

impl MakeRequestId for Fresh {
    fn make_request_id<B>(&mut self, _: &axum::http::Request<B>) -> Option<RequestId> {
        let id = Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid();
        let mut text = uuid::Uuid::encode_buffer();
        HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)).ok().map(RequestId::new)
    }
}

/// The request's id. Every request that reaches a handler has one.
pub(in crate::http) fn of(headers: &HeaderMap) -> Option<&str> {
    headers.get(REQUEST_ID)?.to_str().ok()
}

fn is_plain(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&byte);
    (1..=MOST_CHARS).contains(&id.len()) && id.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn ids_are_short_and_plain() {
        for id in ["1", "order-4711", "Root=1-67891233-abcdef012345678912345678", &"x".repeat(64)] {
            assert!(is_plain(id), "{id}");
        }
        for id in ["", "a b", "a\"b", "a\u{1b}[31m", "ä", &"x".repeat(65)] {
            assert!(!is_plain(id), "{id:?}");
        }
    }
}
