//! What has a status, can be cancelled and retried: a group or a job.

use std::str::FromStr;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use queue::{GroupId, JobId, State as JobState};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tracing::warn;

use super::documents::Document;
use super::status::{document, of_job, of_manifest};
use crate::http::Services;
use crate::http::access::Caller;
use crate::http::answers::fresh;
use crate::http::problem::Problem;
use crate::http::request::{Flag, NoQuery};
use crate::maintenance::erasure;
use crate::storage::Part;
use crate::submission::outbox::{self, Owed};
use crate::submission::{self, Meta, Submitted};

/// How long the answer to a cancel waits until the rest of a long list is counted.
const LISTING: Duration = Duration::from_secs(1);

/// Which results of a group the document has.
#[derive(Debug, Default, Deserialize)]
pub(in crate::http) struct Page {
    /// The index of the first result.
    #[serde(default)]
    pub(in crate::http) from: u32,
}

/// Options for cancelling a group.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Cancel {
    /// Erase its files, too.
    #[serde(default)]
    files: Flag,
}

/// A group or a job, by its id.
pub(in crate::http) trait Subject: FromStr + Copy + Send {
    const NAME: &str;
    /// The query of the request for its status.
    type Query: DeserializeOwned + Send;
    /// The query of the request to cancel it.
    type Cancel: DeserializeOwned + Send;

    /// Its status; `None` if it is unknown, or if the caller may not see it.
    fn status(
        self,
        services: &Services,
        caller: &Caller,
        query: Self::Query,
    ) -> impl Future<Output = Result<Option<Response>, Problem>> + Send;
    /// The metadata of its group; `None` if it is unknown.
    fn meta(self, services: &Services) -> impl Future<Output = Result<Option<Meta>, Problem>> + Send;
    /// Cancels it and answers with its status; `None` if it is unknown.
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
        // A workflow's own group.
        services.workflows.cancel(storage, broker, self).await?;
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
            // The broker has lost the group and does not get it back any more.
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

/// The owner of a group that has files in the store and no record; `None` without files.
async fn of_files(services: &Services, group: GroupId) -> Result<Option<Meta>, Problem> {
    let storage = &services.storage;
    if let Some(owner) = outbox::owner(storage, group).await? {
        return Ok(Some(Meta { owner: Some(owner), ..Meta::default() }));
    }
    // Files without an owner's name were made without keys.
    Ok(storage.has_at_once(&Part::Outputs.mark(group))?.then(Meta::default))
}

/// Erases the files of a group that has no record any more. Outputs may be kept for longer than the record.
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

/// Counts the rest of a long list as cancelled. If that takes longer than [`LISTING`], it goes on after the answer.
async fn list_cancelled(services: &Services, group: GroupId) {
    let (storage, broker) = (services.storage.clone(), services.broker.clone());
    let listing = tokio::spawn(async move {
        if let Err(error) = submission::list_cancelled(&storage, &broker, group).await {
            warn!(group.id = %group, "the rest of group {group} is cancelled by the upkeep: {error}");
        }
    });
    // A panic has been logged already.
    let _ = tokio::time::timeout(LISTING, listing).await;
}

pub(in crate::http) fn unknown<S: Subject>(id: &str) -> Problem {
    Problem::not_found(format!("There is no {} `{id}`.", S::NAME))
}

pub(in crate::http) fn parsed<S: Subject>(id: &str) -> Result<S, Problem> {
    id.parse().map_err(|_| unknown::<S>(id))
}

/// Whether the caller may see this subject. It may not see an unknown one.
async fn is_seen<S: Subject>(services: &Services, caller: &Caller, subject: S) -> Result<bool, Problem> {
    Ok(caller.sees_all() || subject.meta(services).await?.is_some_and(|meta| caller.sees(&meta)))
}

/// Parses the id, and refuses a subject that the caller may not change.
pub(super) async fn owned<S: Subject>(services: &Services, caller: &Caller, id: &str) -> Result<S, Problem> {
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
