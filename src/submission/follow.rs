//! The follow-up of a group: the same originals with other operations.
//!
//! The broker enqueues a `group.follow` job exactly once, when the first group has finished. The job makes the second
//! group, whose id is in the first group's status from the beginning. If the job runs twice, it makes the same group.
//! The first group stays owed until then, so that everything is repeated if the broker loses it in between.

use serde::Serialize;

use super::{Circumstances, Error, Meta, Submission, outbox, wanted};
use crate::errors::Failure;
use crate::kinds::{Context, Done, GroupFollow, Run};

impl Run for GroupFollow {
    async fn run(&self, context: &Context) -> Result<Done, Failure> {
        #[derive(Serialize)]
        struct Followed {
            pictures: usize,
        }
        Ok(Done::with(&Followed { pictures: follow(self, context).await? }))
    }
}

/// Makes the follow-up group; returns the number of its pictures.
///
/// # Errors
/// `NotRetryable` if no original of the first group exists any more; or if the store or the broker fails.
async fn follow(job: &GroupFollow, context: &Context) -> Result<usize, Error> {
    let Context { broker, storage, sources, limits, .. } = context;
    if let Some(there) = broker.group(job.group).await? {
        return Ok(there.total as usize);
    }
    if let Some(outbox::Owed::Work(manifest)) = outbox::read(storage, job.group).await? {
        manifest.enqueue(broker).await?;
        return Ok(manifest.total());
    }
    let first = broker.group(job.of).await?.ok_or_else(|| Error::Unknown(format!("group {}", job.of)))?;
    // The other fields are those of the first group, so that the same callers may see both.
    let mut meta = Meta::of(&first);
    (meta.follows, meta.retry_of, meta.then, meta.listed) = (Some(job.of), None, None, None);
    meta.step = None;
    meta.rejected.clear();
    let mut submission = Submission::begin_as(job.group, storage.clone(), limits.clone(), meta);
    // From here on, dropping the submission removes nothing. A late attempt must not remove the files of the attempt
    // that made the group. If neither made it, the files are orphans.
    submission.owed = true;
    for earlier in wanted::pictures_of(storage, broker, &first).await? {
        submission.take_again(sources, earlier).await?;
    }
    if submission.accepted.is_empty() {
        return Err(Error::NotRetryable(format!("no original of group {} is left (retention.originals)", job.of)));
    }
    let mut meta = std::mem::take(&mut submission.meta);
    meta.rejected = std::mem::take(&mut submission.rejected);
    let circumstances = Circumstances { keep: job.keep, ..Circumstances::default() };
    Ok(submission.submit(broker, meta, &job.terms, circumstances).await?.images)
}
