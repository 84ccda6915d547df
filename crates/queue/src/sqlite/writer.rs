//! The one thread that writes. It takes all commands that arrived while it committed the ones before, runs them in one
//! transaction, and answers when that is on disk: a single command waits for no other, and many share one fsync.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::failure;
use super::lanes::{Command, Lane, Lanes, Pending};
use super::ledger::{Ledger, Outcome};
use super::schema::{self, Synchronous};
use super::shared::Shared;
use crate::{Error, Result};

/// A batch ends at this many commands, or when they have run for this long.
const BATCH: usize = 256;
const BATCH_TIME: Duration = Duration::from_millis(2);

/// How long a command waits while another process has the file locked.
const PATIENCE: Duration = schema::BUSY;
/// How long one try waits for the lock.
const RETRY: Duration = Duration::from_secs(1);
/// How long a caller waits for its answer, even if the disk hangs. The command may still be run later, as one whose
/// reply was lost.
const DEADLINE: Duration = Duration::from_secs(30);

/// Sends commands to the writer's thread. When it is dropped, the thread runs those that wait and ends.
pub(super) struct Writer {
    lanes: Arc<Lanes>,
}

impl Writer {
    pub(super) fn start(db: Connection, synchronous: Synchronous, shared: Arc<Shared>) -> Result<Self> {
        let lanes = Arc::new(Lanes::default());
        let commands = Arc::clone(&lanes);
        thread::Builder::new()
            .name("queue-writer".into())
            .spawn(move || {
                let lanes = AbortOnDrop(&commands);
                work(db, synchronous, lanes.0, &shared);
            })
            .map_err(|error| Error::Unavailable(format!("cannot start the queue's writer: {error}")))?;
        Ok(Self { lanes })
    }

    /// Runs `moves` in a transaction. It may run more than once; only the last run counts.
    pub(super) async fn run<T, F>(&self, lane: Lane, moves: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&Ledger<'_>) -> Outcome<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.lanes.push(Box::new(Pending::new(lane, moves, reply)));
        let Ok(answer) = timeout(DEADLINE, answer).await else {
            return Err(Error::Unavailable(format!("the queue's disk has written nothing for {DEADLINE:?}")));
        };
        answer.map_err(|_| Error::Unavailable("the queue's writer has ended".into()))?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.lanes.close();
    }
}

/// If the writer panics, this drops the waiting commands, so that their callers get an error.
struct AbortOnDrop<'lanes>(&'lanes Lanes);

impl Drop for AbortOnDrop<'_> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn work(mut db: Connection, synchronous: Synchronous, lanes: &Lanes, shared: &Shared) {
    let opened = identity(&shared.file);
    // A locked file is tried again and again, so that each command waits for at most its own PATIENCE.
    let _ = db.busy_timeout(RETRY);
    while let Some(first) = lanes.wait() {
        if identity(&shared.file) != opened {
            // Other processes would not see its commits, and its sweeps would remove the outputs of their jobs.
            let file = shared.file.display();
            let replaced = format!("{file} was removed or replaced while it was open here: start this process anew");
            first.answer(Err(Error::Unavailable(replaced)));
            continue;
        }
        let awaited = wait_for_disk(&db, synchronous, first.lane() != Lane::Beat);
        let mut batch = vec![first];
        let committed = awaited.and_then(|()| commit(&mut db, &mut batch, Some(lanes), shared));
        if is_locked(&committed)
            && batch.len() == 1
            && let Some(first) = batch.pop()
        {
            answer(lanes.put_back(first, PATIENCE), &committed, shared);
            continue;
        }
        let disk_full = is_full(&committed, shared);
        if committed.is_ok() || batch.len() == 1 && !disk_full {
            answer(batch, &committed, shared);
            continue;
        }
        if disk_full {
            // Copies the WAL into the file, which frees its space. If even that has no room, the next try fails.
            let _ = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
        // One command failed, for example an enqueue on a full disk. Each runs alone, so that the others succeed.
        for command in batch {
            let drains = command.lane() != Lane::Intake;
            let mut alone = vec![command];
            let mut committed = commit(&mut db, &mut alone, None, shared);
            if drains && is_full(&committed, shared) && (shared.make_room)() {
                committed = commit(&mut db, &mut alone, None, shared);
            }
            answer(alone, &committed, shared);
        }
    }
}

/// Whether another process has the file locked.
fn is_locked(committed: &rusqlite::Result<()>) -> bool {
    matches!(committed, Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy))
}

/// Whether the disk has no room for a transaction.
fn is_full(committed: &rusqlite::Result<()>, shared: &Shared) -> bool {
    matches!(committed, Err(error) if failure::is_disk_full(&shared.file, error))
}

