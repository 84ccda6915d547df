//! A multipart form, read as a stream: its fields by name.
//!
//! multer parses the form. It keeps the bytes before the first boundary and the headers of parts in memory, however
//! long they are. Here both are limited, and names are decoded ([`Disposition`]).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::BodyDataStream;
use axum::extract::Request;
use axum::http::StatusCode;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use multer::{Constraints, Multipart, SizeLimit};

use crate::http::problem::Problem;
use crate::http::request::disposition::Disposition;
use crate::http::server::Held;
use crate::http::server::broken_off;

/// Largest header of one part, and most bytes before the first part. File names can be long; this is more than any real one.
const MOST_HEADER_BYTES: usize = 16 << 10;

pub(in crate::http) struct Form {
    parts: Multipart<'static>,
    unread: Unread,
    boundary: String,
}

/// One part of the form. Drop it before the next one is read.
pub(in crate::http) struct Field {
    part: multer::Field<'static>,
    unread: Unread,
    disposition: Disposition,
}

/// Bytes that have come since the last complete piece was parsed. They count for their request.
#[derive(Clone)]
struct Unread {
    bytes: Arc<AtomicUsize>,
    held: Option<Arc<Held>>,
}

#[derive(Debug, thiserror::Error)]
#[error("more than {MOST_HEADER_BYTES} bytes belong to no part, or to a part's header")]
struct NothingMadeOfIt;

/// The body in single chunks. Without this, multer would read all available bytes before it parses any.
struct Chunks {
    body: BodyDataStream,
    unread: Unread,
    /// multer has not parsed the last chunk yet.
    gave: bool,
}

impl Stream for Chunks {
    type Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.gave) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.unread.is_too_much() {
            return Poll::Ready(Some(Err(NothingMadeOfIt.into())));
        }
        let chunk = ready!(self.body.poll_next_unpin(context));
        if let Some(Ok(chunk)) = &chunk {
            self.gave = true;
            self.unread.add(chunk.len());
        }
        Poll::Ready(chunk.map(|chunk| chunk.map_err(Into::into)))
    }
}

impl Form {
    /// Reads the form in a request's body of at most `most_bytes` bytes.
    pub(in crate::http) fn new(request: Request, boundary: String, most_bytes: u64) -> Self {
        let held = request.extensions().get::<Arc<Held>>().cloned();
        let unread = Unread { bytes: Arc::default(), held };
        let stream = Chunks { body: request.into_body().into_data_stream(), unread: unread.clone(), gave: false };
        let constraints = Constraints::new().size_limit(SizeLimit::new().whole_stream(most_bytes));
        Self { parts: Multipart::with_constraints(stream, boundary.as_str(), constraints), unread, boundary }
    }

    pub(in crate::http) async fn next_field(&mut self) -> Result<Option<Field>, Problem> {
        let part = match self.parts.next_field().await {
            Ok(None) => return Ok(None),
            Ok(Some(part)) => part,
            Err(multer::Error::IncompleteStream) => {
                return Err(malformed(&format!(
                    "it ends before its last boundary, `--{}--`: it was cut off, its lines do not end in CR LF, or \
                     the content type names another boundary",
                    self.boundary
                )));
            }
            Err(error) => return Err(unreadable(error)),
        };
        self.unread.forget();
        let header = part.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>();
        if header > MOST_HEADER_BYTES {
            return Err(malformed(&format!("a part's header has {header} bytes, and {MOST_HEADER_BYTES} are taken")));
        }
        let disposition = Disposition::of(part.headers());
        if disposition.name.is_none() {
            return Err(malformed("a part has no name (`Content-Disposition: form-data; name=\"…\"`)"));
        }
        Ok(Some(Field { part, unread: self.unread.clone(), disposition }))
    }
}

impl Field {
    pub(in crate::http) fn name(&self) -> &str {
        self.disposition.name.as_deref().unwrap_or_default()
    }

    /// The file's name as the sender wrote it; empty if there is none.
    pub(in crate::http) fn file_name(&self) -> &str {
        self.disposition.file.as_deref().unwrap_or_default()
    }

    pub(in crate::http) async fn chunk(&mut self) -> Result<Option<Bytes>, multer::Error> {
        let chunk = self.part.chunk().await;
        self.unread.forget();
        chunk
    }
}

impl Unread {
    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn is_too_much(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > MOST_HEADER_BYTES
    }

    fn forget(&self) {
        self.bytes.store(0, Ordering::Relaxed);
        if let Some(held) = &self.held {
            held.forget();
        }
    }
}

/// The answer to a form that cannot be read to its end.
pub(in crate::http) fn unreadable(error: multer::Error) -> Problem {
    if let Some(problem) = broken_off(&error) {
        return problem;
    }
    match error {
        multer::Error::StreamSizeExceeded { limit } => {
            let detail = format!("The request has more bytes than limits.max_request_bytes ({limit}).");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "request-too-large", detail)
        }
        multer::Error::IncompleteFieldData { field_name } => {
            malformed(&format!("it ends within the field `{}`", field_name.unwrap_or_default()))
        }
        multer::Error::ReadHeaderFailed(cause) => malformed(&format!(
            "a part's header cannot be read ({cause}); it must be at most 32 lines of `Name: value`, none of them folded"
        )),
        multer::Error::StreamReadFailed(cause) => malformed(&cause.to_string()),
        other => malformed(&other.to_string()),
    }
}

fn malformed(why: &str) -> Problem {
    Problem::bad_request("invalid-multipart", format!("The form is malformed or was cut off: {why}."))
}
