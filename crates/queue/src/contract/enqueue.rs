//! New work: groups of jobs, and the job that follows a group.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::IdempotencyKey;
use crate::{Class, GroupId, JobId, Policy};

/// A job to be enqueued. The submitter chooses its id; a job that is enqueued twice exists once.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub id: JobId,
    /// The job's number in its group, from 0.
    pub index: u32,
    pub kind: String,
    pub queue: String,
    pub class: Class,
    /// From 1 to 10; 10 is claimed first.
    pub priority: u8,
    /// Time until the first attempt may start; `None` lets it start at once.
    pub delay: Option<Duration>,
    /// Time until which a worker must have claimed the job; otherwise it is cancelled, with the result
    /// [`policy::expired`](crate::policy::expired). `None` lets it wait for ever.
    pub expires: Option<Duration>,
    /// Largest number of attempts, the first included.
    pub max_attempts: u32,
    /// A job of the same group with a smaller index, which must succeed before this one starts; `delay` counts from
    /// then. Until then this job is delayed and has no due time. If the other job fails or is cancelled, this one is
    /// cancelled, and so are the jobs that wait for this one.
    pub after: Option<JobId>,
    /// The finished job that this one is a copy of. Enqueueing this job removes the other from the dead-letter list.
    pub retry_of: Option<JobId>,
    pub payload: Bytes,
}

impl NewJob {
    /// A job with a new id and index 0 that may start at once, with priority 5 and the default number of attempts.
    pub fn new(kind: &str, queue: &str, class: Class, payload: Bytes) -> Self {
        Self {
            id: JobId::new(),
            index: 0,
            kind: kind.into(),
            queue: queue.into(),
            class,
            priority: 5,
            delay: None,
            expires: None,
            max_attempts: Policy::default().max_attempts,
            after: None,
            retry_of: None,
            payload,
        }
    }
}

/// A group to be enqueued with its jobs.
#[derive(Debug, Clone)]
pub struct NewGroup {
    pub id: GroupId,
    /// Stored for the submitter; the broker does not read it.
    pub meta: Bytes,
    /// The job to enqueue when the group has finished.
    pub then: Option<Then>,
    /// Words that lists of groups and jobs can be asked for; at most 16, each of 1 to 255 bytes without line breaks.
    pub labels: Vec<String>,
    /// The key to bind to the group; see [`Broker::reserve`](crate::Broker::reserve).
    pub key: Option<IdempotencyKey>,
}

impl NewGroup {
    /// A group without a follow-up, labels and an idempotency key.
    pub fn new(id: GroupId, meta: Bytes) -> Self {
        Self { id, meta, then: None, labels: Vec::new(), key: None }
    }
}

/// A follow-up: a job in a sealed group of its own, enqueued exactly once when another group has finished. A full queue
/// does not refuse it.
#[derive(Debug, Clone)]
pub struct Then {
    pub on: On,
    /// The id of the follow-up's group; its meta is empty.
    pub group: GroupId,
    /// Has index 0 and no `after`.
    pub job: NewJob,
}

/// When a group's follow-up is enqueued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum On {
    /// If all jobs have succeeded.
    Success,
    /// When all jobs have ended, in any state.
    Always,
}
