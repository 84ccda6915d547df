//! The state of groups, jobs and queues, as it is when the broker is asked.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;

use crate::{GroupId, JobId, State};

/// Number of jobs at the head of a line among which [`Broker::oldest_waiting`](crate::Broker::oldest_waiting) searches.
/// Jobs that were given back wait before the oldest one, but they are few.
pub const LINE_HEAD: usize = 20;

/// A group. At every instant `succeeded + failed + cancelled + pending == total`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub id: GroupId,
    pub total: u32,
    pub pending: u32,
    pub succeeded: u32,
    pub failed: u32,
    pub cancelled: u32,
    /// All its jobs have been enqueued.
    pub sealed: bool,
    pub meta: Bytes,
    pub created_at: Timestamp,
    /// When the last job of a sealed group ended.
    pub finished_at: Option<Timestamp>,
    /// A cancel was requested.
    pub cancelling: bool,
    /// The id of the follow-up's group, as submitted.
    pub then: Option<GroupId>,
    /// The follow-up has been enqueued.
    pub fired: bool,
}

/// One finished job of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupResult {
    pub index: u32,
    pub job: JobId,
    pub state: State,
    /// As settled; empty for a cancelled job.
    pub result: Bytes,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: JobId,
    pub group: GroupId,
    pub index: u32,
    pub kind: String,
    pub queue: String,
    pub priority: u8,
    pub state: State,
    /// Number of attempts begun so far.
    pub attempt: u32,
    pub max_attempts: u32,
    /// How many processes have died while they computed only this job.
    pub stalls: u32,
    /// Its next attempt runs in a process that computes nothing else.
    pub alone: bool,
    /// A cancel was requested while it ran.
    pub cancelling: bool,
    pub after: Option<JobId>,
    pub retry_of: Option<JobId>,
    pub payload: Bytes,
    pub created_at: Timestamp,
    /// When a delayed job waits again, or when an active job's lease expires.
    pub due_at: Option<Timestamp>,
    /// When the job is cancelled if no worker has claimed it by then.
    pub expires_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// As last settled: the result of a finished job, or the reason of one that waits for a retry. Of a cancelled job, that
    /// it expired.
    pub result: Option<Bytes>,
}

/// The number of jobs in one queue, by state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueDepth {
    pub queue: String,
    pub waiting: u64,
    pub delayed: u64,
    pub active: u64,
    /// Claims take no job from it.
    pub paused: bool,
}
