//! The queue in a SQLite file: durable, without a server, shared by the processes of one machine.
//!
//! One thread per process writes, in transactions that gather what arrived while the last one reached the disk
//! (`synchronous=FULL`, but for renewals of leases); status is read beside it from the WAL. The tables are in `schema.sql`; the transitions are made
//! of the moves in `ledger`. The file may not lie on a network disk.

mod admin;
mod cancel;
mod claim;
mod clock;
mod columns;
mod disk;
mod enqueue;
mod events;
mod failure;
mod idempotency;
mod ledger;
mod listing;
mod look;
mod mail;
mod packed;
mod reads;
mod schema;
mod settle;
mod verify;
mod wait;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tracing::error;
use uuid::Uuid;

use super::clock::millis;
use super::{
    Beat, CHUNK, Claim, ClaimRequest, Clock, Error, Event, Group, GroupResult, Index, Job, JobFilter, Lease, Listed,
    NewGroup, NewJob, Page, Period, Place, Policy, QueueDepth, Relief, Reservation, Result, Settled, Settlement,
    WorkerEntry,
};
use crate::{Class, GroupId, JobId, State};
use admin::Removal;
use enqueue::Part;
use ledger::Ledger;
pub use look::Look;
use reads::Readers;
pub(super) use schema::Synchronous;
use writer::{Lane, Outcome, Writer};

/// What a job takes in tables and indexes beside its payload, generously.
const ROW: usize = 512;

#[derive(Clone)]
pub struct SqliteBroker {
    shared: Arc<Shared>,
    writer: Arc<Writer>,
}

/// What writer and readers of one process have in common.
struct Shared {
    file: PathBuf,
    policy: Policy,
    clock: Clock,
    relief: Relief,
    readers: Readers,
    /// Told by the writer when a commit made work.
    work: Notify,
    /// Told by the writer when a letter was posted.
    mail: Notify,
    /// Told by the writer when a commit had something happen.
    events: Notify,
    /// What was wrong with the file when that was first met.
    damage: OnceLock<String>,
}

impl Shared {
    /// What an error of SQLite means to the caller. That the file is damaged is logged once, and no new work is taken from
    /// then on: what is damaged may be read, or written, by chance only.
    fn failure(&self, error: &rusqlite::Error) -> Error {
        let failure = failure::unavailable(&self.file, error);
        if let Error::Incompatible(damage) = &failure
            && self.damage.set(damage.clone()).is_ok()
        {
            error!("{damage}");
        }
        failure
    }
}

impl SqliteBroker {
    pub fn open(file: &Path, policy: Policy, clock: Clock, synchronous: Synchronous, relief: Relief) -> Result<Self> {
        let db = match schema::writer(file, synchronous) {
            Err(Error::StorageFull(_)) if relief() => schema::writer(file, synchronous)?,
            opened => opened?,
        };
        let shared = Arc::new(Shared {
            file: file.to_owned(),
            policy,
            clock,
            relief,
            readers: Readers::default(),
            work: Notify::new(),
            mail: Notify::new(),
            events: Notify::new(),
            damage: OnceLock::new(),
        });
        let writer = Arc::new(Writer::start(db, synchronous, Arc::clone(&shared))?);
        Ok(Self { shared, writer })
    }

    /// A transition that keeps the work going that is there.
    async fn drain<T, F>(&self, mut moves: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&Ledger<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.writer.run(Lane::Drain, move |ledger| moves(ledger).map(Ok)).await
    }

    /// A transition that brings new work.
    async fn intake<T, F>(&self, moves: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&Ledger<'_>) -> Outcome<T> + Send + 'static,
    {
        self.writer.run(Lane::Intake, moves).await
    }

    pub async fn enqueue(&self, group: &NewGroup, jobs: &[NewJob]) -> Result<()> {
        let bytes = jobs.iter().map(|job| job.payload.len() + ROW).sum::<usize>() + group.meta.len();
        disk::room(&self.shared.file, bytes as u64)?;
        let last = jobs.len().saturating_sub(1) / CHUNK;
        for number in 0..=last {
            let chunk = jobs.chunks(CHUNK).nth(number).unwrap_or_default().to_vec();
            let group = group.clone();
            let id = group.id;
            let refused =
                match self.intake(move |ledger| ledger.enqueue(&group, &chunk, Part::of_whole(number == last))).await {
                    Ok(()) => continue,
                    Err(refused) => refused,
                };
            if matches!(refused, Error::Full(_) | Error::StorageFull(_) | Error::KeyTaken(_)) && number > 0 {
                // Where that fails, too, jobs of it are left, and the refusal must not be taken for one of the whole.
                self.cancel_group(id, true).await.map_err(|error| Error::Unavailable(error.to_string()))?;
            }
            return Err(refused);
        }
        Ok(())
    }

    pub async fn extend(&self, group: &NewGroup, jobs: &[NewJob], last: bool) -> Result<()> {
        let bytes: usize = jobs.iter().map(|job| job.payload.len()).sum();
        disk::room(&self.shared.file, bytes as u64)?;
        let parts = jobs.len().div_ceil(CHUNK).max(1);
        for number in 0..parts {
            let (group, chunk) = (group.clone(), jobs.chunks(CHUNK).nth(number).unwrap_or_default().to_vec());
            let part = if last && number + 1 == parts { Part::Last } else { Part::Open };
            self.intake(move |ledger| ledger.enqueue(&group, &chunk, part)).await?;
        }
        Ok(())
    }

    pub async fn claim(&self, request: &ClaimRequest) -> Result<Claim> {
        let request = request.clone();
        self.drain(move |ledger| ledger.claim(&request)).await
    }

    pub async fn settle(
        &self,
        settlements: &[Settlement],
        claim: Option<&ClaimRequest>,
    ) -> Result<(Vec<Settled>, Option<Claim>)> {
        let (settlements, claim) = (settlements.to_vec(), claim.cloned());
        let moves = move |ledger: &Ledger<'_>| {
            let settled = ledger.settle(&settlements)?;
            let claimed = claim.as_ref().map(|request| ledger.claim(request)).transpose()?;
            Ok((settled, claimed))
        };
        self.drain(moves).await
    }