/// Device and inode of the file with this name; `None` if there is none.
fn identity(file: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(file).ok().map(|about| (about.dev(), about.ino()))
}

/// Sets whether the next commits wait until they are on disk.
fn wait_for_disk(db: &Connection, synchronous: Synchronous, wait: bool) -> rusqlite::Result<()> {
    match synchronous {
        Synchronous::Full => db.pragma_update(None, "synchronous", if wait { "FULL" } else { "NORMAL" }),
        Synchronous::Off => Ok(()),
    }
}

fn answer(batch: Vec<Box<dyn Command>>, committed: &rusqlite::Result<()>, shared: &Shared) {
    for command in batch {
        command.answer(committed.as_ref().copied().map_err(|error| shared.failure(error)));
    }
}

/// Runs and commits `batch`. With `lanes`, commands that wait there are added to it until it is full.
fn commit(
    db: &mut Connection,
    batch: &mut Vec<Box<dyn Command>>,
    lanes: Option<&Lanes>,
    shared: &Shared,
) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let ledger = Ledger::new(&transaction, shared.clock.now_ms(), &shared.policy);
    ledger.follow_clock_set_back()?;
    let before = transaction.total_changes();
    let began = Instant::now();
    for command in batch.iter_mut() {
        command.run(&ledger)?;
    }
    if let Some(lanes) = lanes {
        run_waiting(batch, lanes, began, &ledger)?;
    }
    ledger.write_events()?;
    if transaction.total_changes() > before {
        ledger.note_instant()?;
    }
    let wakeups = ledger.wakeups();
    drop(ledger);
    transaction.commit()?;
    if wakeups.work {
        shared.work.notify_waiters();
    }
    if wakeups.mail {
        shared.mail.notify_waiters();
    }
    if wakeups.events {
        shared.events.notify_waiters();
    }
    Ok(())
}

