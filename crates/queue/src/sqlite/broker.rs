//! The calls of the contract on SQLite: each becomes a command for the writer, or a read.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::Connection;
use uuid::Uuid;

use super::disk::{self, MakeRoom};
use super::enqueue::Part;
use super::events::{self, EventId};
use super::lanes::Lane;
use super::ledger::{Ledger, Outcome};
use super::readers::at_one_instant;
use super::retention::{self, Removal};
use super::schema::{self, Synchronous};
use super::shared::Shared;
use super::writer::Writer;
use super::{cancel, cursors, encoding, listing, queues, status, store, verify, wait, workers};
use crate::clock::millis;
use crate::contract::CHUNK;
use crate::{
    Advance, Advanced, Beat, Claim, ClaimRequest, Class, Clock, Cursor, Error, Event, Group, GroupFilter, GroupId,
    GroupResult, Job, JobFilter, JobId, JobList, Lease, ListPosition, ListedJob, NewGroup, NewJob, Page, Policy,
    QueueDepth, Reservation, Result, Settled, Settlement, State, Worker,
};

/// Upper estimate of the bytes of a job in tables and indexes, without its payload.
const JOB_BYTES: usize = 512;

#[derive(Clone)]
pub struct SqliteBroker {
    shared: Arc<Shared>,
    pub(super) writer: Arc<Writer>,
}

impl SqliteBroker {
    pub fn open(
        file: &Path,
        policy: Policy,
        clock: Clock,
        synchronous: Synchronous,
        make_room: MakeRoom,
    ) -> Result<Self> {
        let db = match schema::writer(file, synchronous) {
            Err(Error::StorageFull(_)) if make_room() => schema::writer(file, synchronous)?,
            opened => opened?,
        };
        let shared = Arc::new(Shared::new(file.to_owned(), policy, clock, make_room));
        let writer = Arc::new(Writer::start(db, synchronous, Arc::clone(&shared))?);
        Ok(Self { shared, writer })
    }

    /// Runs a transition that keeps existing work going.
    async fn drain<T, F>(&self, mut moves: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&Ledger<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.writer.run(Lane::Drain, move |ledger| moves(ledger).map(Ok)).await
    }

