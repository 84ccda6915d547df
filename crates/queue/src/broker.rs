//! The queue over one of its two backends.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::relief::{Relief, no_relief};
use crate::{
    Beat, Claim, ClaimRequest, Class, Clock, Event, Group, GroupId, GroupResult, Index, Job, JobFilter, JobId, Lease,
    Listed, NewGroup, NewJob, Page, Period, Place, Policy, QueueDepth, Reservation, Result, Settled, Settlement, State,
    WorkerEntry,
};
use crate::{check, redis, sqlite};

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
    /// [`MAIL_MEMORY`](crate::MAIL_MEMORY), with the 999 before it.
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
    /// jobs of one class and priority) only the first [`LINE_HEAD`](crate::LINE_HEAD) are looked at.
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
