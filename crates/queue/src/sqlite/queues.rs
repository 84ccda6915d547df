//! Queues: pause and resume, their depths, and how long their jobs wait.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::encoding::{class_code, row_count};
use super::ledger::Ledger;
use crate::{Class, LINE_HEAD, QueueDepth};

impl Ledger<'_> {
    pub(super) fn pause(&self, queue: &str, paused: bool) -> rusqlite::Result<()> {
        if paused {
            let pause = "INSERT INTO queue (name, paused, used) VALUES (?1, 1, 0) \
                         ON CONFLICT (name) DO UPDATE SET paused = 1";
            return self.db.prepare_cached(pause)?.execute([queue]).map(drop);
        }
        self.db.prepare_cached("UPDATE queue SET paused = 0 WHERE name = ?1")?.execute([queue])?;
        self.db.prepare_cached("DELETE FROM queue WHERE name = ?1 AND NOT used")?.execute([queue])?;
        self.wake_workers();
        Ok(())
    }
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
                let line = params![queue, class_code(class), priority, row_count(LINE_HEAD)];
                let since: Option<i64> = first.query_row(line, |row| row.get(0))?;
                oldest = oldest.into_iter().chain(since).min();
            }
        }
        found.extend(oldest.map(|since| (name, Duration::from_millis((now - since).max(0) as u64))));
    }
    Ok(found)
}
