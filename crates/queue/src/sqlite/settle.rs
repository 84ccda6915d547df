//! What the holder of a lease may do: settle the attempt, renew the lease, or give it back.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use super::class_code;
use super::columns::{bytes, code};
use super::ledger::{Ledger, Standing, Tally};
use crate::State;
use crate::clock::millis;
use crate::{Beat, EventKind, Lease, Settled, Settlement, Stage, Verdict, policy};

/// A leased job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Active {
    pub(super) standing: Standing,
    pub(super) stalls: u32,
    pub(super) alone: bool,
    pub(super) cancelling: bool,
}

/// How an active job comes to run again.
struct Again {
    /// When; at once, where there is none.
    due: Option<i64>,
    /// Its place in the line, where it waits at once.
    place: i64,
    stalls: u32,
    alone: bool,
    blameless: bool,
    kind: EventKind,
}

impl Ledger<'_> {
    pub(super) fn settle(&self, settlements: &[Settlement]) -> rusqlite::Result<Vec<Settled>> {
        let mut tally = Tally::default();
        let mut answers = Vec::with_capacity(settlements.len());
        let crashes =
            settlements.iter().filter(|settlement| matches!(settlement.verdict, Verdict::Crash { .. })).count();
        let mut front = if crashes == 0 { 0.. } else { self.places_in_front(crashes)?.. };
        for Settlement { lease, verdict } in settlements {
            let Some(mut job) = self.leased(lease)? else {
                answers.push(self.settled_before(lease)?);
                continue;
            };
            job.standing.settled = true;
            answers.push(Settled::Committed);
            match verdict {
                Verdict::Succeed { result } => {
                    self.keep_result(job.standing.seq, result)?;
                    self.end(&mut tally, job.standing, State::Succeeded)?;
                }
                Verdict::Fail { result } => {
                    self.keep_result(job.standing.seq, result)?;
                    self.end(&mut tally, job.standing, State::Failed)?;
                }
                Verdict::Retry { .. } | Verdict::Crash { .. } | Verdict::Continue(_) if self.is_cancelling(&job)? => {
                    self.end(&mut tally, job.standing, State::Cancelled)?;
                }
                Verdict::Retry { after, reason } => {
                    self.keep_result(job.standing.seq, reason)?;
                    let due = Some(self.now + millis(*after));
                    let Active { stalls, alone, .. } = job;
                    let kind = EventKind::Retried;
                    self.again(&mut tally, &job, &Again { due, place: 0, stalls, alone, blameless: false, kind })?;
                }
                Verdict::Continue(stage) => self.go_on(&mut tally, job.standing, stage)?,
                Verdict::Cancel => self.end(&mut tally, job.standing, State::Cancelled)?,
                Verdict::Crash { alone } => {
                    let place = front.next().expect("a place for every crash");
                    self.stall(&mut tally, &job, *alone, place)?;
                }
            }
        }
        self.write(tally)?;
        Ok(answers)
    }

    pub(super) fn beat(&self, leases: &[Lease]) -> rusqlite::Result<Beat> {
        let mut renew = self.db.prepare_cached("UPDATE job SET due = ?2 WHERE seq = ?1")?;
        let mut beat = Beat::default();
        for lease in leases {
            let Some(job) = self.leased(lease)? else {
                beat.lost.push(lease.job);
                continue;
            };
            renew.execute([job.standing.seq, self.now + millis(self.policy.lease)])?;
            if self.is_cancelling(&job)? {
                beat.cancelled.push(lease.job);
            }
        }
        Ok(beat)
    }

    pub(super) fn release(&self, leases: &[Lease], after: Option<Duration>) -> rusqlite::Result<()> {
        let mut tally = Tally::default();
        let due = after.map(|after| self.now + millis(after));
        for (place, lease) in (self.places_in_front(leases.len())?..).zip(leases) {
            let Some(job) = self.leased(lease)? else { continue };
            if self.is_cancelling(&job)? {
                self.end(&mut tally, job.standing, State::Cancelled)?;
            } else {
                let Active { stalls, alone, .. } = job;
                let kind = EventKind::Released;
                self.again(&mut tally, &job, &Again { due, place, stalls, alone, blameless: true, kind })?;
            }
        }
        self.write(tally)
    }

    /// A process died with this job in it, or fell silent: the job runs again, first in line and alone; or it fails,
    /// where it ran `alone` once too often.
    pub(super) fn stall(&self, tally: &mut Tally, job: &Active, alone: bool, place: i64) -> rusqlite::Result<()> {
        let stalls = job.stalls + u32::from(alone);
        if alone && stalls >= self.policy.max_stalls {
            self.db
                .prepare_cached("UPDATE job SET stalls = ?2, alone = 1 WHERE seq = ?1")?
                .execute(params![job.standing.seq, stalls])?;
            self.keep_result(job.standing.seq, &policy::poison(stalls))?;
            return self.end(tally, job.standing, State::Failed);
        }
        let kind = EventKind::Stalled;
        self.again(tally, job, &Again { due: None, place, stalls, alone: true, blameless: false, kind })
    }

    /// A job has done a stage and waits for its next one.
    fn go_on(&self, tally: &mut Tally, job: Standing, stage: &Stage) -> rusqlite::Result<()> {
        let (queue, place) = (self.queue_row(&stage.queue)?, self.places_behind(1)?);
        self.db
            .prepare_cached(
                "UPDATE job SET state = 0, due = ?6, place = ?2, queue = ?3, class = ?4, kind = ?5, attempt = 0, \
                 token = NULL, committed = committed || token || ' ' WHERE seq = ?1",
            )?
            .execute(params![job.seq, place, queue, class_code(stage.class), stage.kind, self.now])?;
        self.db
            .prepare_cached("UPDATE payload SET bytes = ?2 WHERE seq = ?1")?
            .execute(params![job.seq, stage.payload.as_ref()])?;
        // It leaves one queue and comes to another from nowhere: a terminal state has no counter.
        tally.moved(job.queue, State::Active, State::Succeeded);
        tally.moved(queue, State::Succeeded, State::Waiting);
        self.happened(EventKind::Released, job.group, job.id);
        self.work_was_made();
        Ok(())
    }

    pub(super) fn is_cancelling(&self, job: &Active) -> rusqlite::Result<bool> {
        Ok(job.cancelling || self.group_is_cancelling(job.standing.group)?)
    }

    fn again(&self, tally: &mut Tally, job: &Active, again: &Again) -> rusqlite::Result<()> {
        let Standing { seq, id, queue, group, state, settled } = job.standing;
        let next = if again.due.is_some() { State::Delayed } else { State::Waiting };
        self.db
            .prepare_cached(
                "UPDATE job SET state = ?2, due = ?3, place = ?4, stalls = ?5, alone = ?6, attempt = attempt - ?7, \
                 token = NULL, committed = CASE WHEN ?8 THEN committed || token || ' ' ELSE committed END WHERE seq = ?1",
            )?
            .execute(params![
                seq,
                code(next),
                again.due.unwrap_or(self.now),
                again.place,
                again.stalls,
                again.alone,
                again.blameless,
                settled
            ])?;
        tally.moved(queue, state, next);
        self.happened(again.kind, group, id);
        self.work_was_made();
        Ok(())
    }

    /// The active job that `lease` holds.
    fn leased(&self, lease: &Lease) -> rusqlite::Result<Option<Active>> {
        self.db
            .prepare_cached(
                "SELECT seq, id, queue, grp, state, stalls, alone, cancelling FROM job \
                 WHERE id = ?1 AND state = 2 AND token = ?2",
            )?
            .query_row(params![bytes(lease.job), lease.token], Active::read)
            .optional()
    }

    fn settled_before(&self, lease: &Lease) -> rusqlite::Result<Settled> {
        let committed: Option<String> = self
            .db
            .prepare_cached("SELECT committed FROM job WHERE id = ?1")?
            .query_row([bytes(lease.job)], |row| row.get(0))
            .optional()?;
        let counted = committed.is_some_and(|tokens| tokens.split_ascii_whitespace().any(|token| token == lease.token));
        Ok(if counted { Settled::Committed } else { Settled::LeaseLost })
    }
}

impl Active {
    /// Of a row with the columns of [`Standing::read`], then stalls, alone and cancelling.
    pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { standing: Standing::read(row)?, stalls: row.get(5)?, alone: row.get(6)?, cancelling: row.get(7)? })
    }
}
