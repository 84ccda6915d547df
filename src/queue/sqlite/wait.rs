//! Waiting for work: a notification from this process' writer, and every 100 ms a look whether another process has
//! committed anything.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, params};
use tokio::time::{Instant, timeout_at};

use super::super::{Error, Result};
use super::writer::unavailable;
use super::{Shared, class_code};
use crate::job::Class;

const POLL: Duration = Duration::from_millis(100);

/// What an idle worker looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sight {
    waiting: bool,
    first_due: Option<i64>,
}

pub(super) async fn wait(shared: &Arc<Shared>, queues: &[String], class: Class, timeout: Duration) -> Result<()> {
    let deadline = Instant::now() + timeout;
    let mut eye = Eye { shared: Arc::clone(shared), queues: queues.to_vec(), class, reader: None, version: None };
    let mut first: Option<Sight> = None;
    loop {
        // Subscribe before looking, or a job enqueued in between waits a full poll.
        let mut told = std::pin::pin!(shared.work.notified());
        told.as_mut().enable();
        let (returned, seen) = look(eye).await?;
        eye = returned;
        if let Some(seen) = seen {
            let before = *first.get_or_insert(seen);
            if seen.waiting || seen.first_due.is_some_and(|due| before.first_due.is_none_or(|first| due < first)) {
                break;
            }
        }
        let next_look = deadline.min(Instant::now() + POLL);
        if timeout_at(next_look, told).await.is_ok() {
            // Our own commit: look at once, whatever the version says.
            eye.version = None;
        } else if next_look == deadline {
            break;
        }
    }
    if let Some(reader) = eye.reader.take() {
        shared.readers.put_back(reader);
    }
    Ok(())
}

/// One waiter's connection: `data_version` is only comparable with what the same connection said before.
struct Eye {
    shared: Arc<Shared>,
    queues: Vec<String>,
    class: Class,
    reader: Option<Connection>,
    version: Option<i64>,
}

/// Looks where something was committed since the last look; none where nothing was.
async fn look(mut eye: Eye) -> Result<(Eye, Option<Sight>)> {
    let task = tokio::task::spawn_blocking(move || {
        let shared = Arc::clone(&eye.shared);
        let reader = match eye.reader.take() {
            Some(reader) => reader,
            None => shared.readers.take(&shared)?,
        };
        let seen = eye.look(&reader).map_err(|error| unavailable(&shared.file, &error))?;
        eye.reader = Some(reader);
        Ok((eye, seen))
    });
    task.await.unwrap_or_else(|error| Err(Error::Unavailable(format!("a look at the queue was cut short: {error}"))))
}

impl Eye {
    fn look(&mut self, db: &Connection) -> rusqlite::Result<Option<Sight>> {
        let version = db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.version.replace(version) == Some(version) {
            return Ok(None);
        }
        let mut waits = db.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM queue JOIN job ON job.queue = queue.id \
             WHERE queue.name = ?1 AND queue.waiting > 0 AND job.state = 0 AND job.class = ?2)",
        )?;
        let mut waiting = false;
        for queue in &self.queues {
            waiting = waiting || waits.query_row(params![queue, class_code(self.class)], |row| row.get(0))?;
        }
        let first_due =
            db.prepare_cached("SELECT min(due) FROM job WHERE state = 1")?.query_row([], |row| row.get(0))?;
        Ok(Some(Sight { waiting, first_due }))
    }
}
