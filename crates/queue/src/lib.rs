//! The job queue: what it promises, over SQLite or Redis.
//!
//! A backend makes atomic moves between states and nothing else; every number (backoff, attempts,
//! lease) is a pure function in [`policy`], and payloads and results are opaque bytes. Promised:
//! an acknowledged job reaches exactly one terminal state, an attempt that lost its lease changes
//! nothing, and a group's counters equal the truth at every instant.

mod check;
mod class;
mod clock;
mod id;
mod listing;
pub mod policy;
mod redis;
mod run;
mod sqlite;
mod state;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use class::Class;
pub use clock::Clock;
pub use id::{GroupId, JobId};
pub use listing::{JobFilter, Page, Period, Place};
pub use policy::Policy;
pub use run::Run;
pub use sqlite::Look;
pub use state::State;

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
    /// A job of the same group with a smaller index, whose success starts this one; its `delay` begins then. Until then
    /// it is delayed without being due. When the other one ends otherwise, this one is cancelled, and so on down the
    /// chain.
    pub after: Option<JobId>,
    /// The finished job that this one is a copy of: enqueueing it takes that one off the dead-letter list.
    pub retry_of: Option<JobId>,
    pub payload: Bytes,
}

impl NewJob {
    /// The first of its group, to be started at once, at the middle priority, with the attempts of a default policy.
    pub fn new(kind: &str, queue: &str, class: Class, payload: Bytes) -> Self {
        Self {
            id: JobId::new(),
            index: 0,
            kind: kind.into(),
            queue: queue.into(),
            class,
            priority: 5,
            delay: None,
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
    /// Kept for the submitter, opaque to the broker.
    pub meta: Bytes,
    /// What follows when the group has finished.
    pub then: Option<Then>,
    /// Binds the group to an idempotency key; see [`Broker::reserve`].
    pub key: Option<Key>,
}

impl NewGroup {
    /// A group that nothing follows and no key is bound to.
    pub fn new(id: GroupId, meta: Bytes) -> Self {
        Self { id, meta, then: None, key: None }
    }
}

/// A job, in a sealed group of its own, that is enqueued exactly once when another group has finished. No cap refuses it.
#[derive(Debug, Clone)]
pub struct Then {
    pub on: On,
    /// The group of the follow-up; its meta is empty.
    pub group: GroupId,
    /// Index 0, without `after`.
    pub job: NewJob,
}

/// When a group's follow-up is enqueued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum On {
    /// All jobs have succeeded.
    Success,
    /// All jobs have ended, however.
    Always,
}

/// An idempotency key and what was submitted under it, as a hash of the submitter's making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub name: String,
    pub fingerprint: Bytes,
}

/// The answer to a reservation of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reservation {
    /// The caller's, for [`Policy::reservation`]; asked again for the same group, the time begins anew.
    Granted,
    /// Another group's that is still being received.
    Busy,
    /// Bound to an enqueued group whose record is kept, for [`Policy::key_memory`] since then.
    Known { group: GroupId, fingerprint: Bytes },
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

/// Jobs at the head of a line among which the oldest one is looked for: a few that were given back stand before it.
pub const LINE_HEAD: usize = 20;

/// How long a letter waits to be collected.
pub const MAIL_MEMORY: Duration = Duration::from_mins(1);

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

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker cannot be reached or refuses to work at present; the same call may succeed later.
    #[error("the broker is unavailable: {0}")]
    Unavailable(String),
    /// The queue's cap or Redis' memory is used up; draining goes on.
    #[error("{0}")]
    Full(String),
    /// The disk under SQLite's file has no room; draining goes on while there is ballast.
    #[error("{0}")]
    StorageFull(String),
    /// The broker's records are not what this version writes.
    #[error("{0}")]
    Incompatible(String),
    /// The broker refuses the login, or a command that the login has no right to.
    #[error("{0}")]
    Refused(String),
    /// The call itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The idempotency key is bound to another group.
    #[error("the idempotency key is bound to group {0}")]
    KeyTaken(GroupId),
}

impl Error {
    fn full_queue(queue: &str, open: u64, more: u64, cap: u64) -> Self {
        Self::Full(format!("queue `{queue}` holds {open} open jobs and takes {cap}: no room for {more} more"))
    }
}

pub type Result<T> = std::result::Result<T, Error>;

/// Makes room on a full disk; answers whether it could. Blocks on the disk.
pub type Relief = Arc<dyn Fn() -> bool + Send + Sync>;

