//! The status documents of groups and jobs, made of what the broker or the outbox has.

use axum::http::StatusCode;
use queue::{Group, GroupId, GroupResult, Job, State as JobState};

use super::documents::{Document, task};
use super::entries::{Entry, JobEntry, PictureEntry};
use super::pictures::{Picture, pictures};
use crate::http::Services;
use crate::http::problem::Problem;
use crate::kinds::{self, Payload};
use crate::maintenance::erasure;
use crate::submission::Meta;
use crate::submission::manifest::Manifest;
use crate::submission::outbox::{self, Owed};

/// Results in one document; `links.next` leads to more.
const PAGE: usize = 1000;

/// A group's status with the results from an index on. `None` if the group is unknown, or if `sees` refuses it.
pub(in crate::http) async fn document(
    services: &Services,
    id: GroupId,
    from: u32,
    sees: impl Fn(&Meta) -> bool,
) -> Result<Option<Document>, Problem> {
    // One result more shows whether there is another page.
    if let Some((group, results)) = services.broker.group_with_results(id, from, PAGE + 1).await? {
        let meta = Meta::of(&group);
        if !sees(&meta) {
            return Ok(None);
        }
        return of_group(services, &group, meta, results).await.map(Some);
    }
    // A group that the broker has lost will be enqueued again from the outbox. To its client it is waiting.
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

/// A group's status by its counters alone, and its metadata; `None` if it is unknown.
pub(in crate::http) async fn standing(services: &Services, id: GroupId) -> Result<Option<(Document, Meta)>, Problem> {
    if let Some(group) = services.broker.group(id).await? {
        let meta = Meta::of(&group);
        return Ok(Some((Document::of_group(&group, &meta), meta)));
    }
    match outbox::read(&services.storage, id).await? {
        Some(Owed::Work(manifest)) => Ok(Some((alike(&manifest, JobState::Waiting), manifest.meta))),
        _ => Ok(None),
    }
}

/// The document of a group that the broker does not have, all of whose jobs are in one state.
fn alike(manifest: &Manifest, state: JobState) -> Document {
    Document::of_alike(manifest.group, manifest.created_at, manifest.total() as u32, state)
}

pub(super) fn of_manifest(manifest: Manifest, state: JobState) -> Document {
    let mut document = alike(&manifest, state);
    document.result = Some(Vec::new());
    document.tell(manifest.meta);
    document
}

/// The document of a group with a page of its results. One result more means that there is another page.
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
    if meta.kind.is_none() {
        let pictures = pictures(&services.broker, &results).await?;
        let entry = |picture| Entry::Picture(PictureEntry::of(group.id, picture, &signer));
        document.result = Some(pictures.into_iter().map(entry).collect());
        document.links.archive = Some(signer.link(format!("/api/groups/{}/archive", group.id)));
    } else {
        let entry = |one: &GroupResult| Entry::Job(JobEntry::of(one.job, one.state, &one.result));
        document.result = Some(results.iter().map(entry).collect());
    }
    document.tell_of_files(erasure::stands(&services.storage, group.id).await?);
    document.tell(meta);
    Ok(document)
}

/// The document of one job.
pub(super) async fn of_job(services: &Services, job: &Job) -> Result<Document, Problem> {
    let mut document = Document::of_job(job);
    let signer = services.links.signer(&services.access);
    let entry = || {
        if Payload::is_picture(&job.kind) {
            Entry::Picture(PictureEntry::of(job.group, Picture::of_job(job), &signer))
        } else {
            Entry::Job(JobEntry::of(job.id, job.state, job.result.as_deref().unwrap_or_default()))
        }
    };
    document.result = Some(job.state.is_terminal().then(entry).into_iter().collect());
    document.request_id = kinds::request_id(&job.payload);
    document.tell_of_files(erasure::stands(&services.storage, job.group).await?);
    Ok(document)
}
