//! Groups and jobs: their status, one document for both; cancelling them and trying them again.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::access::Caller;
use super::links::Signer;
use super::{Problem, Services, UrlPath, problem, request_id};
use crate::erasure;
use crate::job::{self, GroupId, ImageResult, JobId, Output, Payload, State as JobState};
use crate::queue::{self, Broker, Group, GroupResult, Job};
use crate::submission::outbox::{self, Manifest, Owed};
use crate::submission::{self, Meta, Submitted};

/// Results in one document; `links.next` leads to more.
const PAGE: usize = 1000;

/// Which page of a group's results.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Page {
    /// The index of the first picture shown.
    #[serde(default)]
    from: u32,
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
            _ => Ok(None),
        }
    }

    async fn cancel(
        self,
        services: &Services,
        caller: &Caller,
        Cancel { files }: Cancel,
    ) -> Result<Option<Response>, Problem> {
        let (storage, broker) = (&services.storage, &services.broker);
        let lost = match broker.cancel_group(self).await? {
            Some(_) => None,
            None => match outbox::read(storage, self).await? {
                Some(Owed::Work(manifest)) if files == Flag::Yes => Some(manifest),
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
                let mut document = of_manifest(&manifest, JobState::Cancelled);
                tell_of_files(services, self, &mut document).await?;
                Ok(Some(fresh(document)))
            }
        }
    }

    async fn retry(self, services: &Services, request_id: Option<String>) -> Result<Submitted, submission::Error> {
        submission::retry_group(&services.storage, &services.broker, self, request_id).await
    }
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

/// A group's status with its results from an index on; none where it is unknown, or not to be seen.
pub(super) async fn document(
    services: &Services,
    id: GroupId,
    from: u32,
    sees: impl Fn(&Meta) -> bool,
) -> Result<Option<Value>, Problem> {
    // One more, to know whether there is another page.
    if let Some((group, results)) = services.broker.group_with_results(id, from, PAGE + 1).await? {
        if !sees(&Meta::of(&group)) {
            return Ok(None);
        }
        return of_group(services, group, results).await.map(Some);
    }
    // What the broker has lost is on its way back to it: its client has no cause for alarm.
    match outbox::read(&services.storage, id).await? {
        Some(Owed::Work(manifest)) if sees(&manifest.meta) => Ok(Some(of_manifest(&manifest, JobState::Waiting))),
        _ => Ok(None),
    }
}

/// A group by its counters alone.
pub(super) struct Standing {
    pub(super) document: Value,
    pub(super) finished: bool,
    pub(super) meta: Meta,
}

impl Standing {
    pub(super) fn of(group: &Group) -> Self {
        let meta = Meta::of(group);
        let counts = Counts::of(group, &meta);
        let mut document = counts.document(&group.id, group.created_at, group.finished_at);
        document["links"] = links(group.id);
        Self { document, finished: counts.open == 0, meta }
    }

    /// All its jobs in one state.
    fn of_manifest(manifest: &Manifest, state: JobState) -> Self {
        let total = manifest.total() as u32;
        let (open, cancelled) = if state == JobState::Cancelled { (0, total) } else { (total, 0) };
        let counts = Counts { total, open, succeeded: 0, failed: 0, cancelled };
        let mut document = counts.document(&manifest.group, manifest.created_at, None);
        document["links"] = links(manifest.group);
        Self { document, finished: open == 0, meta: manifest.meta.clone() }
    }
}

