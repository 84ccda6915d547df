//! Connections that only read: a few are kept open between reads.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::schema;
use crate::Result;

/// Largest number of connections that are kept open.
const KEPT: usize = 4;

/// The connections to one file that nobody reads from at present.
pub(super) struct Readers {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file, idle: Mutex::default() }
    }

    /// An idle connection, or a new one.
    pub(super) fn take(&self) -> Result<Connection> {
        self.take_idle().map_or_else(|| schema::reader(&self.file), Ok)
    }

    /// `None` if no connection is idle.
    pub(super) fn take_idle(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Keeps a connection for the next read.
    pub(super) fn put_back(&self, reader: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // A connection whose transaction did not end would always see the same commit.
        if idle.len() < KEPT && reader.is_autocommit() {
            idle.push(reader);
        }
    }
}

/// Runs `read` in one transaction, so that all its statements see the same commit. BEGIN and COMMIT are prepared once,
/// as the statements of `read` are.
pub(super) fn at_one_instant<T>(
    db: &Connection,
    read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    db.prepare_cached("BEGIN")?.execute([])?;
    let answer = read(db);
    let ended = db.prepare_cached("COMMIT").and_then(|mut end| end.execute([]));
    // If both fail, the first error is the cause.
    answer.and_then(|found| ended.map(|_| found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_that_fails_tells_why_and_leaves_the_connection_free() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("queue.db");
        let writer = schema::writer(&file, schema::Synchronous::Off).unwrap();
        let reader = schema::reader(&file).unwrap();
        let queues = |db: &Connection| {
            db.prepare_cached("SELECT count(*) FROM queue")?.query_row([], |row| row.get::<_, i64>(0))
        };

        let failed = at_one_instant(&reader, |db| queues(db).and(db.query_row("SELECT 1 FROM absent", [], |_| Ok(()))));
        writer.execute("INSERT INTO queue (name) VALUES ('late')", []).unwrap();

        let text = failed.unwrap_err().to_string();
        assert!(text.contains("no such table: absent"), "{text}");
        assert!(reader.is_autocommit());
        assert_eq!(at_one_instant(&reader, queues), Ok(1));
        // SQLite may also have ended the transaction itself.
        let failed = at_one_instant(&reader, |db| {
            db.execute_batch("ROLLBACK")?;
            db.query_row("SELECT 1 FROM absent", [], |_| Ok(()))
        });
        let text = failed.unwrap_err().to_string();
        assert!(text.contains("no such table: absent"), "{text}");
    }
}
