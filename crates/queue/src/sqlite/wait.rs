//! Waiting for work, mail or events: a notification from this process' writer, and every 100 ms a look whether another process
//! has committed anything.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, params};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::events::{self, Place};
use super::writer::{Lane, Writer};
use super::{Shared, class_code, mail};
use crate::Class;
use crate::{Error, Result};

const POLL: Duration = Duration::from_millis(100);
/// Delayed jobs that a look goes through: who waits for work has a claim's word on when the first of all is due.
const DELAYED: i64 = 1_000;

/// Waits for work. Never holds a job.
pub(super) async fn wait(shared: &Arc<Shared>, queues: &[String], class: Class, timeout: Duration) -> Result<()> {
    let queues = queues.to_vec();
    let mut first: Option<Option<i64>> = None;
    let look = move |db: &Connection| {
        let seen = look_for_work(db, &queues, class)?;
        let before = *first.get_or_insert(seen.first_due);
        Ok(seen.waiting || seen.first_due.is_some_and(|due| before.is_none_or(|first| due < first)))
    };
    watch(shared, &shared.work, Instant::now() + timeout, look).await.map(drop)
}

/// Takes the letters out of a mailbox once there are any.
pub(super) async fn collect(
    shared: &Arc<Shared>,
    writer: &Writer,
    mailbox: &str,
    timeout: Duration,
) -> Result<Vec<Bytes>> {
    let deadline = Instant::now() + timeout;
    loop {
        let (name, clock) = (mailbox.to_owned(), shared.clock.clone());
        let look = move |db: &Connection| mail::has_letters(db, &name, clock.now_ms());
        if !watch(shared, &shared.mail, deadline, look).await? {
            return Ok(Vec::new());
        }
        let name = mailbox.to_owned();
        let letters = writer.run(Lane::Drain, move |ledger| ledger.collect(&name).map(Ok)).await?;
        // Somebody else may have been faster.
        if !letters.is_empty() {
            return Ok(letters);
        }
    }
}

/// Waits for something to happen after another event.
pub(super) async fn await_event(shared: &Arc<Shared>, after: Option<Place>, timeout: Duration) -> Result<()> {
    let look = move |db: &Connection| events::is_news(db, after);
    watch(shared, &shared.events, Instant::now() + timeout, look).await.map(drop)
}

/// Looks at every commit until a look says yes, or until the deadline; which of the two it was.
async fn watch<F>(shared: &Arc<Shared>, news: &Notify, deadline: Instant, look: F) -> Result<bool>
where
    F: FnMut(&Connection) -> rusqlite::Result<bool> + Send + 'static,
{
    let mut eye = Eye { shared: Arc::clone(shared), look, reader: None, version: None };
    let seen = loop {
        // Subscribe before looking, or what is committed in between waits a full poll.
        let mut told = std::pin::pin!(news.notified());
        told.as_mut().enable();
        let (returned, seen) = eye.open().await?;
        eye = returned;
        if seen {
            break true;
        }
        let next_look = deadline.min(Instant::now() + POLL);
        if timeout_at(next_look, told).await.is_ok() {
            // Our own commit: look at once, whatever the version says.
            eye.version = None;
        } else if next_look == deadline {
            break false;
        }
    };
    if let Some(reader) = eye.reader.take() {
        shared.readers.put_back(reader);
    }
    Ok(seen)
}

/// One waiter's connection: `data_version` is only comparable with what the same connection said before.
struct Eye<F> {
    shared: Arc<Shared>,
    look: F,
    reader: Option<Connection>,
    version: Option<i64>,
}

impl<F> Eye<F>
where
    F: FnMut(&Connection) -> rusqlite::Result<bool> + Send + 'static,
{
    /// Looks where something was committed since the last look.
    async fn open(mut self) -> Result<(Self, bool)> {
        let task = tokio::task::spawn_blocking(move || {
            let reader = match self.reader.take() {
                Some(reader) => reader,
                None => self.shared.readers.take(&self.shared)?,
            };
            let seen = self.look(&reader).map_err(|error| self.shared.failure(&error))?;
            self.reader = Some(reader);
            Ok((self, seen))
        });
        task.await
            .unwrap_or_else(|error| Err(Error::Unavailable(format!("a look at the queue was cut short: {error}"))))
    }

    fn look(&mut self, db: &Connection) -> rusqlite::Result<bool> {
        let version = db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.version.replace(version) == Some(version) {
            return Ok(false);
        }
        (self.look)(db)
    }
}

/// What an idle worker looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sight {
    waiting: bool,
    first_due: Option<i64>,
}

fn look_for_work(db: &Connection, queues: &[String], class: Class) -> rusqlite::Result<Sight> {
    let mut waits = db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM queue JOIN job ON job.queue = queue.id \
         WHERE queue.name = ?1 AND NOT queue.paused AND queue.waiting > 0 AND job.state = 0 AND job.class = ?2)",
    )?;
    let mut due = db.prepare_cached(
        "SELECT min(due) FROM (SELECT due, queue, class FROM job WHERE state = 1 AND due IS NOT NULL ORDER BY due LIMIT ?3) \
         WHERE class = ?2 AND queue = (SELECT id FROM queue WHERE name = ?1 AND NOT paused)",
    )?;
    let mut seen = Sight { waiting: false, first_due: None };
    for queue in queues {
        seen.waiting = seen.waiting || waits.query_row(params![queue, class_code(class)], |row| row.get(0))?;
        let first: Option<i64> = due.query_row(params![queue, class_code(class), DELAYED], |row| row.get(0))?;
        seen.first_due = seen.first_due.into_iter().chain(first).min();
    }
    Ok(seen)
}
