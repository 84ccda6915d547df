//! Groups and jobs: their status, cancelling them, retrying them. A group and a job have the same document.

mod documents;
mod entries;
mod pictures;
mod status;
mod subject;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use queue::{GroupId, JobId};
use serde_json::{Value, json};

use super::Services;
use super::access::Caller;
use super::operation::{self, Answer, Operation, flag, ok, parameter};
use super::problem::{self, Problem};
use super::request::{NoQuery, QueryOf, UrlPath, query};
use super::server::request_id;
use crate::submission::Submitted;

use documents::PROCESSING;
pub(super) use documents::task;
pub(super) use documents::{Document, Links, STATUSES};
pub(super) use entries::PictureEntry;
pub(super) use pictures::{Picture, image_of, pictures};
pub(super) use status::{document, standing};
pub(super) use subject::{Page, parsed, unknown};
use subject::{Subject, owned};

/// The status of the group or the job with this id.
pub(super) async fn task_status(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
    page: QueryOf<Page>,
) -> Result<Response, Problem> {
    let page = query(page)?;
    let unknown = || Problem::not_found(format!("There is no task `{id}`."));
    let uuid: uuid::Uuid = id.parse().map_err(|_| unknown())?;
    match GroupId::from(uuid).status(&services, &caller, page).await? {
        Some(document) => Ok(document),
        None => JobId::from(uuid).status(&services, &caller, NoQuery {}).await?.ok_or_else(unknown),
    }
}

pub(super) fn task_status_docs() -> Operation {
    Operation::new("taskStatus", "pictures", "The status of a group or a job.", so_far())
        .details("Poll until `status` is no longer `processing`.")
        .subject("id")
        .parameters([parameter("from")])
        .problems(&["400", "404", "503"])
}

fn so_far() -> Answer {
    ok("The status, with the results so far.", "Status")
}

pub(super) async fn status<S: Subject>(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
    asked: QueryOf<S::Query>,
) -> Result<Response, Problem> {
    let asked = query(asked)?;
    parsed::<S>(&id)?.status(&services, &caller, asked).await?.ok_or_else(|| unknown::<S>(&id))
}

pub(super) fn group_docs() -> Operation {
    Operation::new("group", "work", "The status of a group.", so_far())
        .subject("group")
        .parameters([parameter("from")])
        .problems(&["400", "404", "503"])
}

pub(super) fn job_docs() -> Operation {
    let summary = "The status of a job: the same document, of one picture.";
    Operation::new("job", "work", summary, ok("The status.", "Status")).subject("job").problems(&["400", "404", "503"])
}

/// Cancels the jobs that have not ended, and erases a group's files if the request asks for it. The answer is the
/// status; pictures that were being made may still be open in it.
pub(super) async fn cancel<S: Subject>(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
    asked: QueryOf<S::Cancel>,
) -> Result<Response, Problem> {
    let asked = query(asked)?;
    let subject = owned::<S>(&services, &caller, &id).await?;
    subject.cancel(&services, &caller, asked).await?.ok_or_else(|| unknown::<S>(&id))
}

pub(super) fn cancel_group_docs() -> Operation {
    let answer = ok("The status, in which pictures that were at work may still be open.", "Status");
    Operation::new("cancelGroup", "work", "Cancel what has not ended.", answer)
        .details(
            "Pictures that are being made end as soon as they can; finished ones stay. With `files`, \
            originals and outputs are erased too: at once where the group has ended, or as soon as it has; \
            `files` in the answer says which. Nobody is given them from now on.",
        )
        .subject("group")
        .parameters([flag("files", "Erase the group's files.")])
        .problems(&["400", "404", "503"])
}

pub(super) fn cancel_job_docs() -> Operation {
    Operation::new("cancelJob", "work", "Cancel a job that has not ended.", ok("The status.", "Status"))
        .subject("job")
        .problems(&["400", "404", "503"])
}

/// Retries the jobs that failed or were cancelled, as a new group.
pub(super) async fn retry<S: Subject>(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
    nothing: QueryOf<NoQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    query(nothing)?;
    let subject = owned::<S>(&services, &caller, &id).await?;
    Ok(accepted(&subject.retry(&services, request_id::of(&headers).map(str::to_owned)).await?))
}

pub(super) fn retry_group_docs() -> Operation {
    retry_docs("retryGroup").subject("group")
}

pub(super) fn retry_job_docs() -> Operation {
    retry_docs("retryJob").subject("job")
}

fn retry_docs(id: &'static str) -> Operation {
    let answer = operation::accepted("Taken.", "The new group's status.");
    Operation::new(id, "work", "Try what has failed or was cancelled again.", answer)
        .details("As a group of its own, whose status names the first in `retry_of`.")
        .problems(&["400", "404", "409", "503"])
}

/// The answer to a submission.
pub(super) fn accepted(submitted: &Submitted) -> Response {
    let mut links = Links::of_group(submitted.group);
    links.then = submitted.then.map(task);
    let location = links.own.clone();
    let body = json!({
        "status": PROCESSING,
        "task_id": submitted.group,
        "total_images": submitted.images,
        "rejected": submitted.rejected.iter().map(problem::rejected).collect::<Vec<Value>>(),
        "links": links,
    });
    (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(body)).into_response()
}
