//! Events: what happened to jobs and groups.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{GroupId, JobId};

/// Something that happened to a job or a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Where [`Broker::events`](crate::Broker::events) goes on. The ids of one broker, compared as text, are in the
    /// order of time.
    pub id: String,
    pub at: Timestamp,
    pub kind: EventKind,
    pub group: GroupId,
    /// `None` if it happened to the group as a whole.
    pub job: Option<JobId>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A group, or a chunk of it, was enqueued with all its jobs.
    Enqueued,
    /// A worker claimed the job.
    Started,
    /// The job waits for its next attempt.
    Retried,
    /// The job's lease expired or its process died; the job waits again.
    Stalled,
    /// The job waits again, and no attempt was lost: it was given back, or it waits for its next stage.
    Released,
    Succeeded,
    Failed,
    Cancelled,
    /// The last job of a sealed group has ended.
    Finished,
    /// The group's follow-up was enqueued; `group` is the finished group.
    Fired,
}

impl EventKind {
    pub const ALL: [Self; 10] = [
        Self::Enqueued,
        Self::Started,
        Self::Retried,
        Self::Stalled,
        Self::Released,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Finished,
        Self::Fired,
    ];

    /// In lower case, as it is serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enqueued => "enqueued",
            Self::Started => "started",
            Self::Retried => "retried",
            Self::Stalled => "stalled",
            Self::Released => "released",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Finished => "finished",
            Self::Fired => "fired",
        }
    }
}
