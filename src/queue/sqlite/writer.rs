//! The one thread that writes. It takes whatever commands have gathered while it committed the last ones, runs them in
//! one transaction and answers when that is on disk: a lone command waits for nobody, many share one fsync.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::oneshot;

use super::super::{Error, Result};
use super::Shared;
use super::ledger::Ledger;

/// A batch ends at this many commands, or when they have run this long.
const BATCH: usize = 256;
const BATCH_TIME: Duration = Duration::from_millis(2);

/// The outside is an error of SQLite, which undoes the transaction; the inside is the command's answer.
pub(super) type Outcome<T> = rusqlite::Result<Result<T>>;

pub(super) struct Writer {
    commands: Sender<Box<dyn Command>>,
}

impl Writer {
    pub(super) fn start(db: Connection, shared: std::sync::Arc<Shared>) -> Result<Self> {
        let (commands, queued) = mpsc::channel();
        thread::Builder::new()
            .name("queue-writer".into())
            .spawn(move || work(db, &queued, &shared))
            .map_err(|error| Error::Unavailable(format!("cannot start the queue's writer: {error}")))?;
        Ok(Self { commands })
    }

    /// Runs `moves` inside a transaction. It may run more than once; only the last run counts.
    pub(super) async fn run<T, F>(&self, moves: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&Ledger<'_>) -> Outcome<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let ended = || Error::Unavailable("the queue's writer has ended".into());
        self.commands.send(Box::new(Pending { moves, answer: None, reply })).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

trait Command: Send {
    fn run(&mut self, ledger: &Ledger<'_>) -> rusqlite::Result<()>;
    fn answer(self: Box<Self>, committed: Result<()>);
}

struct Pending<T, F> {
    moves: F,
    answer: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Command for Pending<T, F>
where
    T: Send,
    F: FnMut(&Ledger<'_>) -> Outcome<T> + Send,
{
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
}

fn work(mut db: Connection, queued: &Receiver<Box<dyn Command>>, shared: &Shared) {
    while let Ok(first) = queued.recv() {
        let mut batch = vec![first];
        let committed = commit(&mut db, &mut batch, Some(queued), shared);
        let disk_full = matches!(&committed, Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull));
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
            let mut alone = vec![command];
            let committed = commit(&mut db, &mut alone, None, shared);
            answer(alone, &committed, shared);
        }
    }
}

fn answer(batch: Vec<Box<dyn Command>>, committed: &rusqlite::Result<()>, shared: &Shared) {
    for command in batch {
        command.answer(committed.as_ref().copied().map_err(|error| unavailable(&shared.file, error)));
    }
}

/// Runs and commits `batch`, and what `more` holds by then.
fn commit(
    db: &mut Connection,
    batch: &mut Vec<Box<dyn Command>>,
    more: Option<&Receiver<Box<dyn Command>>>,
    shared: &Shared,
) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let ledger = Ledger::new(&transaction, shared.clock.now_ms(), &shared.policy);
    let began = Instant::now();
    let mut ran = 0;
    loop {
        while let Some(command) = batch.get_mut(ran) {
            ran += 1;
            command.run(&ledger)?;
        }
        if ran >= BATCH || began.elapsed() >= BATCH_TIME {
            break;
        }
        match more.and_then(|queued| queued.try_recv().ok()) {
            Some(command) => batch.push(command),
            None => break,
        }
    }
    let made_work = ledger.made_work();
    transaction.commit()?;
    if made_work {
        shared.work.notify_waiters();
    }
    Ok(())
}

/// What an error of SQLite means to the caller.
pub(super) fn unavailable(file: &Path, error: &rusqlite::Error) -> Error {
    let file = file.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full(format!("no space left on the disk of {file}; free some")),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::Incompatible(format!("{file} is damaged ({error}); restore it from a backup"))
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::Unavailable(format!("another process has held {file} for too long"))
        }
        _ => Error::Unavailable(format!("{file}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::sqlite::SqliteBroker;
    use crate::queue::{Clock, Policy};

    fn note(ledger: &Ledger<'_>, session: &str) -> Outcome<()> {
        let noted = ledger.db.execute("INSERT INTO said VALUES (?1, 0, 0, x'')", [session]);
        noted.map(|_| Ok(()))
    }

    #[tokio::test]
    async fn one_failing_command_does_not_fail_its_batch() {
        let home = tempfile::tempdir().unwrap();
        let broker = SqliteBroker::open(&home.path().join("queue.db"), Policy::default(), Clock::default()).unwrap();
        let (gathered, wait) = std::sync::mpsc::channel::<()>();
        let mut held = false;
        // Holds the writer until the others have queued up behind it.
        let first = broker.writer.run(move |ledger| {
            if !std::mem::replace(&mut held, true) {
                wait.recv().expect("the test goes on");
            }
            note(ledger, "first")
        });
        let second = broker.writer.run(|ledger| note(ledger, "second"));
        // Its first statement must not stay when its second one fails.
        let failing = broker.writer.run(|ledger| {
            let _ = note(ledger, "half")?;
            note(ledger, "first")
        });
        let refused = broker.writer.run(|_| Ok(Err::<(), _>(Error::Invalid("no".into()))));
        let go = async { gathered.send(()).expect("the writer waits") };

        let (first, second, failing, refused, ()) = tokio::join!(first, second, failing, refused, go);

        assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
        assert!(matches!(failing, Err(Error::Unavailable(_))), "{failing:?}");
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
        let count = |ledger: &Ledger<'_>| {
            ledger.db.query_row("SELECT count(*) FROM said", [], |row| row.get::<_, i64>(0)).map(Ok)
        };
        assert_eq!(broker.writer.run(count).await.unwrap(), 2);
    }
}