/// Where a group stands; none where it is unknown.
pub(super) async fn standing(services: &Services, id: GroupId) -> Result<Option<Standing>, Problem> {
    if let Some(group) = services.broker.group(id).await? {
        return Ok(Some(Standing::of(&group)));
    }
    match outbox::read(&services.storage, id).await? {
        Some(Owed::Work(manifest)) => Ok(Some(Standing::of_manifest(&manifest, JobState::Waiting))),
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

pub(super) async fn status<S: Subject>(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
    asked: Asked<S::Query>,
) -> Result<Response, Problem> {
    let asked = query(asked)?;
    parsed::<S>(&id)?.status(&services, &caller, asked).await?.ok_or_else(|| unknown::<S>(&id))
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

/// The answer to a submission.
pub(super) fn accepted(submitted: &Submitted) -> Response {
    let mut links = links(submitted.group);
    if let Some(then) = submitted.then {
        links["then"] = format!("/api/task_status/{then}").into();
    }
    let location = links["self"].as_str().unwrap_or_default().to_owned();
    let body = json!({
        "status": "processing",
        "task_id": submitted.group,
        "total_images": submitted.images,
        "rejected": submitted.rejected.iter().map(problem::rejected).collect::<Vec<Value>>(),
        "links": links,
    });
    (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(body)).into_response()
}

/// All its jobs in one state.
fn of_manifest(manifest: &Manifest, state: JobState) -> Value {
    let Standing { document, meta, .. } = Standing::of_manifest(manifest, state);
    with_meta(with_results(document, json!([])), &meta)
}

/// `links` and what follows them stand last.
fn with_results(mut document: Value, results: Value) -> Value {
    let links = document["links"].take();
    document["result"] = results;
    if let Value::Object(fields) = &mut document {
        fields.shift_remove("links");
    }
    document["links"] = links;
    document
}

fn with_meta(mut document: Value, meta: &Meta) -> Value {
    document["rejected"] = meta.rejected.iter().map(problem::rejected).collect();
    if let Some(first) = meta.retry_of {
        document["retry_of"] = json!(first);
    }
    if let Some(request) = &meta.request_id {
        document["request_id"] = json!(request);
    }
    if let Some(first) = meta.follows {
        document["follows"] = json!(first);
    }
    if let Some(then) = meta.then {
        document["then"] = json!({"on": then.on, "task_id": then.group});
        document["links"]["then"] = format!("/api/task_status/{}", then.group).into();
    }
    document
}

/// A document that changes from one look to the next.
pub(super) fn fresh(document: Value) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(document)).into_response()
}

pub(super) fn links(group: GroupId) -> Value {
    json!({"self": format!("/api/task_status/{group}"), "events": format!("/api/groups/{group}/events")})
}

pub(super) fn job_links(job: &Job) -> Value {
    json!({"self": format!("/api/task_status/{}", job.id), "group": format!("/api/task_status/{}", job.group)})
}

/// What a `status` may be.
pub(super) const STATUSES: [&str; 4] = ["processing", "completed", "failed", "cancelled"];

/// How many jobs stand where.
#[derive(Clone, Copy)]
struct Counts {
    total: u32,
    open: u32,
    succeeded: u32,
    failed: u32,
    cancelled: u32,
}

impl Counts {
    fn of(group: &Group, meta: &Meta) -> Self {
        let Group { mut total, pending, succeeded, failed, cancelled, sealed, .. } = *group;
        // Before it is sealed, a group is open even when all jobs so far have ended.
        let open = if sealed { pending } else { pending.max(1) };
        if let (false, Some(listed)) = (sealed, meta.listed) {
            total = total.max(listed);
        }
        Self { total, open, succeeded, failed, cancelled }
    }

    /// Any open job: `processing`; else any cancelled: `cancelled`; else none succeeded: `failed`; else `completed`.
    fn status(self) -> &'static str {
        match self {
            Self { open: 1.., .. } => "processing",
            Self { cancelled: 1.., .. } => "cancelled",
            Self { succeeded: 0, .. } => "failed",
            _ => "completed",
        }
    }

    fn document(self, id: &dyn std::fmt::Display, created: Timestamp, finished: Option<Timestamp>) -> Value {
        let done = self.succeeded + self.failed + self.cancelled;
        json!({
            "status": self.status(),
            "task_id": id.to_string(),
            "total_images": self.total,
            "done": done,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "cancelled": self.cancelled,
            "progress": if self.total == 0 { 1.0 } else { f64::from(done) / f64::from(self.total) },
            "created_at": created,
            "finished_at": finished,
        })
    }
}

/// The document of a group with a page of its results, and one more where there is another page.
async fn of_group(services: &Services, group: Group, mut results: Vec<GroupResult>) -> Result<Value, Problem> {
    let signer = services.links.signer(&services.access);
    let Standing { document, meta, .. } = Standing::of(&group);
    let next =
        (results.len() > PAGE).then(|| results.truncate(PAGE)).and_then(|()| results.last()).map(|last| last.index + 1);
    let names = names_of_unnamed(&services.broker, &results).await?;
    let results = results.iter().map(|result| entry(group.id, result, &names, &signer)).collect();
    let mut document = with_results(document, results);
    document["links"]["archive"] = signer.link(format!("/api/groups/{}/archive", group.id)).into();
    tell_of_files(services, group.id, &mut document).await?;
    if let Some(next) = next {
        document["links"]["next"] = format!("/api/task_status/{}?from={next}", group.id).into();
    }
    Ok(with_meta(document, &meta))
}

/// Says so where a group's files were erased: the paths lead nowhere then.
async fn tell_of_files(services: &Services, group: GroupId, document: &mut Value) -> Result<(), Problem> {
    if let Some(stands) = erasure::stands(&services.storage, group).await? {
        let told = match stands {
            erasure::Stands::Ordered => "erasing",
            erasure::Stands::Done => "erased",
        };
        document["files"] = told.into();
    }
    Ok(())
}

