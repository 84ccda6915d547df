//! What a worker asks and answers: claims, the leases that they give, and settlements.

use std::time::Duration;

use bytes::Bytes;

use crate::{Class, GroupId, JobId, Run};

/// What a worker wants to claim.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// The worker's session: a word that is new at every start of its process.
    pub session: String,
    /// Counts the session's claims. A repeated number gets the same answer again, so a lost reply loses no job.
    pub sequence: u64,
    /// Queues to take jobs from; the first queue is emptied first.
    pub queues: Vec<String>,
    pub class: Class,
    /// Largest number of jobs to take; at most 1,000 count. 0 takes none, but still makes due jobs wait and takes back
    /// expired leases.
    pub limit: usize,
}

/// The answer to a claim.
#[derive(Debug, Clone, Default)]
pub struct Claim {
    pub jobs: Vec<ClaimedJob>,
    /// Time until the next delayed job is due or the next lease expires, whichever is earlier.
    pub next_due: Option<Duration>,
}

/// One attempt, leased to the worker that claimed it.
#[derive(Debug, Clone)]
pub struct ClaimedJob {
    pub lease: Lease,
    pub group: GroupId,
    pub index: u32,
    pub kind: String,
    /// The attempt's number, from 1.
    pub attempt: u32,
    pub max_attempts: u32,
    /// The job must run in a process that computes nothing else, because a process has died with it before.
    pub alone: bool,
    /// Time between the start of its last wait and the claim; `None` in a repeated answer.
    pub waited: Option<Duration>,
    pub payload: Bytes,
}

/// A right to one attempt that expires after [`Policy::lease`](crate::Policy::lease) without a heartbeat. Only its
/// holder may settle the attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    pub job: JobId,
    /// `<session>:<sequence>:<count>`: the claim that gave the lease, and the number of claims of this job so far. No
    /// two claims have the same token, even if the broker's state goes back in time, because a session does not use a
    /// sequence number again once it has the answer.
    pub token: String,
}

impl Lease {
    /// The name of this claim's output folder; two claims of one job never share it.
    pub fn run(&self) -> Run {
        Run::of(&self.token)
    }

    /// The number of claims of the job so far, this one and those of released attempts included.
    pub fn claims(&self) -> u32 {
        self.token.rsplit(':').next().and_then(|count| count.parse().ok()).unwrap_or(1)
    }
}

/// How a leased attempt ended.
#[derive(Debug, Clone)]
pub struct Settlement {
    pub lease: Lease,
    pub verdict: Verdict,
}

/// What happens to the job of a settled attempt. If the job is being cancelled, `Retry`, `Continue` and `Crash` end it
/// as cancelled instead.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// The job ends as succeeded; its result is stored with the group.
    Succeed { result: Bytes },
    /// The job ends as failed; the result says why.
    Fail { result: Bytes },
    /// The job is delayed for `after`, then runs again.
    Retry { after: Duration, reason: Bytes },
    /// The job waits for its next stage, at the end of that stage's line; its attempts count from 1 again. A full queue
    /// does not refuse it.
    Continue(Stage),
    /// The job ends as cancelled, because a cancel stopped the attempt.
    Cancel,
    /// The process that computed the attempt died. The job waits again, first in line, and its next attempt runs alone.
    /// If this one ran `alone` already, a stall is counted; with [`Policy::max_stalls`](crate::Policy::max_stalls) of
    /// them the job fails as `poison`.
    Crash { alone: bool },
}

/// What a job becomes when it has done a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    pub kind: String,
    pub queue: String,
    pub class: Class,
    pub payload: Bytes,
}

/// What a settlement did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It counts, or it repeats a settlement with the same token that counted.
    Committed,
    /// The lease had been lost before; nothing changed.
    LeaseLost,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beat {
    /// Jobs whose leases are no longer the holder's.
    pub lost: Vec<JobId>,
    /// Jobs that are being cancelled and should stop; their leases are renewed until they are settled.
    pub cancelled: Vec<JobId>,
}
