//! Finished groups: which are old, and the removal of their records.

use rusqlite::{Connection, params};
use uuid::Uuid;

use super::encoding::{id_bytes, row_count};
use super::ledger::Ledger;
use crate::GroupId;
use crate::contract::CHUNK;

/// How far the removal of a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    /// The group is unknown or unfinished.
    Refused,
    /// Jobs are left.
    Begun,
    Done,
}

impl Ledger<'_> {
    /// Removes the next chunk of a finished group's jobs; with the last chunk, the group itself.
    pub(super) fn remove(&self, id: GroupId) -> rusqlite::Result<Removal> {
        let group = id_bytes(id);
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
        for table in ["walk WHERE grp", "follow_up WHERE grp", "label WHERE grp", "grp WHERE id"] {
            self.db.prepare_cached(&format!("DELETE FROM {table} = ?1"))?.execute([group])?;
        }
        Ok(Removal::Done)
    }
}

/// Groups that finished at the instant `until` or before, the earliest first.
pub(super) fn finished_groups(
    db: &Connection,
    until: i64,
    skip: usize,
    limit: usize,
) -> rusqlite::Result<Vec<GroupId>> {
    db.prepare_cached("SELECT id FROM grp WHERE finished_at <= ?1 ORDER BY finished_at, seq LIMIT ?3 OFFSET ?2")?
        .query_map([until, row_count(skip), row_count(limit)], |row| Ok(Uuid::from_bytes(row.get(0)?).into()))?
        .collect()
}
