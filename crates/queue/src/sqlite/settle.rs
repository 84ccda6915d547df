//! Settlements, heartbeats and releases: what the holder of a lease may do.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use super::encoding::{class_code, id_bytes, state_code};
use super::job_row::{JobRow, LeasedJob};
use super::ledger::Ledger;
use super::tally::Tally;
use crate::clock::millis;
use crate::{Beat, EventKind, Lease, Settled, Settlement, Stage, State, Verdict, policy};

/// How an active job runs again.
struct Requeue {
    /// Until when it is delayed, in milliseconds since 1970; `None` if it waits at once.
    due: Option<i64>,
    /// Its place in the line if it waits at once.
    place: i64,
    stalls: u32,
    alone: bool,
    /// The attempt does not count.
    uncounted: bool,
    kind: EventKind,
}

impl Ledger<'_> {
    pub(super) fn settle(&self, settlements: &[Settlement]) -> rusqlite::Result<Vec<Settled>> {
        let mut tally = Tally::default();
        let mut answers = Vec::with_capacity(settlements.len());
        let crashes =
            settlements.iter().filter(|settlement| matches!(settlement.verdict, Verdict::Crash { .. })).count();
        let mut front = if crashes == 0 { 0.. } else { self.places_at_front(crashes)?.. };
        for Settlement { lease, verdict } in settlements {
            let Some(mut job) = self.leased_job(lease)? else {
                answers.push(self.settled_before(lease)?);
                continue;
            };
            job.row.settled = true;
            answers.push(Settled::Committed);
            match verdict {
                Verdict::Succeed { result } => {
                    self.store_result(job.row.seq, result)?;
                    self.end(&mut tally, job.row, State::Succeeded)?;
                }
                Verdict::Fail { result } => {
                    self.store_result(job.row.seq, result)?;
                    self.end(&mut tally, job.row, State::Failed)?;
                }
                Verdict::Retry { .. } | Verdict::Crash { .. } | Verdict::Continue(_) if self.is_cancelling(&job)? => {
                    self.end(&mut tally, job.row, State::Cancelled)?;
                }
                Verdict::Retry { after, reason } => {
                    self.store_result(job.row.seq, reason)?;
                    let due = Some(self.now + millis(*after));
                    let LeasedJob { stalls, alone, .. } = job;
                    let kind = EventKind::Retried;
                    self.requeue(&mut tally, &job, &Requeue { due, place: 0, stalls, alone, uncounted: false, kind })?;
                }
                Verdict::Continue(stage) => self.start_stage(&mut tally, job.row, stage)?,
                Verdict::Cancel => self.end(&mut tally, job.row, State::Cancelled)?,
                Verdict::Crash { alone } => {
                    let place = front.next().expect("a place for every crash");
                    self.stall(&mut tally, &job, *alone, place)?;
                }
            }
        }
        self.write_counters(tally)?;
        Ok(answers)
    }

    pub(super) fn beat(&self, leases: &[Lease]) -> rusqlite::Result<Beat> {
        let mut renew = self.db.prepare_cached("UPDATE job SET due = ?2 WHERE seq = ?1")?;
        let mut beat = Beat::default();
        for lease in leases {
            let Some(job) = self.leased_job(lease)? else {
                beat.lost.push(lease.job);
                continue;
            };
            renew.execute([job.row.seq, self.now + millis(self.policy.lease)])?;
            if self.is_cancelling(&job)? {
                beat.cancelled.push(lease.job);
            }
        }
        Ok(beat)
    }

    pub(super) fn release(&self, leases: &[Lease], after: Option<Duration>) -> rusqlite::Result<()> {
        let mut tally = Tally::default();
        let due = after.map(|after| self.now + millis(after));
        for (place, lease) in (self.places_at_front(leases.len())?..).zip(leases) {
            let Some(job) = self.leased_job(lease)? else { continue };
            if self.is_cancelling(&job)? {
                self.end(&mut tally, job.row, State::Cancelled)?;
            } else {
                let LeasedJob { stalls, alone, .. } = job;
                let kind = EventKind::Released;
                self.requeue(&mut tally, &job, &Requeue { due, place, stalls, alone, uncounted: true, kind })?;
            }
        }
        self.write_counters(tally)
    }

    /// The job's process died, or its lease expired. The job runs again, first in line and alone; or it fails, if it
    /// ran `alone` and this is its last stall.
    pub(super) fn stall(&self, tally: &mut Tally, job: &LeasedJob, alone: bool, place: i64) -> rusqlite::Result<()> {
        let stalls = job.stalls + u32::from(alone);
        if alone && stalls >= self.policy.max_stalls {
            self.db
                .prepare_cached("UPDATE job SET stalls = ?2, alone = 1 WHERE seq = ?1")?
                .execute(params![job.row.seq, stalls])?;
            self.store_result(job.row.seq, &policy::poison(stalls))?;
            return self.end(tally, job.row, State::Failed);
        }
        let kind = EventKind::Stalled;
        self.requeue(tally, job, &Requeue { due: None, place, stalls, alone: true, uncounted: false, kind })
    }

    /// A job has done a stage, and waits for its next one.
    fn start_stage(&self, tally: &mut Tally, job: JobRow, stage: &Stage) -> rusqlite::Result<()> {
        let (queue, place) = (self.queue_row(&stage.queue)?, self.places_at_end(1)?);
        self.db
            .prepare_cached(
                "UPDATE job SET state = 0, due = ?6, place = ?2, queue = ?3, class = ?4, kind = ?5, attempt = 0, \
                 token = NULL, committed = committed || token || ' ' WHERE seq = ?1",
            )?
            .execute(params![job.seq, place, queue, class_code(stage.class), stage.kind, self.now])?;
        self.db
            .prepare_cached("UPDATE payload SET bytes = ?2 WHERE seq = ?1")?
            .execute(params![job.seq, stage.payload.as_ref()])?;
        // Terminal states have no counter: the job leaves one queue and enters the other.
        tally.moved(job.queue, State::Active, State::Succeeded);
        tally.moved(queue, State::Succeeded, State::Waiting);
        self.record(EventKind::Released, job.group, job.id);
        self.wake_workers();
        Ok(())
    }

    pub(super) fn is_cancelling(&self, job: &LeasedJob) -> rusqlite::Result<bool> {
        Ok(job.cancelling || self.group_is_cancelling(job.row.group)?)
    }

    fn requeue(&self, tally: &mut Tally, job: &LeasedJob, requeue: &Requeue) -> rusqlite::Result<()> {
        let JobRow { seq, id, queue, group, state, settled } = job.row;
        let next = if requeue.due.is_some() { State::Delayed } else { State::Waiting };
        self.db
            .prepare_cached(
                "UPDATE job SET state = ?2, due = ?3, place = ?4, stalls = ?5, alone = ?6, attempt = attempt - ?7, \
                 token = NULL, committed = CASE WHEN ?8 THEN committed || token || ' ' ELSE committed END WHERE seq = ?1",
            )?
            .execute(params![
                seq,
                state_code(next),
                requeue.due.unwrap_or(self.now),
                requeue.place,
                requeue.stalls,
                requeue.alone,
                requeue.uncounted,
                settled
            ])?;
        tally.moved(queue, state, next);
        self.record(requeue.kind, group, id);
        self.wake_workers();
        Ok(())
    }

    /// The active job of a lease; `None` if the lease was lost.
    fn leased_job(&self, lease: &Lease) -> rusqlite::Result<Option<LeasedJob>> {
        self.db
            .prepare_cached(
                "SELECT seq, id, queue, grp, state, stalls, alone, cancelling FROM job \
                 WHERE id = ?1 AND state = 2 AND token = ?2",
            )?
            .query_row(params![id_bytes(lease.job), lease.token], LeasedJob::read)
            .optional()
    }

    /// The answer to a settlement whose lease is not held any more.
    fn settled_before(&self, lease: &Lease) -> rusqlite::Result<Settled> {
        let committed: Option<String> = self
            .db
            .prepare_cached("SELECT committed FROM job WHERE id = ?1")?
            .query_row([id_bytes(lease.job)], |row| row.get(0))
            .optional()?;
        let counted = committed.is_some_and(|tokens| tokens.split_ascii_whitespace().any(|token| token == lease.token));
        Ok(if counted { Settled::Committed } else { Settled::LeaseLost })
    }
}
