//! Errors as `application/problem+json` (RFC 9457): one vocabulary of kebab-case codes, shared with
//! failed jobs.

use std::any::Any;

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tracing::error;

use crate::errors::Failure;
use crate::errors::codes;
use crate::http::base::path;
use crate::maintenance::erasure;
use crate::storage;
use crate::submission::{self, Rejected};

/// An error answer. Its code is one of [`codes::ALL`]; its `type` is the address of the code's page,
/// `/problems/<code>`, under the prefix that the client knows.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: String,
    detail: String,
    retry_after_s: Option<u32>,
    rejected: Vec<Rejected>,
    more: Option<Box<(&'static str, Value)>>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { status, code: code.into(), detail: detail.into(), retry_after_s: None, rejected: Vec::new(), more: None }
    }

    pub(super) fn bad_request(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// The request is well-formed, and its content is wrong.
    pub(super) fn unprocessable(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    pub(super) fn unavailable(code: &str, detail: impl Into<String>, retry_after_s: u32) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        Self { retry_after_s: Some(retry_after_s), ..problem }
    }

    /// 429: the client may try again after this many seconds.
    pub(super) fn too_many(code: &str, detail: impl Into<String>, retry_after_s: u32) -> Self {
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail);
        Self { retry_after_s: Some(retry_after_s), ..problem }
    }

    /// Adds a member of this name to the document.
    pub(super) fn with(self, name: &'static str, value: Value) -> Self {
        Self { more: Some(Box::new((name, value))), ..self }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn code(&self) -> &str {
        &self.code
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// The refused pictures, if all pictures of the request were refused.
    pub(super) fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// An error of this service. The cause is logged once and not sent to the client.
    pub(super) fn internal(cause: &dyn std::fmt::Display) -> Self {
        error!("a request failed: {cause}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong here; the log says what.")
    }

    /// All pictures of a request were refused. The status and the code are those that the refusals have in common;
    /// otherwise they are 422 and `images-rejected`.
    pub(super) fn all_rejected(rejected: &[Rejected]) -> Self {
        let same = |a: &Rejected, b: &Rejected| a.error.code == b.error.code;
        let common = rejected.first().filter(|first| rejected.iter().all(|other| same(first, other)));
        let statuses: Vec<StatusCode> = rejected.iter().map(|one| status_of(&one.error)).collect();
        let status = match statuses.as_slice() {
            [first, rest @ ..] if rest.iter().all(|other| other == first) => *first,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let code = common.map_or_else(|| "images-rejected".into(), |first| first.error.code.clone());
        let detail = match rejected {
            [only] => format!("{}: {}", only.image, only.error.detail),
            all => format!("None of the {} pictures could be accepted; `rejected` says why.", all.len()),
        };
        Self { rejected: rejected.to_vec(), ..Self::new(status, code, detail) }
    }
}

/// The HTTP status of a picture that was refused.
fn status_of(failure: &Failure) -> StatusCode {
    match failure.code.as_ref() {
        "too-large" => StatusCode::PAYLOAD_TOO_LARGE,
        "unsupported-format" => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // The common code of refused pictures can come with another status than usual.
        codes::hold(&self.code, self.rejected.is_empty().then_some(self.status.as_u16()));
        let mut body = json!({
            "type": path(&format!("/problems/{}", self.code)),
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        if let Some(more) = self.more {
            body[more.0] = more.1;
        }
        if !self.rejected.is_empty() {
            body["rejected"] = Value::Array(self.rejected.iter().map(rejected).collect());
        }
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A refused picture, as answers have it.
pub(super) fn rejected(one: &Rejected) -> Value {
    json!({"index": one.index, "image": one.image, "error": {"code": one.error.code, "detail": one.error.detail}})
}

impl From<queue::Error> for Problem {
    fn from(error: queue::Error) -> Self {
        match error {
            queue::Error::Unavailable(cause) => {
                error!("the broker is unavailable: {cause}");
                Self::unavailable("broker-unavailable", "The job queue cannot be reached at present.", 5)
            }
            queue::Error::Refused(cause) => {
                error!("the broker refuses this service: {cause}");
                let detail = "The job queue refuses this service's login, or its rights do not reach.";
                Self::unavailable("broker-unavailable", detail, 5)
            }
            queue::Error::Full(detail) => Self::unavailable("queue-full", detail, 30),
            queue::Error::StorageFull(cause) => no_room(&cause),
            other => Self::internal(&other),
        }
    }
}

/// The answer when the store or the queue finds the disk full.
fn no_room(cause: &str) -> Problem {
    error!("the disk is full: {cause}");
    Problem::unavailable("storage-full", "The disk has no room left at present.", 60)
}

impl From<storage::Error> for Problem {
    fn from(error: storage::Error) -> Self {
        match error {
            storage::Error::Full(cause) => no_room(&cause),
            storage::Error::Overloaded(cause) => {
                error!("{cause}");
                let detail = "The service has no file descriptors or memory left at present.";
                Self::unavailable("overloaded", detail, 5)
            }
            storage::Error::Failed(cause) => Self::internal(&cause),
        }
    }
}

impl From<erasure::Error> for Problem {
    fn from(error: erasure::Error) -> Self {
        match error {
            erasure::Error::Storage(error) => error.into(),
            erasure::Error::Queue(error) => error.into(),
        }
    }
}

impl From<submission::Error> for Problem {
    fn from(error: submission::Error) -> Self {
        match error {
            submission::Error::Storage(error) => error.into(),
            submission::Error::Source(cause) => Self::bad_request("invalid-multipart", cause.to_string()),
            submission::Error::KeyInUse | submission::Error::Queue(queue::Error::KeyTaken(_)) => {
                let detail =
                    "A request with this Idempotency-Key is still being received; ask again when it is through.";
                let problem = Self::new(StatusCode::CONFLICT, "idempotency-key-in-use", detail);
                Self { retry_after_s: Some(5), ..problem }
            }
            submission::Error::Queue(error) => error.into(),
            submission::Error::KeyReused(group) => {
                let detail = format!(
                    "This Idempotency-Key stands for other pictures, operations or options: those of group {group}."
                );
                Self::unprocessable("idempotency-key-reused", detail)
            }
            submission::Error::TwoKeys => Self::unprocessable("invalid-options", error.to_string()),
            submission::Error::Unknown(what) => Self::not_found(format!("There is no {what}.")),
            submission::Error::TooMany(detail) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-many-files", detail),
            submission::Error::NotRetryable(detail) => Self::new(StatusCode::CONFLICT, "not-retryable", detail),
        }
    }
}

pub(super) async fn no_such_route(method: Method, uri: Uri) -> Response {
    // `OPTIONS *` concerns the whole server, no path.
    if method == Method::OPTIONS && uri.path() == "*" {
        return StatusCode::NO_CONTENT.into_response();
    }
    nothing_at(&uri).into_response()
}

/// 404 for a path that no route has.
pub(super) fn nothing_at(uri: &Uri) -> Problem {
    Problem::not_found(format!("There is nothing at {}.", path(uri.path())))
}

/// Answers OPTIONS with 204, other methods with 405. The router adds the header `Allow`.
pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    let detail = format!("{} does not take {method}.", path(uri.path()));
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail).into_response()
}

#[allow(clippy::needless_pass_by_value, reason = "the layer's signature")]
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    Problem::internal(&format!("a handler panicked: {said}")).into_response()
}
