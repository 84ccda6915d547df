//! The job queue: what it promises, over SQLite or Redis.
//!
//! A backend makes atomic moves between states and nothing else; every number (backoff, attempts,
//! lease) is a pure function in [`policy`], and payloads and results are opaque bytes. Promised:
//! an acknowledged job reaches exactly one terminal state, an attempt that lost its lease changes
//! nothing, and a group's counters equal the truth at every instant.

mod check;
mod clock;
pub mod policy;
mod redis;
mod sqlite;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::job::{Class, GroupId, JobId, State};

pub use clock::Clock;
pub use policy::Policy;

/// A job to be enqueued. Its id is made by the submitter: enqueueing it again is a no-op.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub id: JobId,
    /// Its place in the group, from 0.
    pub index: u32,
    pub kind: String,
    pub queue: String,
    pub class: Class,
    /// 1–10, 10 first.
    pub priority: u8,
    /// Delays the first attempt; none starts at once.
    pub delay: Option<Duration>,
    /// Attempts in all, the first included.
    pub max_attempts: u32,
    pub payload: Bytes,
}

/// A group to be enqueued with its jobs.
#[derive(Debug, Clone)]
pub struct NewGroup {
    pub id: GroupId,
    /// Kept for the submitter, opaque to the broker.
    pub meta: Bytes,
}

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

/// Jobs, leases or settlements in one transition: a backend serves nobody else meanwhile.
const CHUNK: usize = 1_000;

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
    pub payload: Bytes,
}

/// A time-limited right to one attempt; only its holder may settle it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    pub job: JobId,
    /// `<session>:<run>`. Runs count every claim of the job: a released one costs no attempt, but its token never
    /// comes back.
    pub token: String,
}

impl Lease {
    /// Which claim of the job this is, from 1; no two leases on a job share it.
    pub fn run(&self) -> u32 {
        let number = self.token.rsplit(':').next().unwrap_or_default();
        number.parse().expect("every broker's token ends in the run's number")
    }
}

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
    /// Waits for `after`, then runs again.
    Retry { after: Duration, reason: Bytes },
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
    /// Asked to stop by a cancel.
    pub cancelled: Vec<JobId>,
}

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
    /// Leases that ran out.
    pub stalls: u32,
    pub payload: Bytes,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    /// As last settled: the outcome of a finished job, the reason of one that waits for a retry.
    pub result: Option<Bytes>,
}

/// One queue's depths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDepth {
    pub queue: String,
    pub waiting: u64,
    pub delayed: u64,
    pub active: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker cannot be reached or refuses to work at present; the same call may succeed later.
    #[error("the broker is unavailable: {0}")]
    Unavailable(String),
    /// The queue's cap, Redis' memory or SQLite's disk is used up; draining goes on.
    #[error("{0}")]
    Full(String),
    /// The broker's records are not what this version writes.
    #[error("{0}")]
    Incompatible(String),
    /// The call itself is wrong.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    fn full_queue(queue: &str, open: u64, more: u64, cap: u64) -> Self {
        Self::Full(format!("queue `{queue}` holds {open} open jobs and takes {cap}: no room for {more} more"))
    }
}

pub type Result<T> = std::result::Result<T, Error>;

/// The queue over one of its two backends. Cheap to clone; clones share a connection.
#[derive(Clone)]
pub enum Broker {
    Sqlite(sqlite::SqliteBroker),
    Redis(redis::RedisBroker),
}

macro_rules! either {
    ($broker:expr, $name:ident => $call:expr) => {
        match $broker {
            Broker::Sqlite($name) => $call,
            Broker::Redis($name) => $call,
        }
    };
}

impl Broker {
    /// Opens (and creates, where missing) the SQLite queue in `file`.
    ///
    /// # Errors
    /// When the file cannot be created, is not ours, or was written by a newer version.
    pub fn open_sqlite(file: &Path, policy: Policy) -> Result<Self> {
        Self::open_sqlite_at(file, policy, Clock::default())
    }

    /// As [`open_sqlite`](Self::open_sqlite), with a clock that can be moved.
    pub fn open_sqlite_at(file: &Path, policy: Policy, clock: Clock) -> Result<Self> {
        sqlite::SqliteBroker::open(file, policy, clock).map(Self::Sqlite)
    }

