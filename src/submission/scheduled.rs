//! The work of a `schedule.run` job: a submission by reference, made when its slot has come.
//!
//! The job knows the id of the group that it makes, and the ids of the group's jobs follow from it. Run twice, it makes the
//! same group.

use serde::Serialize;

use super::manifest::Listed;
use super::{Circumstances, Error, Meta, Submission, Wanted, outbox};
use crate::errors::Failure;
use crate::kinds::{Context, Done, Run, ScheduleRun};

/// What a run has made.
#[derive(Serialize)]
struct Made {
    /// Pictures that were taken.
    pictures: usize,
    /// Sources that were refused.
    rejected: usize,
}

impl Run for ScheduleRun {
    async fn run(&self, context: &Context) -> Result<Done, Failure> {
        Ok(Done::with(&make(self, context).await?))
    }
}

/// Makes the group. A prefix without files makes none, which is no failure: there is nothing to do this time.
async fn make(job: &ScheduleRun, context: &Context) -> Result<Made, Failure> {
    let Context { broker, storage, sources, limits, .. } = context;
    if let Some(there) = broker.group(job.group).await? {
        let meta = Meta::of(&there);
        let pictures = meta.listed.unwrap_or(there.total) as usize;
        return Ok(Made { pictures, rejected: meta.rejected.len() });
    }
    if let Some(outbox::Owed::Work(manifest)) = outbox::read(storage, job.group).await? {
        manifest.enqueue(broker).await?;
        return Ok(Made { pictures: manifest.total(), rejected: manifest.meta.rejected.len() });
    }
    let wanted = Wanted::parse_all(&job.sources).map_err(|detail| Failure::permanent("invalid-sources", detail))?;
    let meta = Meta {
        owner: job.owner.clone(),
        request_id: context.request_id.clone(),
        schedule: Some(job.occasion.clone()),
        ..Meta::default()
    };
    let mut submission = Submission::begin_as(job.group, storage.clone(), limits.clone(), meta);
    // A late attempt that is given up takes nothing from the one that made the group: what is left of neither is an orphan.
    submission.owed = true;
    let sees = |meta: &Meta| meta.owner.is_none() || meta.owner == job.owner;
    for source in &wanted {
        submission.take(source, sources, broker, &sees, (job.max_files, wanted.len() == 1)).await.map_err(|error| {
            match error {
                Error::TooMany(detail) => Failure::permanent("too-many-files", detail),
                error => error.into(),
            }
        })?;
    }
    if submission.is_hopeless() {
        let rejected = submission.rejected();
        return match rejected.iter().find(|one| one.error.code != "source-missing") {
            Some(one) => Err(one.error.clone()),
            None => Ok(Made { pictures: 0, rejected: rejected.len() }),
        };
    }
    let mut meta = std::mem::take(&mut submission.meta);
    meta.rejected = std::mem::take(&mut submission.rejected);
    let (chunk, queue) = (job.chunk, job.scan_queue.clone());
    let listed = submission.listed.take().map(|keys| Listed { keys, terms: job.terms.clone(), chunk, queue, lost: 0 });
    meta.listed = listed.as_ref().map(|listed| listed.keys.len() as u32);
    let circumstances = Circumstances { keep: job.keep, listed, ..Circumstances::default() };
    let submitted = submission.submit(broker, meta, &job.terms, circumstances).await?;
    Ok(Made { pictures: submitted.images, rejected: submitted.rejected.len() })
}
