//! Waits for work, letters or events. This process' writer notifies; every 100 ms the file is also checked for commits
//! of other processes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, params};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::encoding::class_code;
use super::events::{self, EventId};
use super::lanes::Lane;
use super::shared::Shared;
use super::workers;
use super::writer::Writer;
use crate::{Class, Error, Result};

const POLL: Duration = Duration::from_millis(100);
/// Largest number of delayed jobs that a check reads, by due time. The answer to a claim says when the first of all is
/// due.
const DELAYED: i64 = 1_000;

/// Returns when there may be work in `queues`, or after `timeout`.
pub(super) async fn wait(shared: &Arc<Shared>, queues: &[String], class: Class, timeout: Duration) -> Result<()> {
    let queues = queues.to_vec();
    let mut first: Option<Option<i64>> = None;
    let check = move |db: &Connection| {
        let seen = find_work(db, &queues, class)?;
        let before = *first.get_or_insert(seen.first_due);
        Ok(seen.waiting || seen.first_due.is_some_and(|due| before.is_none_or(|first| due < first)))
    };
    watch(shared, &shared.work, Instant::now() + timeout, check).await.map(drop)
}

/// Takes the letters out of a mailbox when there are any; empty after `timeout`.
pub(super) async fn collect(
    shared: &Arc<Shared>,
    writer: &Writer,
    mailbox: &str,
    timeout: Duration,
) -> Result<Vec<Bytes>> {
    let deadline = Instant::now() + timeout;
    loop {
        let (name, clock) = (mailbox.to_owned(), shared.clock.clone());
        let check = move |db: &Connection| workers::has_letters(db, &name, clock.now_ms());
        if !watch(shared, &shared.mail, deadline, check).await? {
            return Ok(Vec::new());
        }
        let name = mailbox.to_owned();
        let letters = writer.run(Lane::Drain, move |ledger| ledger.collect(&name).map(Ok)).await?;
        // Another caller may have taken them first.
        if !letters.is_empty() {
            return Ok(letters);
        }
    }
}

/// Returns when there is an event after another one, or after `timeout`.
pub(super) async fn await_event(shared: &Arc<Shared>, after: Option<EventId>, timeout: Duration) -> Result<()> {
    let check = move |db: &Connection| events::has_later(db, after);
    watch(shared, &shared.events, Instant::now() + timeout, check).await.map(drop)
}

/// Calls `check` after each commit until it returns `true`, or until the deadline. Returns what the last call returned.
async fn watch<F>(shared: &Arc<Shared>, commits: &Notify, deadline: Instant, check: F) -> Result<bool>
where
    F: FnMut(&Connection) -> rusqlite::Result<bool> + Send + 'static,
{
    let mut watcher = Watcher { shared: Arc::clone(shared), check, reader: None, version: None };
    let seen = loop {
        // Subscribe before the check, or a commit in between would be seen only after a full poll.
        let mut notified = std::pin::pin!(commits.notified());
        notified.as_mut().enable();
        let (returned, seen) = watcher.check().await?;
        watcher = returned;
        if seen {
            break true;
        }
        let next_check = deadline.min(Instant::now() + POLL);
        if timeout_at(next_check, notified).await.is_ok() {
            // A commit of this process: check at once, even if the version is the same.
            watcher.version = None;
        } else if next_check == deadline {
            break false;
        }
    };
    if let Some(reader) = watcher.reader.take() {
        shared.readers.put_back(reader);
    }
    Ok(seen)
}

/// A waiter and its connection: values of `data_version` can be compared only if they come from the same connection.
struct Watcher<F> {
    shared: Arc<Shared>,
    check: F,
    reader: Option<Connection>,
    version: Option<i64>,
}

impl<F> Watcher<F>
where
    F: FnMut(&Connection) -> rusqlite::Result<bool> + Send + 'static,
{
    /// Calls `check` on a thread that may block, if something was committed since the last call.
    async fn check(mut self) -> Result<(Self, bool)> {
        let task = tokio::task::spawn_blocking(move || {
            let reader = match self.reader.take() {
                Some(reader) => reader,
                None => self.shared.readers.take()?,
            };
            let seen = self.check_if_changed(&reader).map_err(|error| self.shared.failure(&error))?;
            self.reader = Some(reader);
            Ok((self, seen))
        });
        task.await
            .unwrap_or_else(|error| Err(Error::Unavailable(format!("a look at the queue was cut short: {error}"))))
    }

    fn check_if_changed(&mut self, db: &Connection) -> rusqlite::Result<bool> {
        let version = db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.version.replace(version) == Some(version) {
            return Ok(false);
        }
        (self.check)(db)
    }
}

/// Work for an idle worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Work {
    /// Jobs wait.
    waiting: bool,
    /// When the first delayed job is due, in milliseconds since 1970.
    first_due: Option<i64>,
}

fn find_work(db: &Connection, queues: &[String], class: Class) -> rusqlite::Result<Work> {
    let mut waits = db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM queue JOIN job ON job.queue = queue.id \
         WHERE queue.name = ?1 AND NOT queue.paused AND queue.waiting > 0 AND job.state = 0 AND job.class = ?2)",
    )?;
    let mut due = db.prepare_cached(
        "SELECT min(due) FROM (SELECT due, queue, class FROM job WHERE state = 1 AND due IS NOT NULL ORDER BY due LIMIT ?3) \
         WHERE class = ?2 AND queue = (SELECT id FROM queue WHERE name = ?1 AND NOT paused)",
    )?;
    let mut seen = Work { waiting: false, first_due: None };
    for queue in queues {
        seen.waiting = seen.waiting || waits.query_row(params![queue, class_code(class)], |row| row.get(0))?;
        let first: Option<i64> = due.query_row(params![queue, class_code(class), DELAYED], |row| row.get(0))?;
        seen.first_due = seen.first_due.into_iter().chain(first).min();
    }
    Ok(seen)
}
