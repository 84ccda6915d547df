//! Retries finished jobs. The copies are a new group, because a finished record never changes.

use std::collections::HashMap;

use queue::{Broker, GroupId, Job, JobId, State};

use super::manifest::{Entry, Manifest};
use super::{Error, Meta, Submitted, outbox};
use crate::job::Labels;
use crate::kinds::{Payload, Source};
use crate::storage::{Part, Storage, upload_key};

/// Number of results read at a time.
const PAGE: usize = 1_000;

/// Retries the failed and cancelled jobs of a group. `request_id` is the id of the request that asks for this, if any.
///
/// # Errors
/// `Unknown` and `NotRetryable`; otherwise as for a submission.
pub async fn retry_group(
    storage: &Storage,
    broker: &Broker,
    id: GroupId,
    request_id: Option<String>,
) -> Result<Submitted, Error> {
    if broker.group(id).await?.is_none() {
        return Err(Error::Unknown(format!("group {id}")));
    }
    let mut ids = Vec::new();
    let mut from = 0;
    loop {
        let results = broker.results(id, from, PAGE).await?;
        let Some(last) = results.last() else { break };
        from = last.index + 1;
        ids.extend(results.iter().filter(|one| is_retryable(one.state)).map(|one| one.job));
    }
    if ids.is_empty() {
        return Err(Error::NotRetryable(format!("group {id} has no failed or cancelled jobs")));
    }
    retry_jobs(storage, broker, &ids, request_id).await
}

/// Retries failed or cancelled jobs, together in one group.
///
/// Each copy has an original of its own, so that the end of one group does not remove the original of the other. The
/// new group has the same owner.
///
/// # Errors
/// `Unknown`; `NotRetryable` for a job that has not finished or has succeeded, for a job whose original no longer
/// exists, and for jobs of several owners; otherwise as for a submission.
pub async fn retry_jobs(
    storage: &Storage,
    broker: &Broker,
    ids: &[JobId],
    request_id: Option<String>,
) -> Result<Submitted, Error> {
    let group = GroupId::new();
    match copies(storage, broker, group, ids).await {
        Ok(mut manifest) => {
            manifest.meta.request_id = request_id;
            let submitted = Submitted { group, images: manifest.jobs.len(), rejected: Vec::new(), then: None };
            outbox::submit(storage, broker, manifest, None).await?;
            Ok(submitted)
        }
        Err(error) => {
            outbox::discard(storage, group).await;
            Err(error)
        }
    }
}

async fn copies(storage: &Storage, broker: &Broker, group: GroupId, ids: &[JobId]) -> Result<Manifest, Error> {
    let mut new_ids = HashMap::with_capacity(ids.len());
    let mut finished = Vec::with_capacity(ids.len());
    for &id in ids {
        if new_ids.insert(id, JobId::new()).is_some() {
            continue; // The id was given twice.
        }
        let job = broker.job(id).await?.ok_or_else(|| Error::Unknown(format!("job {id}")))?;
        if !is_retryable(job.state) {
            let detail = format!("job {id} is {}; only failed and cancelled ones are tried again", job.state);
            return Err(Error::NotRetryable(detail));
        }
        finished.push(job);
    }
    // A job never precedes the job that it waits for.
    finished.sort_by_key(|job| (job.group, job.index));
    let mut groups: Vec<GroupId> = finished.iter().map(|job| job.group).collect();
    let mut jobs = Vec::with_capacity(finished.len());
    for (index, job) in finished.into_iter().enumerate() {
        let payload = own_source(storage, &job, &upload_key(group, index)).await?;
        jobs.push(Entry {
            id: new_ids[&job.id],
            queue: job.queue,
            priority: job.priority,
            max_attempts: job.max_attempts,
            // A job that it waited for and that succeeded is not repeated.
            after: job.after.and_then(|after| new_ids.get(&after).copied()),
            retry_of: Some(job.id),
            payload,
        });
    }
    groups.dedup();
    let (owner, labels) = common(broker, &groups).await?;
    let retry_of = if let [only] = groups[..] { Some(only) } else { None };
    let meta = Meta { retry_of, owner, labels, ..Meta::default() };
    Ok(Manifest::new(group, meta, jobs))
}

/// The owner of all the groups, and their labels if these are the same.
async fn common(broker: &Broker, groups: &[GroupId]) -> Result<(Option<String>, Labels), Error> {
    let (mut owners, mut labels) = (Vec::with_capacity(1), Vec::with_capacity(1));
    for &id in groups {
        let group = broker.group(id).await?.ok_or_else(|| Error::Unknown(format!("group {id}")))?;
        let meta = Meta::of(&group);
        owners.push(meta.owner);
        owners.dedup();
        labels.push(meta.labels);
        labels.dedup();
    }
    if owners.len() > 1 {
        return Err(Error::NotRetryable("the jobs belong to several API keys; try each group again by itself".into()));
    }
    let labels = if labels.len() == 1 { labels.remove(0) } else { Labels::default() };
    Ok((owners.pop().flatten(), labels))
}

/// The job's payload, after its original has been stored a second time under `key`.
async fn own_source(storage: &Storage, job: &Job, key: &str) -> Result<Payload, Error> {
    let mut payload = Payload::from_bytes(&job.payload)
        .map_err(|error| queue::Error::Incompatible(format!("job {} of kind `{}`: {error}", job.id, job.kind)))?;
    let fetches = matches!(payload, Payload::SourceFetch(_));
    if let Some(picture) = payload.picture_mut()
        && let Source::Stored(original) = &mut picture.source
    {
        // An original that will be erased is not copied. A picture that was never fetched is fetched again.
        let erased = storage.has(&Part::Erased.mark(job.group)).await?;
        if erased || !storage.copy(original, key).await? && !fetches {
            let detail = format!("the original of job {} is no longer kept (retention.originals)", job.id);
            return Err(Error::NotRetryable(detail));
        }
        *original = key.into();
    }
    Ok(payload)
}

fn is_retryable(state: State) -> bool {
    matches!(state, State::Failed | State::Cancelled)
}
