//! The records of groups and jobs.

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::encoding::{id_bytes, instant, optional_instant, optional_uuid, row_count, state};
use crate::{Group, GroupId, GroupResult, Job, JobId};

pub(super) fn group(db: &Connection, id: GroupId) -> rusqlite::Result<Option<Group>> {
    db.prepare_cached(
        "SELECT total, pending, succeeded, failed, cancelled, sealed, meta, created_at, finished_at, cancelling, next, \
         fired FROM grp LEFT JOIN follow_up ON follow_up.grp = grp.id WHERE id = ?1",
    )?
    .query_row([id_bytes(id)], |row| {
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
            finished_at: optional_instant(row, 8)?,
            cancelling: row.get(9)?,
            then: optional_uuid(row, 10)?.map(Into::into),
            fired: row.get(11)?,
        })
    })
    .optional()
}

/// See [`Broker::results`](crate::Broker::results). A cancelled job has a result only if it was never claimed: then it says
/// that it expired, and otherwise why a former attempt failed.
pub(super) fn results(db: &Connection, id: GroupId, from: u32, limit: usize) -> rusqlite::Result<Vec<GroupResult>> {
    db.prepare_cached(
        "SELECT idx, id, state, CASE WHEN state <> 5 OR runs = 0 THEN bytes END FROM job LEFT JOIN result USING (seq) \
         WHERE grp = ?1 AND idx >= ?2 AND state >= 3 ORDER BY idx LIMIT ?3",
    )?
    .query_map(params![id_bytes(id), from, row_count(limit)], |row| {
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
         finished_at, CASE WHEN state <> 5 OR runs = 0 THEN result.bytes END, alone, \
         cancelling OR state = 2 AND (SELECT cancelling FROM grp WHERE grp.id = job.grp), \
         (SELECT id FROM job AS other WHERE other.seq = job.after), retry_of, CASE WHEN state <> 0 THEN due END, expires \
         FROM job JOIN queue ON queue.id = queue JOIN payload USING (seq) LEFT JOIN result USING (seq) WHERE job.id = ?1",
    )?
    .query_row([id_bytes(id)], |row| {
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
            after: optional_uuid(row, 15)?.map(Into::into),
            retry_of: optional_uuid(row, 16)?.map(Into::into),
            payload: row.get::<_, Vec<u8>>(9)?.into(),
            created_at: instant(row, 10)?,
            due_at: optional_instant(row, 17)?,
            expires_at: optional_instant(row, 18)?,
            finished_at: optional_instant(row, 11)?,
            result: row.get::<_, Option<Vec<u8>>>(12)?.map(Into::into),
        })
    })
    .optional()
}
