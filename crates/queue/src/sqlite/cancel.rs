//! Cancels of a job, of a group, and of what waits in a queue. Long ones are done in chunks, one transaction each, so
//! that other calls are served in between.

use rusqlite::{Connection, OptionalExtension, params};

use super::encoding::id_bytes;
use super::job_row::JobRow;
use super::ledger::Ledger;
use super::tally::Tally;
use crate::contract::CHUNK;
use crate::{GroupId, JobId, State};

/// One chunk of a group's cancel.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CancelledChunk {
    /// Number of jobs that it ended.
    pub(super) ended: u64,
    /// Jobs of the group are left.
    pub(super) more: bool,
}

impl Ledger<'_> {
    pub(super) fn cancel_job(&self, id: JobId) -> rusqlite::Result<Option<State>> {
        let Some(job) = self.job_row(id)? else { return Ok(None) };
        match job.state {
            State::Waiting | State::Delayed => {
                let mut tally = Tally::default();
                self.end(&mut tally, job, State::Cancelled)?;
                self.write_counters(tally)?;
                Ok(Some(State::Cancelled))
            }
            State::Active => {
                self.db.prepare_cached("UPDATE job SET cancelling = 1 WHERE seq = ?1")?.execute([job.seq])?;
                Ok(Some(State::Active))
            }
            ended @ (State::Succeeded | State::Failed | State::Cancelled) => Ok(Some(ended)),
        }
    }

    /// Marks a group as cancelled, seals it if `seal`, and cancels the first chunk of its jobs; `None` if the group is
    /// unknown.
    pub(super) fn cancel_group(&self, id: GroupId, seal: bool) -> rusqlite::Result<Option<CancelledChunk>> {
        let group = id_bytes(id);
        let before: Option<(bool, bool)> = self
            .db
            .prepare_cached("SELECT cancelling, finished_at IS NOT NULL FROM grp WHERE id = ?1")?
            .query_row([group], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((cancelling, finished)) = before else { return Ok(None) };
        if !cancelling {
            self.db.prepare_cached("UPDATE grp SET cancelling = 1 WHERE id = ?1")?.execute([group])?;
            if !finished {
                self.db.prepare_cached("INSERT INTO walk VALUES (?1, 0)")?.execute([group])?;
            }
        }
        if seal {
            self.seal(group)?;
        }
        self.cancel_chunk(group).map(Some)
    }

    /// Ends the waiting and delayed jobs in the next chunk of a cancelled group. Jobs in earlier chunks cannot wait
    /// again, because whatever would let them wait ends them.
    pub(super) fn cancel_chunk(&self, group: [u8; 16]) -> rusqlite::Result<CancelledChunk> {
        let from: Option<i64> = self
            .db
            .prepare_cached("SELECT next FROM walk WHERE grp = ?1")?
            .query_row([group], |row| row.get(0))
            .optional()?;
        let Some(from) = from else { return Ok(CancelledChunk::default()) };
        let next = from + CHUNK as i64;
        let open: Vec<JobRow> = self
            .db
            .prepare_cached(
                "SELECT seq, id, queue, grp, state FROM job \
                 WHERE grp = ?1 AND idx >= ?2 AND idx < ?3 AND state <= 1 ORDER BY idx",
            )?
            .query_map(params![group, from, next], JobRow::read)?
            .collect::<rusqlite::Result<_>>()?;
        let ended = self.cancel(open)?;
        let more =
            self.db.prepare_cached("SELECT 1 FROM job WHERE grp = ?1 AND idx >= ?2")?.exists(params![group, next])?;
        if more {
            self.db.prepare_cached("UPDATE walk SET next = ?2 WHERE grp = ?1")?.execute(params![group, next])?;
        } else {
            self.db.prepare_cached("DELETE FROM walk WHERE grp = ?1")?.execute([group])?;
        }
        Ok(CancelledChunk { ended, more })
    }

    /// Does the next chunk of one unfinished cancel; the process that began it may have died.
    pub(super) fn continue_a_cancel(&self) -> rusqlite::Result<()> {
        let group =
            self.db.prepare_cached("SELECT grp FROM walk LIMIT 1")?.query_row([], |row| row.get(0)).optional()?;
        group.map_or(Ok(()), |group| self.cancel_chunk(group).map(drop))
    }

    /// Whether a cancel has not reached all jobs of its group yet.
    pub(super) fn has_unfinished_cancel(&self) -> rusqlite::Result<bool> {
        self.db.prepare_cached("SELECT 1 FROM walk")?.exists([])
    }

    /// Cancels those of `jobs`, given by row, that still wait or are delayed. Returns their number.
    pub(super) fn cancel_open(&self, jobs: &[i64]) -> rusqlite::Result<u64> {
        let mut find =
            self.db.prepare_cached("SELECT seq, id, queue, grp, state FROM job WHERE seq = ?1 AND state <= 1")?;
        let mut open = Vec::with_capacity(jobs.len());
        for seq in jobs {
            open.extend(find.query_row([seq], JobRow::read).optional()?);
        }
        self.cancel(open)
    }

    fn cancel(&self, jobs: Vec<JobRow>) -> rusqlite::Result<u64> {
        let mut tally = Tally::default();
        for job in jobs {
            self.end(&mut tally, job, State::Cancelled)?;
        }
        let ended = tally.cancelled();
        self.write_counters(tally)?;
        Ok(ended)
    }
}

/// The rows of the jobs that wait or are delayed in a queue.
pub(super) fn open_jobs(db: &Connection, queue: &str) -> rusqlite::Result<Vec<i64>> {
    let mut open = Vec::new();
    // One statement for each state, because each state has an index of its own.
    for state in [
        "SELECT seq FROM job WHERE state = 0 AND queue = (SELECT id FROM queue WHERE name = ?1)",
        "SELECT seq FROM job WHERE state = 1 AND queue = (SELECT id FROM queue WHERE name = ?1)",
    ] {
        for seq in db.prepare_cached(state)?.query_map([queue], |row| row.get(0))? {
            open.push(seq?);
        }
    }
    open.sort_unstable();
    Ok(open)
}
