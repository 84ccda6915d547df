//! `GET /files/…`: published outputs. Originals are never served.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use imaging::Format;
use queue::{GroupId, JobId};
use serde::Deserialize;
use serde_json::{Map, json};

use crate::http::Services;
use crate::http::access::{Caller, links};
use crate::http::operation::{Operation, flag, in_path, parameter};
use crate::http::problem::Problem;
use crate::http::request::conditional::{self, Known};
use crate::http::request::{Flag, QueryOf, UrlPath, query};
use crate::http::server::headers::CROSS_ORIGIN;
use crate::maintenance::erasure;
use crate::storage::output_key;
use crate::submission::{Meta, outbox};

/// A path names the output of one run, and a run is written once. So the content at a path never changes.
const FOR_EVER: &str = "private, max-age=31536000, immutable";

/// Other parameters are ignored: caches and campaigns add their own (`?v=1`, `?utm_source=…`).
#[derive(Debug, Default, Deserialize)]
pub(in crate::http) struct Wish {
    /// The browser should save the file instead of showing it.
    #[serde(default)]
    download: Flag,
}

pub(in crate::http) async fn file(
    State(services): State<Arc<Services>>,
    caller: Option<Extension<Caller>>,
    UrlPath((group, job, run, file)): UrlPath<(String, String, String, String)>,
    wish: QueryOf<Wish>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let unknown = || Problem::not_found(format!("There is no file {group}/{job}/{run}/{file}."));
    let Wish { download, .. } = query(wish)?;
    let (id, key) = key(&group, &job, &run, &file).ok_or_else(unknown)?;
    // A request with a signed link has no caller. Somebody who may see the group made the link.
    if let Some(Extension(caller)) = caller
        && !is_visible(&services, &caller, id).await?
    {
        return Err(unknown());
    }
    let format = Format::from_extension(file.rsplit('.').next().unwrap_or_default()).ok_or_else(unknown)?;
    let storage = &services.storage;
    if erasure::stands(storage, id).await?.is_some() {
        return Err(erased(id));
    }
    let about = storage.about(&key).await?.ok_or_else(unknown)?;
    let (tag, size) = (format!("\"{job}-{run}-{file}\""), about.size);
    let reply = conditional::reply(&method, &headers, &Known { tag: &tag, modified: about.modified, size });
    let mut response = match reply {
        conditional::Reply::NotModified => StatusCode::NOT_MODIFIED.into_response(),
        conditional::Reply::Failed => {
            let detail = format!("The file is not what the request takes it for; its tag is {tag}.");
            return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", detail));
        }
        conditional::Reply::Unsatisfiable => {
            let detail = format!("The file has {size} bytes, none of which is in the range that was asked for.");
            let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range-not-satisfiable", detail);
            return Ok(([(header::CONTENT_RANGE, format!("bytes */{size}"))], problem).into_response());
        }
        conditional::Reply::Whole | conditional::Reply::Part(_) if method == Method::HEAD => {
            [(header::CONTENT_LENGTH, size)].into_response()
        }
        conditional::Reply::Whole => {
            let stored = storage.open(&key).await?.ok_or_else(unknown)?;
            ([(header::CONTENT_LENGTH, stored.size)], Body::from_stream(stored.body)).into_response()
        }
        conditional::Reply::Part(bytes) => {
            let told = format!("bytes {}-{}/{size}", bytes.start, bytes.end - 1);
            let stored = storage.open_part(&key, Some(bytes)).await?.ok_or_else(unknown)?;
            let length = [(header::CONTENT_LENGTH, stored.size)];
            let part = [(header::CONTENT_RANGE, told)];
            (StatusCode::PARTIAL_CONTENT, length, part, Body::from_stream(stored.body)).into_response()
        }
    };
    let headers = response.headers_mut();
    let mut tell = |name, value: String| {
        // The name has only plain characters: see `key`.
        headers.extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
    };
    tell(header::ETAG, tag);
    tell(header::LAST_MODIFIED, httpdate::fmt_http_date(about.modified));
    tell(header::CACHE_CONTROL, FOR_EVER.into());
    tell(header::ACCEPT_RANGES, "bytes".into());
    // Pages of other sites may embed pictures.
    tell(CROSS_ORIGIN, "cross-origin".into());
    if response.status() != StatusCode::NOT_MODIFIED {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
        let kind = if download == Flag::Yes { "attachment" } else { "inline" };
        let disposition = HeaderValue::try_from(format!("{kind}; filename=\"{file}\"")).map_err(|_| unknown())?;
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

pub(in crate::http) fn file_docs() -> Operation {
    let answer = json!({
        "description": "The picture.",
        "headers": {
            "ETag": {"schema": {"type": "string"}},
            "Last-Modified": {"schema": {"type": "string"}},
            "Accept-Ranges": {"schema": {"const": "bytes"}},
            "Content-Disposition": {"schema": {"type": "string"}},
            "Cache-Control": {"schema": {"type": "string"}},
        },
        "content": Format::ALL.iter().filter(|format| format.is_writable()).map(|format| {
            (format.media_type().to_owned(), json!({}))
        }).collect::<Map<_, _>>(),
    });
    Operation::new("file", "pictures", "An output, by the path that the status tells.", ("200", answer))
        .details(
            "What lies at a path never changes. Preconditions, and a single range, are honoured as RFC 9110 \
            says.",
        )
        .parameters([
            parameter("group"),
            parameter("job"),
            in_path("run", "The run of the job that wrote it.", json!({"type": "string"})),
            in_path("file", "Its name.", json!({"type": "string"})),
            flag("download", "Have browsers save it rather than show it."),
        ])
        .parameters(links::parameters())
        .problems(&["206", "304", "400", "404", "410", "412", "416", "503"])
}

/// Whether the caller may read a group's files. The owner is stored with the files, because they may outlive the
/// record.
async fn is_visible(services: &Services, caller: &Caller, group: GroupId) -> Result<bool, Problem> {
    if caller.sees_all() {
        return Ok(true);
    }
    match outbox::owner(&services.storage, group).await? {
        Some(owner) => Ok(caller.sees_owned_by(Some(&owner))),
        // No owner is stored: the group was made without keys, or its files are erased.
        None => Ok(services.broker.group(group).await?.is_none_or(|group| caller.sees(&Meta::of(&group)))),
    }
}

/// The refusal of files that were erased with their group.
pub(in crate::http) fn erased(group: GroupId) -> Problem {
    Problem::new(StatusCode::GONE, "files-erased", format!("The files of group {group} were erased."))
}

/// The output's group and key; `None` if this service would not have named a file so.
fn key(group: &str, job: &str, run: &str, file: &str) -> Option<(GroupId, String)> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let named = file.chars().all(plain) && !file.starts_with('.');
    let (group, job): (GroupId, JobId) = (group.parse().ok()?, job.parse().ok()?);
    let run = run.parse().ok()?;
    named.then(|| (group, output_key(group, job, run, file)))
}
