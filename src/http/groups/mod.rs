//! Groups and jobs: their status, one document for both; cancelling them and trying them again.

mod documents;
mod pictures;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use queue::{Group, GroupId, GroupResult, Job, JobId, State as JobState};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::warn;

use super::access::Caller;
use super::operation::{self, Answer, Operation, flag, ok, parameter};
use super::{Problem, Services, UrlPath, problem, request_id};
use crate::erasure;
use crate::job;
use crate::storage::Part;
use crate::submission::outbox::{self, Manifest, Owed};
use crate::submission::{self, Meta, Submitted};

pub(super) use documents::{Document, Entry, Links, STATUSES};
use documents::{PROCESSING, task};
pub(super) use pictures::{Picture, image_of, pictures};

/// Results in one document; `links.next` leads to more.
const PAGE: usize = 1000;
/// How long the answer to a cancel waits for the rest of a long list to be counted.
const LISTING: Duration = Duration::from_secs(1);

/// Bytes that most documents fit in.
const ROOM: usize = 4 << 10;

/// Which page of a group's results.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Page {
    /// The index of the first picture shown.
    #[serde(default)]
    pub(super) from: u32,
}

/// No parameter is known here: one that is ignored would be taken for granted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoQuery {}

/// What else is to be done with a group that is cancelled.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancel {
    /// Its files are erased.
    #[serde(default)]
    files: Flag,
}

/// A parameter that is set or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) enum Flag {
    #[serde(rename = "true", alias = "1")]
    Yes,
    #[default]
    #[serde(rename = "false", alias = "0")]
    No,
}

pub(super) type Asked<T> = Result<Query<T>, QueryRejection>;

pub(super) fn query<T>(asked: Asked<T>) -> Result<T, Problem> {
    match asked {
        Ok(Query(query)) => Ok(query),
        Err(error) => Err(Problem::bad_request("invalid-query", error.body_text())),
    }
}

/// What has a status, can be cancelled and tried again: a group or a job, by its id.
pub(super) trait Subject: FromStr + Copy + Send {
    const NAME: &str;
    /// What the request for its status may ask.
    type Query: DeserializeOwned + Send;
    /// What the request to cancel it may ask.
    type Cancel: DeserializeOwned + Send;

    /// None where it is unknown, to the caller at least.
    fn status(
        self,
        services: &Services,
        caller: &Caller,
        query: Self::Query,
    ) -> impl Future<Output = Result<Option<Response>, Problem>> + Send;
    /// Of its group; none where it is unknown.
    fn meta(self, services: &Services) -> impl Future<Output = Result<Option<Meta>, Problem>> + Send;
    /// Its status then; none where it is unknown.
    fn cancel(
        self,
        services: &Services,
        caller: &Caller,
        query: Self::Cancel,
    ) -> impl Future<Output = Result<Option<Response>, Problem>> + Send;
    fn retry(
        self,
        services: &Services,
        request_id: Option<String>,
    ) -> impl Future<Output = Result<Submitted, submission::Error>> + Send;
}

impl Subject for GroupId {
    const NAME: &str = "group";
    type Query = Page;
    type Cancel = Cancel;

    async fn status(
        self,
        services: &Services,
        caller: &Caller,
        Page { from }: Page,
    ) -> Result<Option<Response>, Problem> {
        Ok(document(services, self, from, |meta| caller.sees(meta)).await?.map(fresh))
    }

    async fn meta(self, services: &Services) -> Result<Option<Meta>, Problem> {
        if let Some(group) = services.broker.group(self).await? {
            return Ok(Some(Meta::of(&group)));
        }
        match outbox::read(&services.storage, self).await? {
            Some(Owed::Work(manifest)) => Ok(Some(manifest.meta)),
            _ => of_files(services, self).await,
        }
    }

    async fn cancel(
        self,
        services: &Services,
        caller: &Caller,
        Cancel { files }: Cancel,
    ) -> Result<Option<Response>, Problem> {
        let (storage, broker) = (&services.storage, &services.broker);
        let lost = match erasure::cancel(broker, self).await? {
            Some(_) => {
                list_cancelled(services, self).await;
                None
            }
            None => match outbox::read(storage, self).await? {
                Some(Owed::Work(manifest)) if files == Flag::Yes => Some(manifest),
                None if files == Flag::Yes => return erase_without_record(services, self).await,
                _ => return Ok(None),
            },
        };
        if files == Flag::Yes {
            erasure::order(storage, self).await?;
            erasure::carry_out(storage, broker, self).await?;
        }
        match lost {
            None => self.status(services, caller, Page::default()).await,
            // What the broker has lost does not come back to it now.
            Some(manifest) => {
                let mut document = of_manifest(manifest, JobState::Cancelled);
                document.tell_of_files(erasure::stands(storage, self).await?);
                Ok(Some(fresh(document)))
            }
        }
    }

