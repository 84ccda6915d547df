//! The one thread that writes. It takes whatever commands have gathered while it committed the last ones, runs them in
//! one transaction and answers when that is on disk: a lone command waits for nobody, many share one fsync. What keeps
//! the work that is there going overtakes new work, so that a flood of it costs nobody a lease.

use std::collections::VecDeque;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Shared;
use super::failure::says_full;
use super::ledger::Ledger;
use super::schema::{self, Synchronous};
use crate::{Error, Result};

/// A batch ends at this many commands, or when they have run this long.
const BATCH: usize = 256;
const BATCH_TIME: Duration = Duration::from_millis(2);

/// How long a command waits while another process holds the file, before it is given up; and between two looks.
const PATIENCE: Duration = schema::BUSY;
const LOOK: Duration = Duration::from_secs(1);
/// How long a caller waits for its answer, whatever the disk does. The command may still be carried out then, as one whose
/// reply was lost.
const DEADLINE: Duration = Duration::from_secs(30);

/// The outside is an error of SQLite, which undoes the transaction; the inside is the command's answer.
pub(super) type Outcome<T> = rusqlite::Result<Result<T>>;

/// How soon a command comes to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Renewals of leases, before all else. They do not wait for the disk, however long it takes: a power cut, which alone
    /// undoes them, ends the work they stand for as well.
    Beat,
    /// Before new work.
    Drain,
    /// New work; one of these runs in every batch, at the least.
    Intake,
}

/// The commands that wait for the writer. Dropped, it ends the thread once they have run.
pub(super) struct Writer {
    queued: Arc<Queued>,
}

#[derive(Default)]
struct Queued {
    lanes: Mutex<Lanes>,
    came: Condvar,
}

#[derive(Default)]
struct Lanes {
    beats: VecDeque<Box<dyn Command>>,
    drain: VecDeque<Box<dyn Command>>,
    intake: VecDeque<Box<dyn Command>>,
    closed: bool,
}

impl Writer {
    pub(super) fn start(db: Connection, synchronous: Synchronous, shared: Arc<Shared>) -> Result<Self> {
        let queued = Arc::new(Queued::default());
        let commands = Arc::clone(&queued);
        thread::Builder::new()
            .name("queue-writer".into())
            .spawn(move || {
                let end = CloseOnDrop(&commands);
                work(db, synchronous, end.0, &shared);
            })
            .map_err(|error| Error::Unavailable(format!("cannot start the queue's writer: {error}")))?;
        Ok(Self { queued })
    }

    /// Runs `moves` inside a transaction. It may run more than once; only the last run counts.
    pub(super) async fn run<T, F>(&self, lane: Lane, moves: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&Ledger<'_>) -> Outcome<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.queued.push(lane, Box::new(Pending { lane, moves, answer: None, reply, since: Instant::now() }));
        let Ok(answer) = timeout(DEADLINE, answer).await else {
            return Err(Error::Unavailable(format!("the queue's disk has written nothing for {DEADLINE:?}")));
        };
        answer.map_err(|_| Error::Unavailable("the queue's writer has ended".into()))?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queued.lanes().closed = true;
        self.queued.came.notify_one();
    }
}

/// Whoever waits for a writer that panicked learns that it has ended.
struct CloseOnDrop<'queued>(&'queued Queued);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        let mut lanes = self.0.lanes();
        *lanes = Lanes { closed: true, ..Lanes::default() };
    }
}

impl Queued {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops a command that comes after the end.
    fn push(&self, lane: Lane, command: Box<dyn Command>) {
        let mut lanes = self.lanes();
        match lane {
            _ if lanes.closed => return,
            Lane::Beat => lanes.beats.push_back(command),
            Lane::Drain => lanes.drain.push_back(command),
            Lane::Intake => lanes.intake.push_back(command),
        }
        drop(lanes);
        self.came.notify_one();
    }

    /// Puts back what could not be begun, and takes out what has waited for [`PATIENCE`].
    fn put_back(&self, lane: Lane, command: Box<dyn Command>) -> Vec<Box<dyn Command>> {
        let mut lanes = self.lanes();
        let lanes = &mut *lanes;
        match lane {
            Lane::Beat => lanes.beats.push_front(command),
            Lane::Drain => lanes.drain.push_front(command),
            Lane::Intake => lanes.intake.push_front(command),
        }
        let mut over = Vec::new();
        for lane in [&mut lanes.beats, &mut lanes.drain, &mut lanes.intake] {
            while let Some(command) = lane.pop_front_if(|command| command.since().elapsed() >= PATIENCE) {
                over.push(command);
            }
        }
        over
    }

