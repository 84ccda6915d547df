//! Lists that operators look at: queues, indexes of jobs, workers.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;

use super::id::JobId;

/// One queue's depths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueDepth {
    pub queue: String,
    pub waiting: u64,
    pub delayed: u64,
    pub active: u64,
    /// No claim takes from it.
    pub paused: bool,
}

/// A list of jobs in the order of an instant each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Index {
    /// By the time they are due, the first one first; without those that wait for another job.
    Delayed,
    /// By the end of their lease, the first one first.
    Active,
    /// The dead-letter list: failed jobs that were not enqueued again, the last one to die first.
    Dead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    pub job: JobId,
    pub at: Timestamp,
}

/// A worker that has reported itself within [`Policy::worker_memory`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerEntry {
    pub session: String,
    pub seen_at: Timestamp,
    /// As reported, opaque to the broker.
    pub report: Bytes,
}
