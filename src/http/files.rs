//! `GET /files/…`: published outputs. Originals are never served.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::access::Caller;
use super::{Problem, Services, UrlPath};
use crate::imaging::Format;
use crate::job::{GroupId, JobId};
use crate::storage::output_key;
use crate::submission::outbox;

/// A path names one run's output, and a run is written once: its content never changes.
const FOR_EVER: &str = "private, max-age=31536000, immutable";

pub(super) async fn file(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    UrlPath((group, job, run, file)): UrlPath<(String, String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let unknown = || Problem::not_found(format!("There is no file {group}/{job}/{run}/{file}."));
    let key = key(&group, &job, &run, &file).ok_or_else(unknown)?;
    if !is_visible(&services, &caller, &group).await? {
        return Err(unknown());
    }
    let format = Format::from_extension(file.rsplit('.').next().unwrap_or_default()).ok_or_else(unknown)?;
    let stored = services.storage.open(&key).await?.ok_or_else(unknown)?;
    let tag = HeaderValue::from_str(&format!("\"{job}-{run}-{file}\"")).map_err(|_| unknown())?;
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).is_some_and(|tags| {
        tags.split(',')
            .map(|one| one.trim().trim_start_matches("W/"))
            .any(|one| one == "*" || one.as_bytes() == tag.as_bytes())
    });
    let lasting = [(header::ETAG, tag), (header::CACHE_CONTROL, HeaderValue::from_static(FOR_EVER))];
    if known {
        return Ok((StatusCode::NOT_MODIFIED, lasting).into_response());
    }
    let about = [
        (header::CONTENT_TYPE, HeaderValue::from_static(format.media_type())),
        (header::CONTENT_LENGTH, HeaderValue::from(stored.size)),
    ];
    Ok((lasting, about, Body::from_stream(stored.body)).into_response())
}

/// Whether the caller may have a group's files. They say themselves whose they are: they may outlive the record.
async fn is_visible(services: &Services, caller: &Caller, group: &str) -> Result<bool, Problem> {
    let Ok(group) = group.parse() else { return Ok(false) };
    Ok(caller.sees_all() || caller.sees_owned_by(outbox::owner(&services.storage, group).await?.as_deref()))
}

/// The output's key, or nothing if the parts are not what we would have named.
fn key(group: &str, job: &str, run: &str, file: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let named = file.chars().all(plain) && !file.starts_with('.');
    let (group, job): (GroupId, JobId) = (group.parse().ok()?, job.parse().ok()?);
    named.then(|| run.parse().ok().map(|run| output_key(group, job, run, file)))?
}