    async fn retry(self, services: &Services, request_id: Option<String>) -> Result<Submitted, submission::Error> {
        submission::retry_group(&services.storage, &services.broker, self, request_id).await
    }
}

/// The owner of a group that has files in the store and no record.
async fn of_files(services: &Services, group: GroupId) -> Result<Option<Meta>, Problem> {
    let storage = &services.storage;
    if let Some(owner) = outbox::owner(storage, group).await? {
        return Ok(Some(Meta { owner: Some(owner), ..Meta::default() }));
    }
    // Without a name of an owner they were made without keys.
    Ok(storage.has_at_once(&Part::Outputs.mark(group))?.then(Meta::default))
}

/// Erases what is in the store of a group that has no record any more: outputs may be kept for longer.
async fn erase_without_record(services: &Services, group: GroupId) -> Result<Option<Response>, Problem> {
    let (storage, broker) = (&services.storage, &services.broker);
    if !storage.keeps(group)? {
        return Ok(None);
    }
    erasure::order(storage, group).await?;
    erasure::carry_out(storage, broker, group).await?;
    let mut document = Document::without_record(group);
    document.tell_of_files(erasure::stands(storage, group).await?);
    Ok(Some(fresh(document)))
}

impl Subject for JobId {
    const NAME: &str = "job";
    type Query = NoQuery;
    type Cancel = NoQuery;

    async fn status(self, services: &Services, caller: &Caller, _: NoQuery) -> Result<Option<Response>, Problem> {
        let Some(job) = services.broker.job(self).await? else { return Ok(None) };
        if !is_seen(services, caller, job.group).await? {
            return Ok(None);
        }
        Ok(Some(fresh(of_job(services, &job).await?)))
    }

    async fn meta(self, services: &Services) -> Result<Option<Meta>, Problem> {
        match services.broker.job(self).await? {
            Some(job) => job.group.meta(services).await,
            None => Ok(None),
        }
    }

    async fn cancel(self, services: &Services, caller: &Caller, _: NoQuery) -> Result<Option<Response>, Problem> {
        match services.broker.cancel_job(self).await? {
            Some(_) => self.status(services, caller, NoQuery {}).await,
            None => Ok(None),
        }
    }

    async fn retry(self, services: &Services, request_id: Option<String>) -> Result<Submitted, submission::Error> {
        submission::retry_jobs(&services.storage, &services.broker, &[self], request_id).await
    }
}

/// Has the rest of a long list counted as cancelled. If that takes longer than [`LISTING`], it goes on after the answer.
async fn list_cancelled(services: &Services, group: GroupId) {
    let (storage, broker) = (services.storage.clone(), services.broker.clone());
    let listing = tokio::spawn(async move {
        if let Err(error) = submission::list_cancelled(&storage, &broker, group).await {
            warn!(group.id = %group, "the rest of group {group} is cancelled by the upkeep: {error}");
        }
    });
    // A panic has been logged as one.
    let _ = tokio::time::timeout(LISTING, listing).await;
}

/// A group's status with its results from an index on; none where it is unknown, or not to be seen.
pub(super) async fn document(
    services: &Services,
    id: GroupId,
    from: u32,
    sees: impl Fn(&Meta) -> bool,
) -> Result<Option<Document>, Problem> {
    // One more, to know whether there is another page.
    if let Some((group, results)) = services.broker.group_with_results(id, from, PAGE + 1).await? {
        let meta = Meta::of(&group);
        if !sees(&meta) {
            return Ok(None);
        }
        return of_group(services, &group, meta, results).await.map(Some);
    }
    // What the broker has lost is on its way back to it: its client has no cause for alarm.
    match outbox::read(&services.storage, id).await? {
        Some(Owed::Work(manifest)) if sees(&manifest.meta) => Ok(Some(of_manifest(manifest, JobState::Waiting))),
        Some(Owed::Damaged(damage)) => {
            let owner = outbox::owner(&services.storage, id).await?;
            if !sees(&Meta { owner, ..Meta::default() }) {
                return Ok(None);
            }
            let detail = format!(
                "The manifest of group {id} cannot be read: {}. The group is about to be ended as failed.",
                damage.why
            );
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "manifest-damaged", detail))
        }
        _ => Ok(None),
    }
}

