//! Settlements: how attempts end, and what a heartbeat learns.

use std::time::Duration;

use bytes::Bytes;

use super::claim::Lease;
use super::class::Class;
use super::id::JobId;

/// How an attempt ended.
#[derive(Debug, Clone)]
pub struct Settlement {
    pub lease: Lease,
    pub verdict: Verdict,
}

#[derive(Debug, Clone)]
pub enum Verdict {
    /// Terminal; the result is kept with the group.
    Succeed { result: Bytes },
    /// Terminal; the result says why.
    Fail { result: Bytes },
    /// Waits for `after`, then runs again. One that is being cancelled ends as cancelled instead.
    Retry { after: Duration, reason: Bytes },
    /// This stage of the job is done: it goes on as its next one, at the end of that one's line, and its attempts count
    /// from 1 again. No cap refuses it. One that is being cancelled ends as cancelled instead.
    Continue(Stage),
    /// Terminal: the attempt was stopped because of a cancel.
    Cancel,
    /// The process that computed it died. First in line again, to run `alone`; where it did already, that counts as a
    /// stall, and the last one of [`Policy::max_stalls`] fails the job as `poison`. One that is being cancelled ends as
    /// cancelled instead.
    Crash { alone: bool },
}

/// What a job goes on as when it has done what came before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    pub kind: String,
    pub queue: String,
    pub class: Class,
    pub payload: Bytes,
}

/// What became of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It counts; said again for a repeated settlement with the token that already committed.
    Committed,
    /// The lease had been lost; nothing changed.
    LeaseLost,
}

/// The answer to a heartbeat: which of the leases are no longer the holder's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beat {
    pub lost: Vec<JobId>,
    /// Asked to stop by a cancel; their leases are renewed until they are settled.
    pub cancelled: Vec<JobId>,
}
