//! Cancelling: a job, a group, what waits in a queue. Long ones go in chunks, between which the writer serves others.

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::bytes;
use super::ledger::{Ledger, Standing, Tally};
use crate::CHUNK;
use crate::{GroupId, JobId, State};

/// What one chunk did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Walked {
    pub(super) ended: u64,
    /// There are jobs left to look at.
    pub(super) more: bool,
}

impl Ledger<'_> {
    pub(super) fn cancel_job(&self, id: JobId) -> rusqlite::Result<Option<State>> {
        let Some(job) = self.standing(bytes(id))? else { return Ok(None) };
        match job.state {
            State::Waiting | State::Delayed => {
                let mut tally = Tally::default();
                self.end(&mut tally, job, State::Cancelled)?;
                self.write(tally)?;
                Ok(Some(State::Cancelled))
            }
            State::Active => {
                self.db.prepare_cached("UPDATE job SET cancelling = 1 WHERE seq = ?1")?.execute([job.seq])?;
                Ok(Some(State::Active))
            }
            ended @ (State::Succeeded | State::Failed | State::Cancelled) => Ok(Some(ended)),
        }
    }

    /// Orders a group's cancel, seals it where no more jobs come, and ends the first of its jobs that wait; `None` where it
    /// is unknown.
    pub(super) fn cancel_group(&self, id: GroupId, seal: bool) -> rusqlite::Result<Option<Walked>> {
        let group = bytes(id);
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
        self.walk(group).map(Some)
    }

    /// Ends what waits among the next chunk of a cancelled group's jobs. A claim ends what it meets, so whatever lies
    /// behind never waits again.
    pub(super) fn walk(&self, group: [u8; 16]) -> rusqlite::Result<Walked> {
        let from: Option<i64> = self
            .db
            .prepare_cached("SELECT next FROM walk WHERE grp = ?1")?
            .query_row([group], |row| row.get(0))
            .optional()?;
        let Some(from) = from else { return Ok(Walked::default()) };
        let next = from + CHUNK as i64;
        let open: Vec<Standing> = self
            .db
            .prepare_cached(
                "SELECT seq, id, queue, grp, state FROM job \
                 WHERE grp = ?1 AND idx >= ?2 AND idx < ?3 AND state <= 1 ORDER BY idx",
            )?
            .query_map(params![group, from, next], Standing::read)?
            .collect::<rusqlite::Result<_>>()?;
        let ended = self.cancel(open)?;
        let more =
            self.db.prepare_cached("SELECT 1 FROM job WHERE grp = ?1 AND idx >= ?2")?.exists(params![group, next])?;
        if more {
            self.db.prepare_cached("UPDATE walk SET next = ?2 WHERE grp = ?1")?.execute(params![group, next])?;
        } else {
            self.db.prepare_cached("DELETE FROM walk WHERE grp = ?1")?.execute([group])?;
        }
        Ok(Walked { ended, more })
    }

    /// Goes on with the cancel of a group whose caller may have died over it.
    pub(super) fn walk_on(&self) -> rusqlite::Result<()> {
        let group =
            self.db.prepare_cached("SELECT grp FROM walk LIMIT 1")?.query_row([], |row| row.get(0)).optional()?;
        group.map_or(Ok(()), |group| self.walk(group).map(drop))
    }

    /// Whether a group is being cancelled whose jobs have not all been looked at.
    pub(super) fn walks(&self) -> rusqlite::Result<bool> {
        self.db.prepare_cached("SELECT 1 FROM walk")?.exists([])
    }

    /// Cancels those of `jobs` that still wait or are delayed.
    pub(super) fn cancel_open(&self, jobs: &[i64]) -> rusqlite::Result<u64> {
        let mut standing =
            self.db.prepare_cached("SELECT seq, id, queue, grp, state FROM job WHERE seq = ?1 AND state <= 1")?;
        let mut open = Vec::with_capacity(jobs.len());
        for seq in jobs {
            open.extend(standing.query_row([seq], Standing::read).optional()?);
        }
        self.cancel(open)
    }

    fn cancel(&self, jobs: Vec<Standing>) -> rusqlite::Result<u64> {
        let mut tally = Tally::default();
        for job in jobs {
            self.end(&mut tally, job, State::Cancelled)?;
        }
        let ended = tally.cancelled();
        self.write(tally)?;
        Ok(ended)
    }
}

/// What waits or is delayed in a queue.
pub(super) fn open_jobs(db: &Connection, queue: &str) -> rusqlite::Result<Vec<i64>> {
    let mut open = Vec::new();
    // One index each.
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