/// Where a group stands by its counters alone, and what its record keeps; none where it is unknown.
pub(super) async fn standing(services: &Services, id: GroupId) -> Result<Option<(Document, Meta)>, Problem> {
    if let Some(group) = services.broker.group(id).await? {
        let meta = Meta::of(&group);
        return Ok(Some((Document::of_group(&group, &meta), meta)));
    }
    match outbox::read(&services.storage, id).await? {
        Some(Owed::Work(manifest)) => Ok(Some((alike(&manifest, JobState::Waiting), manifest.meta))),
        _ => Ok(None),
    }
}

pub(super) fn unknown<S: Subject>(id: &str) -> Problem {
    Problem::not_found(format!("There is no {} `{id}`.", S::NAME))
}

pub(super) fn parsed<S: Subject>(id: &str) -> Result<S, Problem> {
    id.parse().map_err(|_| unknown::<S>(id))
}

/// Whether the caller may know of what is a subject's; it may of nothing that is unknown.
async fn is_seen<S: Subject>(services: &Services, caller: &Caller, subject: S) -> Result<bool, Problem> {
    Ok(caller.sees_all() || subject.meta(services).await?.is_some_and(|meta| caller.sees(&meta)))
}

/// What the caller may change: it is parsed, and its own.
async fn owned<S: Subject>(services: &Services, caller: &Caller, id: &str) -> Result<S, Problem> {
    let subject = parsed::<S>(id)?;
    if caller.sees_all() {
        return Ok(subject);
    }
    match subject.meta(services).await? {
        Some(meta) if caller.owns(&meta) => Ok(subject),
        Some(meta) if caller.sees(&meta) => {
            let detail = format!(
                "The {} `{id}` was made without keys and belongs to nobody: changing it needs a key with the scope \
                 `admin`.",
                S::NAME
            );
            Err(Problem::new(StatusCode::FORBIDDEN, "forbidden-scope", detail))
        }
        _ => Err(unknown::<S>(id)),
    }
}

/// A group's or a job's.
pub(super) async fn task_status(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
    page: Asked<Page>,
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
    asked: Asked<S::Query>,
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

/// Cancels what has not ended, and erases a group's files where that is asked for. Answers with the status, in which
/// pictures that were at work may still be open.
pub(super) async fn cancel<S: Subject>(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
    asked: Asked<S::Cancel>,
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

/// Tries what has failed or was cancelled again, as a group of its own.
pub(super) async fn retry<S: Subject>(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
    nothing: Asked<NoQuery>,
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

/// A document that changes from one look to the next.
pub(super) fn fresh(document: impl Serialize) -> Response {
    // Room for most documents at once: growing step by step costs as much as writing them.
    let mut body = Vec::with_capacity(ROOM);
    serde_json::to_writer(&mut body, &document).expect("strings and numbers always serialise");
    let about = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (about, body).into_response()
}

/// All jobs of a group that the broker does not have, in one state.
fn alike(manifest: &Manifest, state: JobState) -> Document {
    Document::of_alike(manifest.group, manifest.created_at, manifest.total() as u32, state)
}

fn of_manifest(manifest: Manifest, state: JobState) -> Document {
    let mut document = alike(&manifest, state);
    document.result = Some(Vec::new());
    document.tell(manifest.meta);
    document
}

/// The document of a group with a page of its results, and one more where there is another page.
async fn of_group(
    services: &Services,
    group: &Group,
    meta: Meta,
    mut results: Vec<GroupResult>,
) -> Result<Document, Problem> {
    let signer = services.links.signer(&services.access);
    let mut document = Document::of_group(group, &meta);
    if results.len() > PAGE {
        results.truncate(PAGE);
        let next = results.last().map(|last| last.index + 1);
        document.links.next = next.map(|next| format!("{}?from={next}", task(group.id)));
    }
    let pictures = pictures(&services.broker, &results).await?;
    document.result = Some(pictures.into_iter().map(|picture| Entry::of(group.id, picture, &signer)).collect());
    document.links.archive = Some(signer.link(format!("/api/groups/{}/archive", group.id)));
    document.tell_of_files(erasure::stands(&services.storage, group.id).await?);
    document.tell(meta);
    Ok(document)
}

async fn of_job(services: &Services, job: &Job) -> Result<Document, Problem> {
    let mut document = Document::of_job(job);
    let picture = job.state.is_terminal().then(|| Picture::of_job(job));
    let signer = services.links.signer(&services.access);
    document.result = Some(picture.into_iter().map(|picture| Entry::of(job.group, picture, &signer)).collect());
    document.request_id = job::request_id(&job.payload);
    document.tell_of_files(erasure::stands(&services.storage, job.group).await?);
    Ok(document)
}