/// Adds commands that wait to the batch and runs them. A batch that began with a heartbeat takes only heartbeats,
/// because its commit does not wait for the disk. Every other batch takes at least one command of new work.
fn run_waiting(
    batch: &mut Vec<Box<dyn Command>>,
    lanes: &Lanes,
    began: Instant,
    ledger: &Ledger<'_>,
) -> rusqlite::Result<()> {
    let beats = batch.iter().any(|command| command.lane() == Lane::Beat);
    let mut took_in = batch.iter().any(|command| command.lane() == Lane::Intake);
    loop {
        let full = batch.len() >= BATCH || began.elapsed() >= BATCH_TIME;
        let next = match full {
            _ if beats => lanes.next_of(Lane::Beat),
            false => lanes.next(),
            true if took_in => None,
            true => lanes.next_of(Lane::Intake),
        };
        let Some(mut command) = next else { return Ok(()) };
        took_in |= command.lane() == Lane::Intake;
        let ran = command.run(ledger);
        batch.push(command);
        ran?;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;

    use super::*;
    use crate::sqlite::broker::SqliteBroker;
    use crate::sqlite::disk::no_room;
    use crate::{ClaimRequest, Class, Clock, GroupId, NewGroup, NewJob, Policy};

    fn open(home: &tempfile::TempDir, synchronous: Synchronous) -> SqliteBroker {
        let file = home.path().join("queue.db");
        SqliteBroker::open(&file, Policy::default(), Clock::default(), synchronous, no_room()).unwrap()
    }

    fn note(ledger: &Ledger<'_>, session: &str) -> Outcome<()> {
        let noted = ledger.db.execute("INSERT INTO said VALUES (?1, 0, 0, x'')", [session]);
        noted.map(|_| Ok(()))
    }

    fn held_writer(wait: std::sync::mpsc::Receiver<()>) -> impl FnMut(&Ledger<'_>) -> Outcome<()> {
        let mut held = false;
        move |ledger| {
            // Holds the writer until the other commands wait for it.
            if !std::mem::replace(&mut held, true) {
                wait.recv().expect("the test goes on");
            }
            note(ledger, "first")
        }
    }

    #[tokio::test]
    async fn draining_overtakes_new_work() {
        let home = tempfile::tempdir().unwrap();
        let broker = open(&home, Synchronous::Off);
        let (gathered, wait) = std::sync::mpsc::channel::<()>();
        let order = Arc::new(Mutex::new(Vec::new()));
        let noting = |what: &'static str| {
            let order = Arc::clone(&order);
            move |_: &Ledger<'_>| {
                order.lock().unwrap().push(what);
                Ok(Ok(()))
            }
        };

        let first = broker.writer.run(Lane::Drain, held_writer(wait));
        let flood = futures::future::join_all((0..20).map(|_| broker.writer.run(Lane::Intake, noting("new"))));
        let beat = broker.writer.run(Lane::Drain, noting("beat"));
        let go = async { gathered.send(()).expect("the writer waits") };
        let (first, flood, beat, ()) = tokio::join!(first, flood, beat, go);

        assert!(first.is_ok() && beat.is_ok() && flood.iter().all(Result::is_ok));
        let order = order.lock().unwrap();
        assert_eq!((order.len(), order[0]), (21, "beat"));
    }

    #[tokio::test]
    async fn all_but_beats_wait_for_the_disk() {
        let home = tempfile::tempdir().unwrap();
        let broker = open(&home, Synchronous::Full);
        let level =
            |ledger: &Ledger<'_>| ledger.db.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0)).map(Ok);
        for (lane, full) in [(Lane::Drain, true), (Lane::Beat, false), (Lane::Intake, true), (Lane::Beat, false)] {
            assert_eq!(broker.writer.run(lane, level).await.unwrap(), if full { 2 } else { 1 }, "{lane:?}");
        }
    }

    /// Once, each command waited until the one before it had given up: the tenth waited for a minute.
    #[tokio::test]
    async fn commands_wait_for_a_held_file_together() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("queue.db");
        let broker = open(&home, Synchronous::Off);
        let holder = Connection::open(&file).unwrap();
        holder.execute_batch("BEGIN IMMEDIATE").unwrap();
        let began = Instant::now();
        let all = (0..20).map(|n| broker.writer.run(Lane::Drain, move |ledger| note(ledger, &n.to_string())));
        for answer in futures::future::join_all(all).await {
            assert!(matches!(&answer, Err(Error::Unavailable(said)) if said.contains("another process")), "{answer:?}");
        }
        assert!(began.elapsed() < 4 * PATIENCE, "{:?}", began.elapsed());
        holder.execute_batch("COMMIT").unwrap();
        broker.writer.run(Lane::Drain, |ledger| note(ledger, "free")).await.unwrap();
    }

    /// Any error that shows damage names it, and no new work is taken from then on, though other tables are whole.
    #[tokio::test]
    async fn file_that_is_found_damaged_takes_no_new_work() {
        for damage in [
            "ALTER TABLE event RENAME COLUMN packed TO qacked",
            "DELETE FROM line",
            "UPDATE job SET kind = CAST(x'696DE1' AS TEXT)",
            "UPDATE job SET attempt = -127",
        ] {
            let home = tempfile::tempdir().unwrap();
            let file = home.path().join("queue.db");
            let broker = open(&home, Synchronous::Off);
            let job = NewJob::new("image.process", "default", Class::Cpu, Bytes::from_static(b"{}"));
            broker.enqueue(&NewGroup::new(GroupId::new(), Bytes::new()), std::slice::from_ref(&job)).await.unwrap();
            broker.try_write().await.unwrap();
            Connection::open(&file).unwrap().execute_batch(damage).unwrap();
            let claim = ClaimRequest {
                session: "s".into(),
                sequence: 1,
                queues: vec!["default".into()],
                class: Class::Cpu,
                limit: 1,
            };

            let claimed = broker.claim(&claim).await;
            let tried = broker.try_write().await;

            for refused in [claimed.map(drop), tried] {
                let said = matches!(&refused, Err(Error::Incompatible(said)) if said.contains("queue.db is damaged"));
                assert!(said, "{damage}: {refused:?}");
            }
        }
    }

    #[tokio::test]
    async fn one_failing_command_does_not_fail_its_batch() {
        let home = tempfile::tempdir().unwrap();
        let broker = open(&home, Synchronous::Off);
        let (gathered, wait) = std::sync::mpsc::channel::<()>();
        let first = broker.writer.run(Lane::Drain, held_writer(wait));
        let second = broker.writer.run(Lane::Drain, |ledger| note(ledger, "second"));
        // Its first statement must not stay when its second one fails.
        let failing = broker.writer.run(Lane::Drain, |ledger| {
            let _ = note(ledger, "half")?;
            note(ledger, "first")
        });
        let refused = broker.writer.run(Lane::Drain, |_| Ok(Err::<(), _>(Error::Invalid("no".into()))));
        let go = async { gathered.send(()).expect("the writer waits") };

        let (first, second, failing, refused, ()) = tokio::join!(first, second, failing, refused, go);

        assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
        assert!(matches!(failing, Err(Error::Unavailable(_))), "{failing:?}");
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
        let count = |ledger: &Ledger<'_>| {
            ledger.db.query_row("SELECT count(*) FROM said", [], |row| row.get::<_, i64>(0)).map(Ok)
        };
        assert_eq!(broker.writer.run(Lane::Drain, count).await.unwrap(), 2);
    }
}
