//! A multipart form as it streams in: its fields by name, and what is wrong with it in words.
//!
//! multer does the parsing, and keeps what stands before the first boundary and in the parts' headers in memory,
//! however long it is. Here both are bounded, and names are read as senders mean them ([`Disposition`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use futures::StreamExt;
use multer::{Constraints, Multipart, SizeLimit};

use super::Problem;
use super::disposition::Disposition;
use super::pace::TooSlow;

/// The header of one part: a name may be long, a novel is none.
const MOST_HEADER_BYTES: usize = 16 << 10;
/// What may come in a row without anything being made of it: more than arrives at a time, and little enough to hold.
const MOST_UNREAD_BYTES: usize = 4 << 20;

pub(super) struct Form {
    parts: Multipart<'static>,
    unread: Unread,
    boundary: String,
}

/// One part of the form. It must be dropped before the next one is asked for.
pub(super) struct Field {
    part: multer::Field<'static>,
    unread: Unread,
    disposition: Disposition,
}

/// Bytes that have come since something was made of them.
#[derive(Clone, Default)]
struct Unread(Arc<AtomicUsize>);

#[derive(Debug, thiserror::Error)]
#[error("more than {MOST_UNREAD_BYTES} bytes belong to no part")]
struct NothingMadeOfIt;

impl Form {
    /// The form in `body`, which has at most so many bytes.
    pub(super) fn new(body: Body, boundary: String, most_bytes: u64) -> Self {
        let unread = Unread::default();
        let counted = unread.clone();
        let stream = body.into_data_stream().map(move |chunk| {
            let chunk = chunk.map_err(Box::<dyn std::error::Error + Send + Sync>::from)?;
            counted.add(chunk.len())?;
            Ok::<Bytes, Box<dyn std::error::Error + Send + Sync>>(chunk)
        });
        let constraints = Constraints::new().size_limit(SizeLimit::new().whole_stream(most_bytes));
        Self { parts: Multipart::with_constraints(stream, boundary.as_str(), constraints), unread, boundary }
    }

    pub(super) async fn next_field(&mut self) -> Result<Option<Field>, Problem> {
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
    pub(super) fn name(&self) -> &str {
        self.disposition.name.as_deref().unwrap_or_default()
    }

    /// As its sender wrote it; empty if there is none.
    pub(super) fn file_name(&self) -> &str {
        self.disposition.file.as_deref().unwrap_or_default()
    }

    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, multer::Error> {
        let chunk = self.part.chunk().await;
        self.unread.forget();
        chunk
    }
}

impl Unread {
    fn add(&self, bytes: usize) -> Result<(), NothingMadeOfIt> {
        let unread = self.0.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if unread > MOST_UNREAD_BYTES { Err(NothingMadeOfIt) } else { Ok(()) }
    }

    fn forget(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A form that cannot be read to its end.
pub(super) fn unreadable(error: multer::Error) -> Problem {
    if let Some(said) = TooSlow::behind(&error) {
        let detail = format!("The upload was given up: {said}.");
        return Problem::new(StatusCode::REQUEST_TIMEOUT, "request-timeout", detail);
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
