//! Bodies of requests other than uploads: orders to workers as JSON, and the refusal of a body that no handler reads.
//!
//! A client whose body is ignored would believe that it had been followed.

use axum::body::Body;
use axum::extract::Request;
use axum::http::Uri;
use futures::StreamExt;
use serde_json::{Map, Value};

use super::Problem;
use super::base::path;
use super::pace::broken_off;
use super::query::Parameters;

/// Largest body of an order, and most bytes that are read to find out whether a body is blank.
const MOST_BYTES: usize = 4 << 10;

/// Refuses a body that the handler does not read. Blanks and `{}` are allowed, because some programs send them with every
/// request; the handler gets an empty body then.
pub(super) async fn refuse_unread(request: Request) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    if whole(body, MOST_BYTES).await?.is_some_and(|text| matches!(text.trim_ascii(), b"" | b"{}")) {
        return Ok(Request::from_parts(parts, Body::empty()));
    }
    let detail = format!("{} {} takes no body.", parts.method, path(parts.uri.path()));
    Err(Problem::bad_request("unexpected-body", detail))
}

/// What an order asks for, in its query or as a JSON object of the same names.
pub(super) async fn order(uri: &Uri, body: Body, known: &[&str]) -> Result<Parameters, Problem> {
    let invalid = |detail: String| Problem::bad_request("invalid-json", detail);
    let asked = Parameters::of(uri, known)?;
    let text = whole(body, MOST_BYTES).await?;
    let text = text.ok_or_else(|| invalid(format!("The body has more than {MOST_BYTES} bytes.")))?;
    if text.trim_ascii().is_empty() {
        return Ok(asked);
    }
    let fields: Map<String, Value> = serde_json::from_slice(&text)
        .map_err(|error| invalid(format!("The body is not a JSON object of {}: {error}.", known.join(", "))))?;
    fields.into_iter().try_fold(asked, |asked, (name, value)| {
        let value = match value {
            // As left out.
            Value::Null => return Ok(asked),
            Value::String(text) => text,
            other => other.to_string(),
        };
        asked.and(name, value, known)
    })
}

/// All of a body; `None` where it has more than `most` bytes.
///
/// # Errors
/// When it is cut off, comes too slowly, or there is no room for it.
pub(super) async fn whole(body: Body, most: usize) -> Result<Option<Vec<u8>>, Problem> {
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
