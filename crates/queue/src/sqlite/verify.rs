//! Whether the file still holds what was written, asked once when a service or a worker starts.
//!
//! SQLite's own check finds pages that are broken and indexes that do not fit their tables. What it cannot know is
//! that counters equal the jobs that they count, and that each open job has a payload. Payloads and results bear
//! checksums of their own.

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension};

use super::schema;
use super::writer::{damaged, unavailable};
use crate::{Error, Result};

/// Each yields a row where something is wrong, and its first column says what. A group that has finished may be on its
/// way to be removed, and is not looked at.
const RULES: [&str; 4] = [
    "SELECT 'a job is in no known state' FROM job WHERE state NOT BETWEEN 0 AND 5",
    "SELECT 'the jobs of a group are not as many as it counts' FROM grp LEFT JOIN \
     (SELECT grp, count(*) AS total, sum(state <= 2) AS pending, sum(state = 3) AS succeeded, sum(state = 4) AS failed, \
     sum(state = 5) AS cancelled FROM job GROUP BY grp) AS truth ON truth.grp = grp.id \
     WHERE grp.finished_at IS NULL AND (grp.total, grp.pending, grp.succeeded, grp.failed, grp.cancelled) IS NOT \
     (coalesce(truth.total, 0), coalesce(truth.pending, 0), coalesce(truth.succeeded, 0), coalesce(truth.failed, 0), \
     coalesce(truth.cancelled, 0))",
    "SELECT 'the jobs of a queue are not as many as it counts' FROM queue LEFT JOIN \
     (SELECT queue, sum(state = 0) AS waiting, sum(state = 1) AS delayed, sum(state = 2) AS active FROM job \
     WHERE state <= 2 GROUP BY queue) AS truth ON truth.queue = queue.id \
     WHERE (queue.waiting, queue.delayed, queue.active) IS NOT \
     (coalesce(truth.waiting, 0), coalesce(truth.delayed, 0), coalesce(truth.active, 0))",
    "SELECT 'a job has no payload' FROM job WHERE state <= 2 AND seq NOT IN (SELECT seq FROM payload)",
];

/// Looks at all of the file, for no longer than `limit`; answers whether it came to the end.
///
/// # Errors
/// `Incompatible` where it is damaged, with what to do.
pub(super) fn verify(file: &Path, limit: Duration) -> Result<bool> {
    let db = schema::reader(file)?;
    let interrupt = db.get_interrupt_handle();
    let (done, ended) = mpsc::channel::<()>();
    let watch = thread::spawn(move || {
        if ended.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            interrupt.interrupt();
        }
    });
    let found = look(&db);
    drop(done);
    watch.join().expect("it waits and interrupts");
    match found {
        Ok(None) => Ok(true),
        Ok(Some(wrong)) => Err(damaged(file, &wrong)),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => Ok(false),
        Err(error) => Err(unavailable(file, &error)),
    }
}

/// What is wrong, at one instant.
fn look(db: &Connection) -> rusqlite::Result<Option<String>> {
    let transaction = db.unchecked_transaction()?;
    let said: String = transaction.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if said != "ok" {
        return Ok(Some(said.lines().collect::<Vec<_>>().join(" ")));
    }
    for rule in RULES {
        let wrong = transaction.query_row(rule, [], |row| row.get(0)).optional()?;
        if wrong.is_some() {
            return Ok(wrong);
        }
    }
    Ok(None)
}

impl Error {
    /// Whether the broker's own file is damaged.
    #[cfg(test)]
    fn says_damaged(&self) -> bool {
        matches!(self, Self::Incompatible(said) if said.contains("is damaged"))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{Broker, Clock, NewGroup, NewJob, Policy};
    use crate::{Class, GroupId};

    const LONG: Duration = Duration::from_mins(1);

    /// A queue with groups that wait, closed.
    async fn queue(folder: &Path) -> std::path::PathBuf {
        let file = folder.join("queue.db");
        let broker = Broker::open_sqlite_unsynced(&file, Policy::default(), Clock::default()).unwrap();
        for _ in 0..20 {
            let job = || NewJob::new("image.process", "default", Class::Cpu, Bytes::from(vec![b'x'; 300]));
            let jobs: Vec<NewJob> = (0..20).map(|index| NewJob { index, ..job() }).collect();
            broker.enqueue(&NewGroup::new(GroupId::new(), Bytes::from_static(b"{}")), &jobs).await.unwrap();
        }
        let claim = crate::ClaimRequest {
            session: "s".into(),
            sequence: 1,
            queues: vec!["default".into()],
            class: Class::Cpu,
            limit: 7,
        };
        broker.claim(&claim).await.unwrap();
        assert!(broker.verify(LONG).await.unwrap());
        drop(broker);
        // As its last user closes it, all of it is in the one file.
        let log = folder.join("queue.db-wal");
        while log.exists() {
            tokio::task::yield_now().await;
        }
        file
    }

    #[tokio::test]
    async fn whole_file_is_looked_at_or_not_for_longer_than_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let file = queue(folder.path()).await;
        assert!(verify(&file, LONG).unwrap());
        // Too short for anything, or just enough: it is no error.
        verify(&file, Duration::ZERO).unwrap();
    }

    #[tokio::test]
    async fn changes_that_leave_whole_pages_are_found() {
        for change in [
            "UPDATE job SET state = 9 WHERE seq = 30",
            "UPDATE job SET state = 3 WHERE seq = 30",
            "UPDATE grp SET total = total + 64 WHERE seq = 3",
            "UPDATE grp SET pending = pending - 1 WHERE seq = 3",
            "UPDATE queue SET waiting = waiting + 1",
            "DELETE FROM payload WHERE seq = 30",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let file = queue(folder.path()).await;
            let db = Connection::open(&file).unwrap();
            db.execute_batch(change).unwrap();
            let error = verify(&file, LONG).expect_err(change);
            assert!(error.says_damaged() && error.to_string().contains("move"), "{change}: {error}");
        }
    }

    #[tokio::test]
    async fn broken_pages_are_found_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = queue(folder.path()).await;
        let whole = std::fs::read(&file).unwrap();
        let mut found = 0;
        // The first bytes of each page say what it is and where its cells are.
        let pages = whole.len() / 4096;
        for page in 1..pages {
            let mut changed = whole.clone();
            changed[page * 4096 + 3] ^= 0x10;
            std::fs::write(&file, &changed).unwrap();
            // Some pages are free, or a part of a longer record.
            if let Err(error) = verify(&file, LONG) {
                assert!(error.says_damaged(), "{error}");
                found += 1;
            }
        }
        assert!(found * 2 > pages, "{found} of {pages}");
    }
}
