//! What operators and the sweeper ask for: queues paused and resumed, old groups removed.

use rusqlite::{Connection, params};
use uuid::Uuid;

use super::columns::bytes;
use super::ledger::Ledger;
use super::reads;
use crate::CHUNK;
use crate::GroupId;

/// How far the removal of a group has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    /// It is unknown or has not finished.
    Refused,
    /// Jobs are left.
    Begun,
    Done,
}

impl Ledger<'_> {
    /// The store that the jobs belong to: `mine`, where it was none's.
    pub(super) fn store_or(&self, mine: Uuid) -> rusqlite::Result<Uuid> {
        if let Some(store) = reads::store(self.db)? {
            return Ok(store);
        }
        self.move_to_store(mine).map(|()| mine)
    }

    pub(super) fn move_to_store(&self, store: Uuid) -> rusqlite::Result<()> {
        self.db.prepare_cached("DELETE FROM store")?.execute([])?;
        self.db.prepare_cached("INSERT INTO store VALUES (?1)")?.execute([store.as_bytes()]).map(drop)
    }

    pub(super) fn pause(&self, queue: &str, paused: bool) -> rusqlite::Result<()> {
        if paused {
            let pause = "INSERT INTO queue (name, paused, used) VALUES (?1, 1, 0) \
                         ON CONFLICT (name) DO UPDATE SET paused = 1";
            return self.db.prepare_cached(pause)?.execute([queue]).map(drop);
        }
        self.db.prepare_cached("UPDATE queue SET paused = 0 WHERE name = ?1")?.execute([queue])?;
        self.db.prepare_cached("DELETE FROM queue WHERE name = ?1 AND NOT used")?.execute([queue])?;
        self.work_was_made();
        Ok(())
    }

    /// Removes the next chunk of a finished group's jobs; with the last one the group itself.
    pub(super) fn remove(&self, id: GroupId) -> rusqlite::Result<Removal> {
        let group = bytes(id);
        let finished = "SELECT 1 FROM grp WHERE id = ?1 AND finished_at IS NOT NULL";
        if !self.db.prepare_cached(finished)?.exists([group])? {
            return Ok(Removal::Refused);
        }
        let jobs: Vec<i64> = self
            .db
            .prepare_cached("SELECT seq FROM job WHERE grp = ?1 ORDER BY idx LIMIT ?2")?
            .query_map(params![group, CHUNK as i64], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for table in ["payload", "result", "job"] {
            let mut delete = self.db.prepare_cached(&format!("DELETE FROM {table} WHERE seq = ?1"))?;
            for job in &jobs {
                delete.execute([job])?;
            }
        }
        if jobs.len() == CHUNK {
            return Ok(Removal::Begun);
        }
        for table in ["walk WHERE grp", "follow_up WHERE grp", "grp WHERE id"] {
            self.db.prepare_cached(&format!("DELETE FROM {table} = ?1"))?.execute([group])?;
        }
        Ok(Removal::Done)
    }
}

/// Groups that finished up to the instant `until`, the oldest first.
pub(super) fn finished_groups(
    db: &Connection,
    until: i64,
    (skip, limit): (i64, i64),
) -> rusqlite::Result<Vec<GroupId>> {
    db.prepare_cached("SELECT id FROM grp WHERE finished_at <= ?1 ORDER BY finished_at, seq LIMIT ?3 OFFSET ?2")?
        .query_map([until, skip, limit], |row| Ok(Uuid::from_bytes(row.get(0)?).into()))?
        .collect()
}