/// Where nothing is kept for that.
fn no_relief() -> Relief {
    Arc::new(|| false)
}

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

    /// As [`open_sqlite`](Self::open_sqlite). On a full disk `relief` makes room, for opening the file and for all calls but
    /// those that bring new work.
    pub fn open_sqlite_with(file: &Path, policy: Policy, relief: Relief) -> Result<Self> {
        sqlite::SqliteBroker::open(file, policy, Clock::default(), sqlite::Synchronous::Full, relief).map(Self::Sqlite)
    }

    /// As [`open_sqlite`](Self::open_sqlite), with a clock that can be moved.
    pub fn open_sqlite_at(file: &Path, policy: Policy, clock: Clock) -> Result<Self> {
        sqlite::SqliteBroker::open(file, policy, clock, sqlite::Synchronous::Full, no_relief()).map(Self::Sqlite)
    }

    /// As [`open_sqlite_at`](Self::open_sqlite_at), for tests that would wait for the disk: a power cut may lose commits
    /// or damage the file.
    pub fn open_sqlite_unsynced(file: &Path, policy: Policy, clock: Clock) -> Result<Self> {
        sqlite::SqliteBroker::open(file, policy, clock, sqlite::Synchronous::Off, no_relief()).map(Self::Sqlite)
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
    /// Long groups go in chunks. The last one seals the group and binds its key; when a later one is refused, the group
    /// is cancelled as by [`cancel_group`](Self::cancel_group). Enqueueing a sealed group again changes nothing, an
    /// unsealed one is completed: what it lacks is added.
    ///
    /// # Errors
    /// `Full` when a queue's cap or the memory is used up, `StorageFull` when the disk is.
    /// `Invalid` for a priority outside 1–10, a queue name that is no word, indexes that are not 0, 1, 2, …, or an
    /// `after` that is none of the group's jobs with a smaller index.
    /// `KeyTaken` when the group's key is bound to another group.
    pub async fn enqueue(&self, group: &NewGroup, jobs: &[NewJob]) -> Result<()> {
        check::group(group, jobs)?;
        either!(self, broker => broker.enqueue(group, jobs).await)
    }

    /// Adds jobs to a group that is not sealed, or is not known yet: those whose indexes follow on the ones of before. The
    /// `last` call seals it. Its key is bound by the first one, so that a client that asks again gets the group as far as
    /// it is.
    ///
    /// Nothing is cancelled when a call is refused: it may be made again later. Of a sealed group nothing changes. Jobs that
    /// come to a group that is being cancelled are cancelled at once, so that it counts and lists them.
    ///
    /// # Errors
    /// As for [`enqueue`](Self::enqueue); `after` is none of theirs.
    pub async fn extend(&self, group: &NewGroup, jobs: &[NewJob], last: bool) -> Result<()> {
        check::part(group, jobs)?;
        either!(self, broker => broker.extend(group, jobs, last).await)
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

    /// Gives attempts back without blame; the attempt does not count.
    ///
    /// They wait again, first in line; or with `after`, as delayed jobs until then (a kind that this worker does not
    /// know). One that is being cancelled ends as cancelled.
    pub async fn release(&self, leases: &[Lease], after: Option<Duration>) -> Result<()> {
        either!(self, broker => broker.release(leases, after).await)
    }

    /// Cancels a job: at once where it waits or is delayed; a running one is asked to stop by its worker's next heartbeat,
    /// which comes at once, and whatever would have it run again ends it instead. A success or failure settled before that stands.
    ///
    /// Answers its state after the call; none where it is unknown.
    pub async fn cancel_job(&self, id: JobId) -> Result<Option<State>> {
        let state = either!(self, broker => broker.cancel_job(id).await)?;
        if state == Some(State::Active) {
            self.hurry_heartbeats().await;
        }
        Ok(state)
    }

    /// Cancels each job of a group as [`cancel_job`](Self::cancel_job) does. The order takes effect at once; what waits is
    /// then walked in chunks, so that a group that nobody works on ends too. One that is not sealed stays so: whoever adds
    /// to it goes on, and what is added is cancelled at once.
    ///
    /// Answers how many jobs this call ended; none where the group is unknown.
    pub async fn cancel_group(&self, id: GroupId) -> Result<Option<u64>> {
        self.cancel(id, false).await
    }

    /// As [`cancel_group`](Self::cancel_group), and seals it: nobody adds to it any more.
    pub async fn abandon_group(&self, id: GroupId) -> Result<Option<u64>> {
        self.cancel(id, true).await
    }

    async fn cancel(&self, id: GroupId, seal: bool) -> Result<Option<u64>> {
        let ended = either!(self, broker => broker.cancel_group(id, seal).await)?;
        if ended.is_some() && !matches!(self.group(id).await, Ok(Some(group)) if group.pending == 0) {
            self.hurry_heartbeats().await;
        }
        Ok(ended)
    }

    /// Asks each worker for a heartbeat, by an empty letter: what is cancelled need not wait for the next one.
    async fn hurry_heartbeats(&self) {
        // Where that fails, the next one comes all the same.
        for worker in self.workers().await.unwrap_or_default() {
            let _ = self.post(&worker.session, b"").await;
        }
    }

    /// No claim takes from the queue any more; jobs are still enqueued, and running ones end.
    pub async fn pause(&self, queue: &str) -> Result<()> {
        check::queue_name(queue)?;
        either!(self, broker => broker.pause(queue, true).await)
    }

    /// Claims take from the queue again, and idle workers are woken.
    pub async fn resume(&self, queue: &str) -> Result<()> {
        check::queue_name(queue)?;
        either!(self, broker => broker.pause(queue, false).await)
    }

    /// Cancels what waits or is delayed in the queue when the call begins, in chunks; answers how many jobs that were.
    pub async fn purge(&self, queue: &str) -> Result<u64> {
        check::queue_name(queue)?;
        either!(self, broker => broker.purge(queue).await)
    }

    /// Reserves an idempotency key for a group that is being received. It is bound by enqueueing the group with it. The
    /// receiver renews the reservation by the same call, well within [`reservation`](Self::reservation). A key that is
    /// bound to a group whose record was removed is free.
    ///
    /// # Errors
    /// `Invalid` for a key that is empty or longer than 255 bytes.
    pub async fn reserve(&self, key: &str, group: GroupId) -> Result<Reservation> {
        check::key(key)?;
        either!(self, broker => broker.reserve(key, group).await)
    }

    /// How long a reservation holds without being renewed.
    pub fn reservation(&self) -> Duration {
        either!(self, broker => broker.reservation())
    }

    /// Gives a reservation back; a key that is bound, or another group's, stays.
    pub async fn unreserve(&self, key: &str, group: GroupId) -> Result<()> {
        either!(self, broker => broker.unreserve(key, group).await)
    }

    /// Groups that finished longer than `age` ago, the oldest first: those after the first `skip`, at most `limit`.
    pub async fn finished_groups(&self, age: Duration, skip: usize, limit: usize) -> Result<Vec<GroupId>> {
        either!(self, broker => broker.finished_groups(age, skip, limit).await)
    }

    /// Removes the records of a finished group and its jobs, in chunks; the group's own goes last.
    ///
    /// Answers whether it did: an unknown or unfinished group stays as it is.
    pub async fn remove_group(&self, id: GroupId) -> Result<bool> {
        either!(self, broker => broker.remove_group(id).await)
    }

    /// Jobs of one list, after the first `skip`, at most `limit`.
    pub async fn list(&self, index: Index, skip: usize, limit: usize) -> Result<Vec<Listed>> {
        either!(self, broker => broker.list(index, skip, limit).await)
    }

    /// Groups by the time they were enqueued, the newest first; those below a place, at most `limit`, of 1,000 in one
    /// call.
    pub async fn groups(&self, submitted: Period, below: Option<Place>, limit: usize) -> Result<Page<Group>> {
        either!(self, broker => broker.groups(submitted, below, limit).await)
    }

    /// Jobs by the time their group was enqueued, the newest first; those below a place, at most `limit`. What one call
    /// looks at is bounded: a page may be short, or empty, and name the place where the list goes on.
    pub async fn jobs(&self, filter: &JobFilter, below: Option<Place>, limit: usize) -> Result<Page<Job>> {
        either!(self, broker => broker.jobs(filter, below, limit).await)
    }

    /// What happened after the event with the id `after`, or since the first one kept; the oldest first, at most `limit`.
    ///
    /// The last [`Policy::events`] are kept, and somewhat more.
    ///
    /// # Errors
    /// `Invalid` for an id that is not an event's.
    pub async fn events(&self, after: Option<&str>, limit: usize) -> Result<Vec<Event>> {
        either!(self, broker => broker.events(after, limit).await)
    }

    /// The id of the last event; none where nothing has happened yet.
    pub async fn last_event(&self) -> Result<Option<String>> {
        either!(self, broker => broker.last_event().await)
    }

    /// Returns when something has happened after the event with the id `after`, or after `timeout`.
    ///
    /// # Errors
    /// `Invalid` for an id that is not an event's.
    pub async fn await_event(&self, after: Option<&str>, timeout: Duration) -> Result<()> {
        either!(self, broker => broker.await_event(after, timeout).await)
    }

    /// Says that a worker lives and what it does, over what it said before.
    pub async fn report(&self, session: &str, report: &[u8]) -> Result<()> {
        check::session(session)?;
        either!(self, broker => broker.report(session, report).await)
    }

    /// Takes a worker that ends off the list.
    pub async fn sign_off(&self, session: &str) -> Result<()> {
        either!(self, broker => broker.sign_off(session).await)
    }

    /// The workers that live, by session.
    pub async fn workers(&self) -> Result<Vec<WorkerEntry>> {
        either!(self, broker => broker.workers().await)
    }

    /// Puts a letter into a mailbox: commands to a worker's session, answers to whoever asked. It is kept for
    /// [`MAIL_MEMORY`], with the 999 before it.
    pub async fn post(&self, mailbox: &str, letter: &[u8]) -> Result<()> {
        check::session(mailbox)?;
        either!(self, broker => broker.post(mailbox, letter).await)
    }

    /// Takes the letters out of a mailbox, the oldest first; waits up to `timeout` for the first one.
    pub async fn collect(&self, mailbox: &str, timeout: Duration) -> Result<Vec<Bytes>> {
        check::session(mailbox)?;
        either!(self, broker => broker.collect(mailbox, timeout).await)
    }

    /// Returns when there may be work in `queues`, or after `timeout`. Never holds a job.
    pub async fn wait(&self, queues: &[String], class: Class, timeout: Duration) -> Result<()> {
        either!(self, broker => broker.wait(queues, class, timeout).await)
    }

    pub async fn group(&self, id: GroupId) -> Result<Option<Group>> {
        either!(self, broker => broker.group(id).await)
    }

    /// A group, and its finished jobs as [`Broker::results`] gives them, as they stand at one instant: the counters count
    /// what is in the list. Of a group of more than 1,000 jobs the list may be newer than the counters.
    pub async fn group_with_results(
        &self,
        id: GroupId,
        from: u32,
        limit: usize,
    ) -> Result<Option<(Group, Vec<GroupResult>)>> {
        either!(self, broker => broker.group_with_results(id, from, limit).await)
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

    /// The store that the jobs belong to: their originals are read from there, and their outputs written there. A queue
    /// that knows of none takes `mine` for it; asked by several at once, it answers all with the same one.
    pub async fn store_or(&self, mine: Uuid) -> Result<Uuid> {
        either!(self, broker => broker.store_or(mine).await)
    }

    /// Binds the queue to this store. An operator orders it after the store was moved or replaced.
    pub async fn move_to_store(&self, store: Uuid) -> Result<()> {
        either!(self, broker => broker.move_to_store(store).await)
    }

    /// Has the next call connect anew, when this one seems to have gone deaf.
    pub async fn reconnect(&self) {
        match self {
            Self::Sqlite(_) => {}
            Self::Redis(broker) => broker.reconnect().await,
        }
    }

    /// Looks whether the broker's own file holds what was written, for no longer than `limit`; answers whether it came to
    /// the end. Redis checks its files itself when it reads them.
    ///
    /// # Errors
    /// `Incompatible` where it is damaged, with what to do.
    pub async fn verify(&self, limit: Duration) -> Result<bool> {
        match self {
            Self::Sqlite(broker) => broker.verify(limit).await,
            Self::Redis(_) => Ok(true),
        }
    }

    /// One cheap round trip that only reads.
    pub async fn ping(&self) -> Result<()> {
        either!(self, broker => broker.ping().await)
    }

    /// Writes, as an enqueue would, and changes nothing that anybody reads.
    ///
    /// # Errors
    /// `Full`, `Unavailable` or `Refused`, where an enqueue would end so at present.
    pub async fn try_write(&self) -> Result<()> {
        either!(self, broker => broker.try_write().await)
    }

    /// How long the oldest waiting job of each queue has waited, for queues in which jobs wait. Of each line (a queue's
    /// jobs of one class and priority) only the first [`LINE_HEAD`] are looked at.
    pub async fn oldest_waiting(&self) -> Result<Vec<(String, Duration)>> {
        either!(self, broker => broker.oldest_waiting().await)
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
