//! Status reads, on a connection that only reads: they see the last commit and never wait for the writer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use uuid::Uuid;

use super::columns::{bytes, instant, instant_if_any, most, state, uuid_if_any};
use super::{Shared, class_code, schema};
use crate::{Class, GroupId, JobId};
use crate::{Error, Group, GroupResult, Index, Job, LINE_HEAD, Listed, QueueDepth, Result};

/// Readers kept open between reads.
const KEPT: usize = 4;

/// The connections nobody reads from at present.
#[derive(Default)]
pub(super) struct Readers(Mutex<Vec<Connection>>);

impl Readers {
    pub(super) fn take(&self, shared: &Shared) -> Result<Connection> {
        self.kept().map_or_else(|| schema::reader(&shared.file), Ok)
    }

    fn kept(&self) -> Option<Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    pub(super) fn put_back(&self, reader: Connection) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that could not end its read would see the same for ever.
        if kept.len() < KEPT && reader.is_autocommit() {
            kept.push(reader);
        }
    }
}

/// The store that the jobs belong to, once somebody has said so.
pub(super) fn store(db: &Connection) -> rusqlite::Result<Option<Uuid>> {
    db.prepare_cached("SELECT id FROM store")?.query_row([], |row| row.get(0).map(Uuid::from_bytes)).optional()
}

/// Runs a `read` of one record and few more where it is called: the pages are in memory nearly always, and reading them
/// takes a fraction of the time that another thread takes to wake up. Whatever would have to wait for another process, or
/// for a connection, goes to a thread that may.
pub(super) async fn look<T, F>(shared: &Arc<Shared>, read: F) -> Result<T>
where
    T: Send + 'static,
    F: Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
{
    // Who reads in a loop must let the others of its thread have their turn.
    tokio::task::coop::consume_budget().await;
    match at_once(shared, &read) {
        Some(Ok(found)) => Ok(found),
        Some(Err(error)) if error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) => Err(shared.failure(&error)),
        _ => self::read(shared, read).await,
    }
}

/// None where no connection is open that nobody reads from.
fn at_once<T>(shared: &Shared, read: impl Fn(&Connection) -> rusqlite::Result<T>) -> Option<rusqlite::Result<T>> {
    let reader = shared.readers.kept()?;
    let answer = reader.busy_timeout(Duration::ZERO).and_then(|()| read(&reader));
    let ready = reader.busy_timeout(schema::BUSY);
    shared.readers.put_back(reader);
    Some(answer.and_then(|found| ready.map(|()| found)))
}