    /// The next command; none once the writer was dropped and all have run.
    fn wait(&self) -> Option<(Lane, Box<dyn Command>)> {
        let mut lanes = self.lanes();
        loop {
            if let Some(next) = lanes.next() {
                return Some(next);
            }
            if lanes.closed {
                return None;
            }
            lanes = self.came.wait(lanes).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Lanes {
    fn next(&mut self) -> Option<(Lane, Box<dyn Command>)> {
        let beat = self.beats.pop_front().map(|command| (Lane::Beat, command));
        let drain = || self.drain.pop_front().map(|command| (Lane::Drain, command));
        let intake = || self.intake.pop_front().map(|command| (Lane::Intake, command));
        beat.or_else(drain).or_else(intake)
    }
}

trait Command: Send {
    fn lane(&self) -> Lane;
    fn run(&mut self, ledger: &Ledger<'_>) -> rusqlite::Result<()>;
    fn answer(self: Box<Self>, committed: Result<()>);
    /// When it began to wait.
    fn since(&self) -> Instant;
}

struct Pending<T, F> {
    lane: Lane,
    moves: F,
    answer: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
    since: Instant,
}

impl<T, F> Command for Pending<T, F>
where
    T: Send,
    F: FnMut(&Ledger<'_>) -> Outcome<T> + Send,
{
    fn lane(&self) -> Lane {
        self.lane
    }

    fn run(&mut self, ledger: &Ledger<'_>) -> rusqlite::Result<()> {
        self.answer = Some((self.moves)(ledger)?);
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        let Self { answer, reply, .. } = *self;
        let answer = committed.and_then(|()| answer.expect("a command is committed after it ran"));
        // Nobody may wait for it any more: what it did stands all the same.
        let _ = reply.send(answer);
    }

    fn since(&self) -> Instant {
        self.since
    }
}

fn work(mut db: Connection, synchronous: Synchronous, queued: &Queued, shared: &Shared) {
    let opened = identity(&shared.file);
    // Whoever holds the file is looked for again and again, so that each command waits for its own time only.
    let _ = db.busy_timeout(LOOK);
    while let Some((lane, first)) = queued.wait() {
        if identity(&shared.file) != opened {
            // Its commits would count for nobody else, and its sweeps would remove what the others publish.
            let file = shared.file.display();
            let replaced = format!("{file} was removed or replaced while it was open here: start this process anew");
            first.answer(Err(Error::Unavailable(replaced)));
            continue;
        }
        let mut batch = vec![first];
        let awaited = wait_for_disk(&db, synchronous, lane != Lane::Beat);
        let committed = awaited.and_then(|()| commit(&mut db, &mut batch, Some((lane, queued)), shared));
        if is_held(&committed)
            && batch.len() == 1
            && let Some(first) = batch.pop()
        {
            answer(queued.put_back(lane, first), &committed, shared);
            continue;
        }
        let disk_full = is_full(&committed, shared);
        if committed.is_ok() || batch.len() == 1 && !disk_full {
            answer(batch, &committed, shared);
            continue;
        }
        if disk_full {
            // Moved into the file, the WAL gives its place back. Where even that has no room, the next try says so.
            let _ = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
        // One of them is at fault, say an enqueue on a full disk. Alone, the others still succeed.
        for command in batch {
            let drains = command.lane() != Lane::Intake;
            let mut alone = vec![command];
            let mut committed = commit(&mut db, &mut alone, None, shared);
            if drains && is_full(&committed, shared) && (shared.relief)() {
                committed = commit(&mut db, &mut alone, None, shared);
            }
            answer(alone, &committed, shared);
        }
    }
}

/// Whether another process holds the file.
fn is_held(committed: &rusqlite::Result<()>) -> bool {
    matches!(committed, Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy))
}

/// Whether the disk has no room for a transaction.
fn is_full(committed: &rusqlite::Result<()>, shared: &Shared) -> bool {
    matches!(committed, Err(error) if says_full(&shared.file, error))
}

/// Which file has the name at present.
fn identity(file: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(file).ok().map(|about| (about.dev(), about.ino()))
}

/// Whether commits from here on wait until they are on disk.
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

/// Runs and commits `batch`, which may go on with what is queued by then; its first command came on the lane given.
fn commit(
    db: &mut Connection,
    batch: &mut Vec<Box<dyn Command>>,
    more: Option<(Lane, &Queued)>,
    shared: &Shared,
) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let ledger = Ledger::new(&transaction, shared.clock.now_ms(), &shared.policy);
    ledger.mind_the_clock()?;
    let (began, before) = (Instant::now(), transaction.total_changes());
    for command in batch.iter_mut() {
        command.run(&ledger)?;
    }
    if let Some((first, queued)) = more {
        let mut took_in = first == Lane::Intake;
        loop {
            let used_up = batch.len() >= BATCH || began.elapsed() >= BATCH_TIME;
            let next = match used_up {
                _ if first == Lane::Beat => queued.lanes().beats.pop_front().map(|command| (Lane::Beat, command)),
                false => queued.lanes().next(),
                true if took_in => None,
                true => queued.lanes().intake.pop_front().map(|command| (Lane::Intake, command)),
            };
            let Some((lane, mut command)) = next else { break };
            took_in |= lane == Lane::Intake;
            let ran = command.run(&ledger);
            batch.push(command);
            ran?;
        }
    }
    ledger.write_events()?;
    if transaction.total_changes() > before {
        ledger.note_the_clock_now_and_then()?;
    }
    let news = ledger.news();
    drop(ledger);
    transaction.commit()?;
    if news.work {
        shared.work.notify_waiters();
    }
    if news.mail {
        shared.mail.notify_waiters();
    }
    if news.events {
        shared.events.notify_waiters();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::sqlite::SqliteBroker;
    use crate::{ClaimRequest, Class, Clock, GroupId, NewGroup, NewJob, Policy, no_relief};

    fn note(ledger: &Ledger<'_>, session: &str) -> Outcome<()> {
        let noted = ledger.db.execute("INSERT INTO said VALUES (?1, 0, 0, x'')", [session]);
        noted.map(|_| Ok(()))
    }

    fn held_writer(wait: std::sync::mpsc::Receiver<()>) -> impl FnMut(&Ledger<'_>) -> Outcome<()> {
        let mut held = false;
        move |ledger| {
            // Holds the writer until the others have queued up behind it.
            if !std::mem::replace(&mut held, true) {
                wait.recv().expect("the test goes on");
            }
            note(ledger, "first")
        }
    }

    #[tokio::test]
    async fn draining_overtakes_new_work() {
        let home = tempfile::tempdir().unwrap();
        let broker = SqliteBroker::open(
            &home.path().join("queue.db"),
            Policy::default(),
            Clock::default(),
            Synchronous::Off,
            no_relief(),
        )
        .unwrap();
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
        let broker = SqliteBroker::open(
            &home.path().join("queue.db"),
            Policy::default(),
            Clock::default(),
            Synchronous::Full,
            no_relief(),
        )
        .unwrap();
        let level =
            |ledger: &Ledger<'_>| ledger.db.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0)).map(Ok);
        for (lane, full) in [(Lane::Drain, true), (Lane::Beat, false), (Lane::Intake, true), (Lane::Beat, false)] {
            assert_eq!(broker.writer.run(lane, level).await.unwrap(), if full { 2 } else { 1 }, "{lane:?}");
        }
    }

    /// Each waited for the one before it to be given up: the tenth for a minute.
    #[tokio::test]
    async fn commands_wait_for_a_held_file_together() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("queue.db");
        let broker =
            SqliteBroker::open(&file, Policy::default(), Clock::default(), Synchronous::Off, no_relief()).unwrap();
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

    /// However it shows: it is named, and no new work is taken from then on, though other tables are whole.
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
            let broker =
                SqliteBroker::open(&file, Policy::default(), Clock::default(), Synchronous::Off, no_relief()).unwrap();
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
        let broker = SqliteBroker::open(
            &home.path().join("queue.db"),
            Policy::default(),
            Clock::default(),
            Synchronous::Off,
            no_relief(),
        )
        .unwrap();
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
