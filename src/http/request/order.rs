//! Orders to workers: parameters in the query, or as a JSON object.

use axum::body::Body;
use axum::http::Uri;
use serde_json::{Map, Value};

use super::Parameters;
use crate::http::problem::Problem;
use crate::http::server::bodies::{MOST_BYTES, whole};

/// The parameters of an order, of its query and of a JSON object with the same names.
pub(in crate::http) async fn order(uri: &Uri, body: Body, known: &[&str]) -> Result<Parameters, Problem> {
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
            // Null counts as left out.
            Value::Null => return Ok(asked),
            Value::String(text) => text,
            other => other.to_string(),
        };
        asked.and(name, value, known)
    })
}
