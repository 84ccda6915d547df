//! Claims: what a worker asks for, and the leases that it gets.

use std::time::Duration;

use bytes::Bytes;

use super::class::Class;
use super::id::{GroupId, JobId};
use super::run::Run;

/// What a worker asks for.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// The worker's session, new at every process start.
    pub session: String,
    /// Counts the session's claims. The same number again gets the same answer again, so that a
    /// lost reply costs nothing.
    pub sequence: u64,
    /// Queues to take from, first one first.
    pub queues: Vec<String>,
    pub class: Class,
    /// Jobs to take at the most, of 1,000 in one call; 0 only promotes what is due and recovers what expired.
    pub limit: usize,
}

/// The answer to a claim.
#[derive(Debug, Clone, Default)]
pub struct Claim {
    pub jobs: Vec<ClaimedJob>,
    /// Time until the next delayed job is due or the next lease expires, whichever is earlier.
    pub next_due: Option<Duration>,
}

/// One attempt, leased to the claimer.
#[derive(Debug, Clone)]
pub struct ClaimedJob {
    pub lease: Lease,
    pub group: GroupId,
    pub index: u32,
    pub kind: String,
    /// From 1.
    pub attempt: u32,
    pub max_attempts: u32,
    /// A process died with this job in it: it runs in one that computes nothing else.
    pub alone: bool,
    /// From when it last came to wait until it was claimed; `None` in an answer that is given again.
    pub waited: Option<Duration>,
    pub payload: Bytes,
}

/// A time-limited right to one attempt; only its holder may settle it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    pub job: JobId,
    /// `<session>:<sequence>:<count>`: the claim that gave it, and how many claims the job has had. No two claims have
    /// the same one, even where the broker goes back in time: a session never uses a sequence again once it is answered.
    pub token: String,
}

impl Lease {
    /// Names this claim of the job; no two leases on a job share it.
    pub fn run(&self) -> Run {
        Run::of(&self.token)
    }

    /// How many claims the job has had, this one included; those of attempts that were given back count, too.
    pub fn claims(&self) -> u32 {
        self.token.rsplit(':').next().and_then(|count| count.parse().ok()).unwrap_or(1)
    }
}