    /// Runs a transition that brings new work.
    async fn intake<T, F>(&self, moves: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&Ledger<'_>) -> Outcome<T> + Send + 'static,
    {
        self.writer.run(Lane::Intake, moves).await
    }

    pub async fn enqueue(&self, group: &NewGroup, jobs: &[NewJob]) -> Result<()> {
        disk::room(&self.shared.file, bytes_of(group, jobs))?;
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
                // If the cancel fails too, jobs of the group are left, so the caller must not read that nothing was
                // enqueued.
                self.cancel_group(id, true).await.map_err(|error| Error::Unavailable(error.to_string()))?;
            }
            return Err(refused);
        }
        Ok(())
    }

    pub async fn extend(&self, group: &NewGroup, jobs: &[NewJob], last: bool) -> Result<()> {
        disk::room(&self.shared.file, bytes_of(group, jobs))?;
        let parts = jobs.len().div_ceil(CHUNK).max(1);
        for number in 0..parts {
            let (group, chunk) = (group.clone(), jobs.chunks(CHUNK).nth(number).unwrap_or_default().to_vec());
            let part = if last && number + 1 == parts { Part::Last } else { Part::Open };
            self.intake(move |ledger| ledger.enqueue(&group, &chunk, part)).await?;
        }
        Ok(())
    }

    pub async fn advance(&self, advance: &Advance, work: Option<(&NewGroup, &[NewJob])>) -> Result<Advanced> {
        let (advance, work) = (advance.clone(), work.map(|(group, jobs)| (group.clone(), jobs.to_vec())));
        if let Some((group, jobs)) = &work {
            disk::room(&self.shared.file, bytes_of(group, jobs))?;
        }
        let moves = move |ledger: &Ledger<'_>| {
            ledger.advance(&advance, work.as_ref().map(|(group, jobs)| (group, jobs.as_slice())))
        };
        self.intake(moves).await
    }

    pub async fn cursor(&self, name: &str) -> Result<Option<Cursor>> {
        let name = name.to_owned();
        self.shared.read(move |db| cursors::cursor(db, &name)).await
    }

    pub async fn notes(&self, cursor: &str, limit: usize) -> Result<Vec<Bytes>> {
        let cursor = cursor.to_owned();
        self.shared.read(move |db| cursors::notes(db, &cursor, limit)).await
    }

    pub async fn note(&self, cursor: &str, note: &Bytes) -> Result<()> {
        let (cursor, note) = (cursor.to_owned(), note.clone());
        self.drain(move |ledger| ledger.note(&cursor, &note)).await
    }

    pub async fn remove_cursor(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.drain(move |ledger| ledger.remove_cursor(&name)).await
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
        let Some(mut chunk) = self.drain(move |ledger| ledger.cancel_group(id, seal)).await? else { return Ok(None) };
        let mut ended = chunk.ended;
        while chunk.more {
            chunk = self.drain(move |ledger| ledger.cancel_chunk(encoding::id_bytes(id))).await?;
            ended += chunk.ended;
        }
        Ok(Some(ended))
    }

    pub async fn pause(&self, queue: &str, paused: bool) -> Result<()> {
        let queue = queue.to_owned();
        self.drain(move |ledger| ledger.pause(&queue, paused)).await
    }

    pub async fn purge(&self, queue: &str) -> Result<u64> {
        let queue = queue.to_owned();
        let open = self.shared.read(move |db| cancel::open_jobs(db, &queue)).await?;
        let mut ended = 0;
        for chunk in open.chunks(CHUNK) {
            let chunk = chunk.to_vec();
            ended += self.drain(move |ledger| ledger.cancel_open(&chunk)).await?;
        }
        Ok(ended)
    }

    pub async fn verify(&self, limit: Duration) -> Result<bool> {
        let file = self.shared.file.clone();
        let verified = tokio::task::spawn_blocking(move || verify::verify(&file, limit));
        verified.await.expect("verifying the file does not panic")
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
        self.shared.read(move |db| retention::finished_groups(db, until, skip, limit)).await
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

    pub async fn list(&self, list: JobList, skip: usize, limit: usize) -> Result<Vec<ListedJob>> {
        self.shared.read(move |db| listing::list(db, list, skip, limit)).await
    }

    pub async fn events(&self, after: Option<&str>, limit: usize) -> Result<Vec<Event>> {
        let after = after.map(EventId::parse).transpose()?;
        self.shared.read(move |db| events::events(db, after, limit)).await
    }

    pub async fn last_event(&self) -> Result<Option<String>> {
        self.shared.read(events::last).await
    }

    pub async fn await_event(&self, after: Option<&str>, timeout: Duration) -> Result<()> {
        wait::await_event(&self.shared, after.map(EventId::parse).transpose()?, timeout).await
    }

    pub async fn groups(&self, filter: &GroupFilter, below: Option<ListPosition>, limit: usize) -> Result<Page<Group>> {
        let filter = filter.clone();
        let list = move |db: &Connection| listing::groups(db, &filter, below, limit);
        self.shared.read(move |db| at_one_instant(db, list)).await
    }

    pub async fn jobs(&self, filter: &JobFilter, below: Option<ListPosition>, limit: usize) -> Result<Page<Job>> {
        let filter = filter.clone();
        let list = move |db: &Connection| listing::jobs(db, &filter, below, limit);
        self.shared.read(move |db| at_one_instant(db, list)).await
    }

    pub async fn report(&self, session: &str, report: &[u8]) -> Result<()> {
        let (session, report) = (session.to_owned(), report.to_vec());
        self.drain(move |ledger| ledger.report(&session, &report)).await
    }

    pub async fn sign_off(&self, session: &str) -> Result<()> {
        let session = session.to_owned();
        self.drain(move |ledger| ledger.sign_off(&session)).await
    }

    pub async fn workers(&self) -> Result<Vec<Worker>> {
        let since = self.shared.clock.now_ms() - millis(self.shared.policy.worker_memory());
        self.shared.read(move |db| workers::workers(db, since)).await
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
        self.shared.read_inline(move |db| status::group(db, id)).await
    }

    pub async fn group_with_results(
        &self,
        id: GroupId,
        from: u32,
        limit: usize,
    ) -> Result<Option<(Group, Vec<GroupResult>)>> {
        self.shared
            .read_inline(move |db| {
                at_one_instant(db, |db| {
                    let Some(group) = status::group(db, id)? else { return Ok(None) };
                    Ok(Some((group, status::results(db, id, from, limit)?)))
                })
            })
            .await
    }

    pub async fn results(&self, id: GroupId, from: u32, limit: usize) -> Result<Vec<GroupResult>> {
        self.shared.read(move |db| status::results(db, id, from, limit)).await
    }

    pub async fn job(&self, id: JobId) -> Result<Option<Job>> {
        self.shared.read_inline(move |db| status::job(db, id)).await
    }

    pub async fn depths(&self) -> Result<Vec<QueueDepth>> {
        self.shared.read(queues::depths).await
    }

    pub async fn ping(&self) -> Result<()> {
        self.shared.read(|db| db.query_row("SELECT count(*) FROM line", [], |_| Ok(()))).await
    }

    pub async fn try_write(&self) -> Result<()> {
        if let Some(damage) = self.shared.damage.get() {
            return Err(Error::Incompatible(damage.clone()));
        }
        disk::room(&self.shared.file, 0)?;
        self.intake(|ledger| ledger.places_at_end(0).map(|_| Ok(()))).await
    }

    pub async fn oldest_waiting(&self) -> Result<Vec<(String, Duration)>> {
        let now = self.shared.clock.now_ms();
        self.shared.read(move |db| queues::oldest_waiting(db, now)).await
    }

    pub async fn store_or(&self, mine: Uuid) -> Result<Uuid> {
        if let Some(store) = self.shared.read(store::store).await? {
            return Ok(store);
        }
        match self.drain(move |ledger| ledger.store_or(mine)).await {
            // Without room to store it, the next call stores it.
            Err(Error::StorageFull(_)) => Ok(mine),
            kept => kept,
        }
    }

    pub async fn move_to_store(&self, store: Uuid) -> Result<()> {
        self.drain(move |ledger| ledger.move_to_store(store)).await
    }

    #[allow(clippy::unused_async, reason = "both backends have the same methods")]
    pub async fn warnings(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

/// Upper estimate of the bytes that a group and its jobs take in the file.
fn bytes_of(group: &NewGroup, jobs: &[NewJob]) -> u64 {
    let jobs: usize = jobs.iter().map(|job| job.payload.len() + JOB_BYTES).sum();
    (jobs + group.meta.len()) as u64
}

impl fmt::Display for SqliteBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sqlite {}", self.shared.file.display())
    }
}
