//! What the writer and the readers of one process share, and how reads are run.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::Notify;
use tracing::error;

use super::disk::MakeRoom;
use super::readers::Readers;
use super::{failure, schema};
use crate::{Clock, Error, Policy, Result};

pub(super) struct Shared {
    pub(super) file: PathBuf,
    pub(super) policy: Policy,
    pub(super) clock: Clock,
    pub(super) make_room: MakeRoom,
    pub(super) readers: Readers,
    /// Notified after a commit that made jobs wait.
    pub(super) work: Notify,
    /// Notified after a commit that posted a letter.
    pub(super) mail: Notify,
    /// Notified after a commit that recorded events.
    pub(super) events: Notify,
    /// The first error that showed that the file is damaged.
    pub(super) damage: OnceLock<String>,
}

impl Shared {
    pub(super) fn new(file: PathBuf, policy: Policy, clock: Clock, make_room: MakeRoom) -> Self {
        Self {
            readers: Readers::new(file.clone()),
            file,
            policy,
            clock,
            make_room,
            work: Notify::new(),
            mail: Notify::new(),
            events: Notify::new(),
            damage: OnceLock::new(),
        }
    }

    /// The error for the caller of a call that failed. Damage is logged once and noted: from then on the queue takes no
    /// new work, because some reads and writes of a damaged file still succeed by chance.
    pub(super) fn failure(&self, error: &rusqlite::Error) -> Error {
        let failure = failure::explain(&self.file, error);
        if let Error::Incompatible(damage) = &failure
            && self.damage.set(damage.clone()).is_ok()
        {
            error!("{damage}");
        }
        failure
    }

    /// Runs `read` on a thread that may block.
    pub(super) async fn read<T, F>(self: &Arc<Self>, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let shared = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let reader = shared.readers.take()?;
            let answer = read(&reader).map_err(|error| shared.failure(&error));
            shared.readers.put_back(reader);
            answer
        });
        task.await
            .unwrap_or_else(|error| Err(Error::Unavailable(format!("a read of the queue was cut short: {error}"))))
    }

    /// Runs a short `read` on the caller's thread. The pages are nearly always in memory, and reading them takes a
    /// fraction of the time that another thread takes to wake up. If it would have to wait for another process or for a
    /// connection, it runs on a thread that may block.
    pub(super) async fn read_inline<T, F>(self: &Arc<Self>, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        // Without this, a caller that reads in a loop would never let other tasks of its thread run.
        tokio::task::coop::consume_budget().await;
        match self.try_read(&read) {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) if error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) => Err(self.failure(&error)),
            _ => self.read(read).await,
        }
    }

    /// Reads without waiting for other processes; `None` if no connection is idle.
    fn try_read<T>(&self, read: impl Fn(&Connection) -> rusqlite::Result<T>) -> Option<rusqlite::Result<T>> {
        let reader = self.readers.take_idle()?;
        let answer = reader.busy_timeout(Duration::ZERO).and_then(|()| read(&reader));
        let ready = reader.busy_timeout(schema::BUSY);
        self.readers.put_back(reader);
        Some(answer.and_then(|found| ready.map(|()| found)))
    }
}