/// Runs `read` on a thread that may block.
pub(super) async fn read<T, F>(shared: &Arc<Shared>, read: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
{
    let shared = Arc::clone(shared);
    let task = tokio::task::spawn_blocking(move || {
        let reader = shared.readers.take(&shared)?;
        let answer = read(&reader).map_err(|error| shared.failure(&error));
        shared.readers.put_back(reader);
        answer
    });
    task.await.unwrap_or_else(|error| Err(Error::Unavailable(format!("a read of the queue was cut short: {error}"))))
}

/// All that `read` asks for, as of one commit. The statements around it are kept ready, as its own are.
pub(super) fn at_one_instant<T>(
    db: &Connection,
    read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    db.prepare_cached("BEGIN")?.execute([])?;
    let answer = read(db);
    let ended = db.prepare_cached("COMMIT").and_then(|mut end| end.execute([]));
    // What failed first is the cause.
    answer.and_then(|found| ended.map(|_| found))
}

pub(super) fn group(db: &Connection, id: GroupId) -> rusqlite::Result<Option<Group>> {
    db.prepare_cached(
        "SELECT total, pending, succeeded, failed, cancelled, sealed, meta, created_at, finished_at, cancelling, next, \
         fired FROM grp LEFT JOIN follow_up ON follow_up.grp = grp.id WHERE id = ?1",
    )?
    .query_row([bytes(id)], |row| {
        Ok(Group {
            id,
            total: row.get(0)?,
            pending: row.get(1)?,
            succeeded: row.get(2)?,
            failed: row.get(3)?,
            cancelled: row.get(4)?,
            sealed: row.get(5)?,
            meta: row.get::<_, Vec<u8>>(6)?.into(),
            created_at: instant(row, 7)?,
            finished_at: instant_if_any(row, 8)?,
            cancelling: row.get(9)?,
            then: uuid_if_any(row, 10)?.map(Into::into),
            fired: row.get(11)?,
        })
    })
    .optional()
}

pub(super) fn results(db: &Connection, id: GroupId, from: u32, limit: usize) -> rusqlite::Result<Vec<GroupResult>> {
    db.prepare_cached(
        "SELECT idx, id, state, CASE WHEN state <> 5 THEN bytes END FROM job LEFT JOIN result USING (seq) \
         WHERE grp = ?1 AND idx >= ?2 AND state >= 3 ORDER BY idx LIMIT ?3",
    )?
    .query_map(params![bytes(id), from, most(limit)], |row| {
        Ok(GroupResult {
            index: row.get(0)?,
            job: Uuid::from_bytes(row.get(1)?).into(),
            state: state(row, 2)?,
            result: row.get::<_, Option<Vec<u8>>>(3)?.unwrap_or_default().into(),
        })
    })?
    .collect()
}

pub(super) fn job(db: &Connection, id: JobId) -> rusqlite::Result<Option<Job>> {
    db.prepare_cached(
        "SELECT grp, idx, kind, name, priority, state, attempt, max_attempts, stalls, payload.bytes, created_at, \
         finished_at, CASE WHEN state <> 5 THEN result.bytes END, alone, \
         cancelling OR state = 2 AND (SELECT cancelling FROM grp WHERE grp.id = job.grp), \
         (SELECT id FROM job AS other WHERE other.seq = job.after), retry_of, CASE WHEN state <> 0 THEN due END \
         FROM job JOIN queue ON queue.id = queue JOIN payload USING (seq) LEFT JOIN result USING (seq) WHERE job.id = ?1",
    )?
    .query_row([bytes(id)], |row| {
        Ok(Job {
            id,
            group: Uuid::from_bytes(row.get(0)?).into(),
            index: row.get(1)?,
            kind: row.get(2)?,
            queue: row.get(3)?,
            priority: row.get(4)?,
            state: state(row, 5)?,
            attempt: row.get(6)?,
            max_attempts: row.get(7)?,
            stalls: row.get(8)?,
            alone: row.get(13)?,
            cancelling: row.get(14)?,
            after: uuid_if_any(row, 15)?.map(Into::into),
            retry_of: uuid_if_any(row, 16)?.map(Into::into),
            payload: row.get::<_, Vec<u8>>(9)?.into(),
            created_at: instant(row, 10)?,
            due_at: instant_if_any(row, 17)?,
            finished_at: instant_if_any(row, 11)?,
            result: row.get::<_, Option<Vec<u8>>>(12)?.map(Into::into),
        })
    })
    .optional()
}

pub(super) fn list(db: &Connection, index: Index, skip: usize, limit: usize) -> rusqlite::Result<Vec<Listed>> {
    db.prepare_cached(match index {
        Index::Delayed => {
            "SELECT id, due FROM job WHERE state = 1 AND due IS NOT NULL ORDER BY due, seq LIMIT ?2 OFFSET ?1"
        }
        Index::Active => "SELECT id, due FROM job WHERE state = 2 ORDER BY due, seq LIMIT ?2 OFFSET ?1",
        Index::Dead => {
            "SELECT id, finished_at FROM job WHERE state = 4 AND retried = 0 \
             ORDER BY finished_at DESC, seq DESC LIMIT ?2 OFFSET ?1"
        }
    })?
    .query_map([most(skip), most(limit)], |row| {
        Ok(Listed { job: Uuid::from_bytes(row.get(0)?).into(), at: instant(row, 1)? })
    })?
    .collect()
}

pub(super) fn depths(db: &Connection) -> rusqlite::Result<Vec<QueueDepth>> {
    db.prepare_cached("SELECT name, waiting, delayed, active, paused FROM queue WHERE used OR paused ORDER BY name")?
        .query_map([], |row| {
            let count = |column| row.get::<_, i64>(column).map(|count| count as u64);
            Ok(QueueDepth {
                queue: row.get(0)?,
                waiting: count(1)?,
                delayed: count(2)?,
                active: count(3)?,
                paused: row.get(4)?,
            })
        })?
        .collect()
}

/// See [`Broker::oldest_waiting`](crate::Broker::oldest_waiting); `now` in milliseconds since 1970.
pub(super) fn oldest_waiting(db: &Connection, now: i64) -> rusqlite::Result<Vec<(String, Duration)>> {
    let mut first = db.prepare_cached(
        "SELECT min(since) FROM (SELECT coalesce(due, created_at) AS since FROM job \
         WHERE state = 0 AND queue = ?1 AND class = ?2 AND priority = ?3 ORDER BY place LIMIT ?4)",
    )?;
    let queues: Vec<(i64, String)> = db
        .prepare_cached("SELECT id, name FROM queue WHERE waiting > 0 ORDER BY name")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut found = Vec::new();
    for (queue, name) in queues {
        let mut oldest: Option<i64> = None;
        for class in [Class::Cpu, Class::Io] {
            for priority in 1..=10 {
                let line = params![queue, class_code(class), priority, most(LINE_HEAD)];
                let since: Option<i64> = first.query_row(line, |row| row.get(0))?;
                oldest = oldest.into_iter().chain(since).min();
            }
        }
        found.extend(oldest.map(|since| (name, Duration::from_millis((now - since).max(0) as u64))));
    }
    Ok(found)
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

        let told = failed.unwrap_err().to_string();
        assert!(told.contains("no such table: absent"), "{told}");
        assert!(reader.is_autocommit());
        assert_eq!(at_one_instant(&reader, queues), Ok(1));
        // As where SQLite has ended the transaction itself.
        let failed = at_one_instant(&reader, |db| {
            db.execute_batch("ROLLBACK")?;
            db.query_row("SELECT 1 FROM absent", [], |_| Ok(()))
        });
        let told = failed.unwrap_err().to_string();
        assert!(told.contains("no such table: absent"), "{told}");
    }
}