    pub async fn beat(&self, leases: &[Lease]) -> Result<Beat> {
        let leases = leases.to_vec();
        self.writer.run(Lane::Beat, move |ledger| ledger.beat(&leases).map(Ok)).await
    }

    pub async fn release(&self, leases: &[Lease], after: Option<Duration>) -> Result<()> {
        let leases = leases.to_vec();
        self.drain(move |ledger| ledger.release(&leases, after)).await
    }

    pub async fn cancel_job(&self, id: JobId) -> Result<Option<State>> {
        self.drain(move |ledger| ledger.cancel_job(id)).await
    }

    pub async fn cancel_group(&self, id: GroupId, seal: bool) -> Result<Option<u64>> {
        let Some(mut walked) = self.drain(move |ledger| ledger.cancel_group(id, seal)).await? else { return Ok(None) };
        let mut ended = walked.ended;
        while walked.more {
            walked = self.drain(move |ledger| ledger.walk(columns::bytes(id))).await?;
            ended += walked.ended;
        }
        Ok(Some(ended))
    }

    pub async fn pause(&self, queue: &str, paused: bool) -> Result<()> {
        let queue = queue.to_owned();
        self.drain(move |ledger| ledger.pause(&queue, paused)).await
    }

    pub async fn purge(&self, queue: &str) -> Result<u64> {
        let queue = queue.to_owned();
        let open = reads::read(&self.shared, move |db| cancel::open_jobs(db, &queue)).await?;
        let mut ended = 0;
        for chunk in open.chunks(CHUNK) {
            let chunk = chunk.to_vec();
            ended += self.drain(move |ledger| ledger.cancel_open(&chunk)).await?;
        }
        Ok(ended)
    }

    pub async fn verify(&self, limit: Duration) -> Result<bool> {
        let file = self.shared.file.clone();
        let looked = tokio::task::spawn_blocking(move || verify::verify(&file, limit));
        looked.await.expect("looking at the file does not panic")
    }

    pub async fn reserve(&self, key: &str, group: GroupId) -> Result<Reservation> {
        let key = key.to_owned();
        self.intake(move |ledger| ledger.reserve(&key, group).map(Ok)).await
    }

    pub fn reservation(&self) -> Duration {
        self.shared.policy.reservation
    }

    pub async fn unreserve(&self, key: &str, group: GroupId) -> Result<()> {
        let key = key.to_owned();
        self.drain(move |ledger| ledger.unreserve(&key, group)).await
    }

    pub async fn finished_groups(&self, age: Duration, skip: usize, limit: usize) -> Result<Vec<GroupId>> {
        let until = self.shared.clock.now_ms() - millis(age);
        reads::read(&self.shared, move |db| {
            admin::finished_groups(db, until, (columns::most(skip), columns::most(limit)))
        })
        .await
    }

    pub async fn remove_group(&self, id: GroupId) -> Result<bool> {
        loop {
            match self.drain(move |ledger| ledger.remove(id)).await? {
                Removal::Refused => return Ok(false),
                Removal::Begun => {}
                Removal::Done => return Ok(true),
            }
        }
    }

    pub async fn list(&self, index: Index, skip: usize, limit: usize) -> Result<Vec<Listed>> {
        reads::read(&self.shared, move |db| reads::list(db, index, skip, limit)).await
    }

    pub async fn events(&self, after: Option<&str>, limit: usize) -> Result<Vec<Event>> {
        let after = after.map(events::Place::parse).transpose()?;
        reads::read(&self.shared, move |db| events::events(db, after, limit)).await
    }

    pub async fn last_event(&self) -> Result<Option<String>> {
        reads::read(&self.shared, events::last).await
    }