async fn of_job(services: &Services, job: &Job) -> Result<Value, Problem> {
    let one = |state| u32::from(job.state == state);
    let counts = Counts {
        total: 1,
        open: u32::from(!job.state.is_terminal()),
        succeeded: one(JobState::Succeeded),
        failed: one(JobState::Failed),
        cancelled: one(JobState::Cancelled),
    };
    let mut document = counts.document(&job.id, job.created_at, job.finished_at);
    document["state"] = job.state.as_str().into();
    document["attempts"] = job.attempt.into();
    document["result"] = if job.state.is_terminal() {
        let result = GroupResult {
            index: job.index,
            job: job.id,
            state: job.state,
            result: job.result.clone().unwrap_or_default(),
        };
        let names = image_of(job).into_iter().map(|image| (job.id, image)).collect();
        json!([entry(job.group, &result, &names, &services.links.signer(&services.access))])
    } else {
        json!([])
    };
    document["links"] = job_links(job);
    if let Some(first) = job.retry_of {
        document["retry_of"] = json!(first);
    }
    if let Some(request) = job::request_id(&job.payload) {
        document["request_id"] = request.into();
    }
    tell_of_files(services, job.group, &mut document).await?;
    Ok(document)
}

/// One finished picture, with its paths on this server.
pub(super) fn entry(
    group: GroupId,
    result: &GroupResult,
    names: &HashMap<JobId, String>,
    signer: &Signer<'_>,
) -> Value {
    let known: Option<ImageResult> = serde_json::from_slice(&result.result).ok();
    let image = known.as_ref().and_then(|known| known.image.as_deref()).or(names.get(&result.job).map(String::as_str));
    let mut entry = json!({"success": result.state == JobState::Succeeded, "job_id": result.job, "image": image});
    let Some(known) = known.filter(|_| result.state != JobState::Cancelled) else {
        let (code, detail) = match result.state {
            JobState::Cancelled => ("cancelled", "The picture was cancelled before it was done."),
            _ => ("internal", "The job ended without a result."),
        };
        entry["error"] = json!({"code": code, "detail": detail, "retryable": false});
        return entry;
    };
    entry["attempts"] = known.attempts.into();
    entry["duration_ms"] = known.duration_ms.into();
    if let Some(error) = known.error {
        entry["error"] = json!({"code": error.code, "detail": error.detail, "retryable": error.retryable});
        return entry;
    }
    let path = |file: &str| signer.link(format!("/files/{group}/{}/{}/{file}", result.job, known.run));
    let (paths, outputs): (Vec<Value>, Vec<Value>) = known
        .outputs
        .iter()
        .map(|output| match output {
            Output::File(output) => {
                let path = path(&output.file);
                let mut told = json!({
                    "type": output.kind,
                    "path": path,
                    "format": output.format,
                    "width": output.width,
                    "height": output.height,
                    "bytes": output.bytes,
                });
                if let (Some(frames), Some(duration_ms)) = (output.frames, output.duration_ms) {
                    told["frames"] = frames.into();
                    told["duration_ms"] = duration_ms.into();
                }
                if !output.warnings.is_empty() {
                    told["warnings"] = json!(output.warnings);
                }
                (path.into(), told)
            }
            // It has no file.
            Output::Answer(answer) => (Value::Null, json!(answer)),
        })
        .unzip();
    entry["paths"] = paths.into();
    entry["outputs"] = outputs.into();
    entry
}

/// The pictures' names where the broker itself ended a job, and so the result does not have it.
pub(super) async fn names_of_unnamed(
    broker: &Broker,
    results: &[GroupResult],
) -> queue::Result<HashMap<JobId, String>> {
    let mut names = HashMap::new();
    for result in results {
        let has_name = serde_json::from_slice::<ImageResult>(&result.result).is_ok_and(|known| known.image.is_some());
        if !has_name && let Some(job) = broker.job(result.job).await? {
            names.extend(image_of(&job).map(|image| (job.id, image)));
        }
    }
    Ok(names)
}

pub(super) fn image_of(job: &Job) -> Option<String> {
    let payload: Payload = serde_json::from_slice(&job.payload).ok()?;
    payload.picture().map(|picture| picture.image.clone())
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn status_follows_the_counts() {
        let status = |open, succeeded, failed, cancelled| {
            Counts { total: open + succeeded + failed + cancelled, open, succeeded, failed, cancelled }.status()
        };
        assert_eq!(status(1, 5, 0, 3), "processing");
        assert_eq!(status(0, 5, 1, 1), "cancelled");
        assert_eq!(status(0, 0, 2, 0), "failed");
        assert_eq!(status(0, 1, 2, 0), "completed");
    }
}
