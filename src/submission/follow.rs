//! What follows a group: its originals once more, with other operations.
//!
//! The broker enqueues a `group.follow` job exactly once when the first group has finished; the job makes the second
//! group under an id that the first one's status names from the beginning. Run twice, it makes the same group; the first
//! one stays owed until this has happened, so that a broker that forgot it in between does it all again.

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

/// Makes the group that follows another one; returns how many pictures it has.
///
/// # Errors
/// `NotRetryable` where no original of the first one is left; when the store or the broker fails.
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
    // All other fields are the first group's: whoever may see that group may see this one.
    let mut meta = Meta::of(&first);
    (meta.follows, meta.retry_of, meta.then, meta.listed) = (Some(job.of), None, None, None);
    meta.step = None;
    meta.rejected.clear();
    let mut submission = Submission::begin_as(job.group, storage.clone(), limits.clone(), meta);
    // A late attempt that is given up takes nothing from the one that made the group: what is left of neither is an orphan.
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