    /// Connects to Redis (7.0 or later) or Valkey (7.2 or later) and loads the scripts.
    ///
    /// `prefix` is the hash tag of every key, e.g. `pixmill`.
    ///
    /// # Errors
    /// When it cannot be reached, refuses the login, or is too old.
    pub async fn connect_redis(url: &str, prefix: &str, policy: Policy) -> Result<Self> {
        Self::connect_redis_at(url, prefix, policy, Clock::default()).await
    }

    /// As [`connect_redis`](Self::connect_redis), with a clock that can be moved.
    pub async fn connect_redis_at(url: &str, prefix: &str, policy: Policy, clock: Clock) -> Result<Self> {
        redis::RedisBroker::connect(url, prefix, policy, clock).await.map(Self::Redis)
    }

    /// The same broker over a connection of its own, so that heartbeats never queue behind work.
    pub async fn dedicated(&self) -> Result<Self> {
        match self {
            Self::Sqlite(broker) => Ok(Self::Sqlite(broker.clone())),
            Self::Redis(broker) => broker.dedicated().await.map(Self::Redis),
        }
    }

    /// Enqueues a group and its jobs, all of them or none, and seals it. Durable when it returns.
    ///
    /// Long groups go in chunks; when a later chunk is refused, what was enqueued is taken back.
    ///
    /// # Errors
    /// `Full` when a queue's cap, the memory or the disk is used up.
    /// `Invalid` for a priority outside 1–10, a queue name that is no word, or indexes that are not 0, 1, 2, ….
    pub async fn enqueue(&self, group: &NewGroup, jobs: &[NewJob]) -> Result<()> {
        check::jobs(jobs)?;
        either!(self, broker => broker.enqueue(group, jobs).await)
    }

    /// Takes waiting jobs by queue, then priority, then age; promotes what is due and recovers what expired first.
    pub async fn claim(&self, request: &ClaimRequest) -> Result<Claim> {
        check::claim(request)?;
        either!(self, broker => broker.claim(request).await)
    }

    /// Ends attempts, and claims in the same round trip. Answers stand in the order of `settlements`.
    pub async fn settle(
        &self,
        settlements: &[Settlement],
        claim: Option<&ClaimRequest>,
    ) -> Result<(Vec<Settled>, Option<Claim>)> {
        claim.map_or(Ok(()), check::claim)?;
        either!(self, broker => broker.settle(settlements, claim).await)
    }

    /// Renews leases.
    pub async fn beat(&self, leases: &[Lease]) -> Result<Beat> {
        either!(self, broker => broker.beat(leases).await)
    }

    /// Gives attempts back without blame: they wait again, first in line, and the attempt does not count.
    pub async fn release(&self, leases: &[Lease]) -> Result<()> {
        either!(self, broker => broker.release(leases).await)
    }

    /// Returns when there may be work in `queues`, or after `timeout`. Never holds a job.
    pub async fn wait(&self, queues: &[String], class: Class, timeout: Duration) -> Result<()> {
        either!(self, broker => broker.wait(queues, class, timeout).await)
    }

    pub async fn group(&self, id: GroupId) -> Result<Option<Group>> {
        either!(self, broker => broker.group(id).await)
    }

    /// The finished jobs of a group by index, from `from` on, at most `limit`.
    pub async fn results(&self, id: GroupId, from: u32, limit: usize) -> Result<Vec<GroupResult>> {
        either!(self, broker => broker.results(id, from, limit).await)
    }

    pub async fn job(&self, id: JobId) -> Result<Option<Job>> {
        either!(self, broker => broker.job(id).await)
    }

    /// The depths of every queue that ever held a job.
    pub async fn depths(&self) -> Result<Vec<QueueDepth>> {
        either!(self, broker => broker.depths().await)
    }

    /// One cheap round trip, for readiness.
    pub async fn ping(&self) -> Result<()> {
        either!(self, broker => broker.ping().await)
    }

    /// What the operator is told at start, each naming the setting to change: no persistence, eviction, …
    pub async fn warnings(&self) -> Result<Vec<String>> {
        either!(self, broker => broker.warnings().await)
    }
}

impl fmt::Display for Broker {
    /// The backend and its place, without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        either!(self, broker => broker.fmt(f))
    }
}
