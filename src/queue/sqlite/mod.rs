//! The queue in a SQLite file: durable, without a server, shared by the processes of one machine.
//!
//! One thread per process writes, in transactions that gather what arrived while the last one reached the disk
//! (`synchronous=FULL`); status is read beside it from the WAL. The tables are in `schema.sql`, the transitions in
//! `ledger` and `claim`. The file may not lie on a network disk.

mod claim;
mod disk;
mod ledger;
mod reads;
mod schema;
mod wait;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::{
    Beat, Claim, ClaimRequest, Clock, Group, GroupResult, Job, Lease, NewGroup, NewJob, Policy, QueueDepth, Result,
    Settled, Settlement,
};
use crate::job::{Class, GroupId, JobId};
use reads::Readers;
use writer::Writer;

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
    readers: Readers,
    /// Told by the writer when a commit made work.
    work: Notify,
}

impl SqliteBroker {
    pub fn open(file: &Path, policy: Policy, clock: Clock) -> Result<Self> {
        let db = schema::writer(file)?;
        let shared =
            Arc::new(Shared { file: file.to_owned(), policy, clock, readers: Readers::default(), work: Notify::new() });
        let writer = Arc::new(Writer::start(db, Arc::clone(&shared))?);
        Ok(Self { shared, writer })
    }

    pub async fn enqueue(&self, group: &NewGroup, jobs: &[NewJob]) -> Result<()> {
        let bytes = jobs.iter().map(|job| job.payload.len() + ROW).sum::<usize>() + group.meta.len();
        disk::room(&self.shared.file, bytes as u64)?;
        let (group, jobs) = (group.clone(), jobs.to_vec());
        self.writer.run(move |ledger| ledger.enqueue(&group, &jobs)).await
    }

    pub async fn claim(&self, request: &ClaimRequest) -> Result<Claim> {
        let request = request.clone();
        self.writer.run(move |ledger| ledger.claim(&request).map(Ok)).await
    }

    pub async fn settle(
        &self,
        settlements: &[Settlement],
        claim: Option<&ClaimRequest>,
    ) -> Result<(Vec<Settled>, Option<Claim>)> {
        let (settlements, claim) = (settlements.to_vec(), claim.cloned());
        let moves = move |ledger: &ledger::Ledger<'_>| {
            let settled = ledger.settle(&settlements)?;
            let claimed = claim.as_ref().map(|request| ledger.claim(request)).transpose()?;
            Ok(Ok((settled, claimed)))
        };
        self.writer.run(moves).await
    }

    pub async fn beat(&self, leases: &[Lease]) -> Result<Beat> {
        let leases = leases.to_vec();
        self.writer.run(move |ledger| ledger.beat(&leases).map(Ok)).await
    }

    pub async fn release(&self, leases: &[Lease]) -> Result<()> {
        let leases = leases.to_vec();
        self.writer.run(move |ledger| ledger.release(&leases).map(Ok)).await
    }

    pub async fn wait(&self, queues: &[String], class: Class, timeout: Duration) -> Result<()> {
        wait::wait(&self.shared, queues, class, timeout).await
    }

    pub async fn group(&self, id: GroupId) -> Result<Option<Group>> {
        reads::read(&self.shared, move |db| reads::group(db, id)).await
    }

    pub async fn results(&self, id: GroupId, from: u32, limit: usize) -> Result<Vec<GroupResult>> {
        reads::read(&self.shared, move |db| reads::results(db, id, from, limit)).await
    }

    pub async fn job(&self, id: JobId) -> Result<Option<Job>> {
        reads::read(&self.shared, move |db| reads::job(db, id)).await
    }

    pub async fn depths(&self) -> Result<Vec<QueueDepth>> {
        reads::read(&self.shared, reads::depths).await
    }

    pub async fn ping(&self) -> Result<()> {
        reads::read(&self.shared, |db| db.query_row("SELECT count(*) FROM line", [], |_| Ok(()))).await
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
