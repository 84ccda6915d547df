//! What happens to jobs and groups.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::{GroupId, JobId};

/// Something that happened to a job or a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Sorts by time within one broker, as text; what [`Broker::events`] goes on after.
    pub id: String,
    pub at: Timestamp,
    pub kind: EventKind,
    pub group: GroupId,
    /// None for what happens to the group as a whole.
    pub job: Option<JobId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A group, or a chunk of it, with all its jobs.
    Enqueued,
    Started,
    /// Waits for its next attempt.
    Retried,
    /// Its lease ran out or its process died; it waits again.
    Stalled,
    /// Waits again without blame: given back, or for its next stage.
    Released,
    Succeeded,
    Failed,
    Cancelled,
    /// The last job of a sealed group has ended.
    Finished,
    /// A group's follow-up was enqueued; `group` is the one that finished.
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