    pub async fn await_event(&self, after: Option<&str>, timeout: Duration) -> Result<()> {
        wait::await_event(&self.shared, after.map(events::Place::parse).transpose()?, timeout).await
    }

    pub async fn groups(&self, submitted: Period, below: Option<Place>, limit: usize) -> Result<Page<Group>> {
        let list = move |db: &rusqlite::Connection| listing::groups(db, submitted, below, limit);
        reads::read(&self.shared, move |db| reads::at_one_instant(db, list)).await
    }

    pub async fn jobs(&self, filter: &JobFilter, below: Option<Place>, limit: usize) -> Result<Page<Job>> {
        let filter = filter.clone();
        let list = move |db: &rusqlite::Connection| listing::jobs(db, &filter, below, limit);
        reads::read(&self.shared, move |db| reads::at_one_instant(db, list)).await
    }

    pub async fn report(&self, session: &str, report: &[u8]) -> Result<()> {
        let (session, report) = (session.to_owned(), report.to_vec());
        self.drain(move |ledger| ledger.report(&session, &report)).await
    }

    pub async fn sign_off(&self, session: &str) -> Result<()> {
        let session = session.to_owned();
        self.drain(move |ledger| ledger.sign_off(&session)).await
    }

    pub async fn workers(&self) -> Result<Vec<WorkerEntry>> {
        let since = self.shared.clock.now_ms() - millis(self.shared.policy.worker_memory());
        reads::read(&self.shared, move |db| mail::workers(db, since)).await
    }

    pub async fn post(&self, mailbox: &str, letter: &[u8]) -> Result<()> {
        let (mailbox, letter) = (mailbox.to_owned(), letter.to_vec());
        self.drain(move |ledger| ledger.post(&mailbox, &letter)).await
    }

    pub async fn collect(&self, mailbox: &str, timeout: Duration) -> Result<Vec<Bytes>> {
        wait::collect(&self.shared, &self.writer, mailbox, timeout).await
    }

    pub async fn wait(&self, queues: &[String], class: Class, timeout: Duration) -> Result<()> {
        wait::wait(&self.shared, queues, class, timeout).await
    }

    pub async fn group(&self, id: GroupId) -> Result<Option<Group>> {
        reads::look(&self.shared, move |db| reads::group(db, id)).await
    }

    pub async fn group_with_results(
        &self,
        id: GroupId,
        from: u32,
        limit: usize,
    ) -> Result<Option<(Group, Vec<GroupResult>)>> {
        reads::look(&self.shared, move |db| {
            reads::at_one_instant(db, |db| {
                let Some(group) = reads::group(db, id)? else { return Ok(None) };
                Ok(Some((group, reads::results(db, id, from, limit)?)))
            })
        })
        .await
    }

    pub async fn results(&self, id: GroupId, from: u32, limit: usize) -> Result<Vec<GroupResult>> {
        reads::read(&self.shared, move |db| reads::results(db, id, from, limit)).await
    }

    pub async fn job(&self, id: JobId) -> Result<Option<Job>> {
        reads::look(&self.shared, move |db| reads::job(db, id)).await
    }

    pub async fn depths(&self) -> Result<Vec<QueueDepth>> {
        reads::read(&self.shared, reads::depths).await
    }

    pub async fn ping(&self) -> Result<()> {
        reads::read(&self.shared, |db| db.query_row("SELECT count(*) FROM line", [], |_| Ok(()))).await
    }

    pub async fn try_write(&self) -> Result<()> {
        if let Some(damage) = self.shared.damage.get() {
            return Err(Error::Incompatible(damage.clone()));
        }
        disk::room(&self.shared.file, 0)?;
        self.intake(|ledger| ledger.places_behind(0).map(|_| Ok(()))).await
    }

    pub async fn oldest_waiting(&self) -> Result<Vec<(String, Duration)>> {
        let now = self.shared.clock.now_ms();
        reads::read(&self.shared, move |db| reads::oldest_waiting(db, now)).await
    }

    pub async fn store_or(&self, mine: Uuid) -> Result<Uuid> {
        if let Some(store) = reads::read(&self.shared, reads::store).await? {
            return Ok(store);
        }
        match self.drain(move |ledger| ledger.store_or(mine)).await {
            // Without room for it, it is kept the next time.
            Err(Error::StorageFull(_)) => Ok(mine),
            kept => kept,
        }
    }

    pub async fn move_to_store(&self, store: Uuid) -> Result<()> {
        self.drain(move |ledger| ledger.move_to_store(store)).await
    }

    #[allow(clippy::unused_async, reason = "the verbs of both backends look alike")]
    pub async fn warnings(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

impl fmt::Display for SqliteBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sqlite {}", self.shared.file.display())
    }
}

/// How a class is written in the tables.
fn class_code(class: Class) -> i64 {
    match class {
        Class::Cpu => 0,
        Class::Io => 1,
    }
}
