//! Groups and jobs as they stand.

use bytes::Bytes;
use jiff::Timestamp;

use super::id::{GroupId, JobId};
use super::state::State;

/// A group as it stands. `succeeded + failed + cancelled + pending == total`, always.
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
    /// A cancel has been asked for.
    pub cancelling: bool,
    /// The group that follows, as submitted.
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

/// A job as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: JobId,
    pub group: GroupId,
    pub index: u32,
    pub kind: String,
    pub queue: String,
    pub priority: u8,
    pub state: State,
    /// Attempts begun so far.
    pub attempt: u32,
    pub max_attempts: u32,
    /// Deaths of a process in which it ran alone.
    pub stalls: u32,
    /// Its next attempt runs in a process that computes nothing else.
    pub alone: bool,
    /// A cancel has been asked for while it ran.
    pub cancelling: bool,
    pub after: Option<JobId>,
    pub retry_of: Option<JobId>,
    pub payload: Bytes,
    pub created_at: Timestamp,
    /// When a delayed job waits again, or an active one's lease runs out.
    pub due_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// As last settled: the outcome of a finished job, the reason of one that waits for a retry.
    pub result: Option<Bytes>,
}
