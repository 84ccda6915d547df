//! The moves that every transition is made of: a job changes its state, a group is sealed and finishes. The counters of
//! queues and groups are written in the same transaction, so every commit has them exact.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use rusqlite::{Connection, OptionalExtension, params};

use super::encoding::{id_bytes, state_code};
use super::job_row::JobRow;
use super::packed_events::PackedEvents;
use super::tally::Tally;
use crate::{EventKind, JobId, Policy, Result, State};

/// The outer error is SQLite's and undoes the transaction; the inner result is the call's answer.
pub(super) type Outcome<T> = rusqlite::Result<Result<T>>;

/// A transaction: the tables, its one instant, the policy.
pub(super) struct Ledger<'db> {
    pub(super) db: &'db Connection,
    /// Milliseconds since 1970.
    pub(super) now: i64,
    pub(super) policy: &'db Policy,
    pub(super) events: RefCell<PackedEvents>,
    wakeups: Cell<Wakeups>,
}

/// Which waiters the commit wakes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wakeups {
    /// Jobs wait that did not before, or are due earlier.
    pub(super) work: bool,
    /// A letter was posted.
    pub(super) mail: bool,
    /// Events were recorded.
    pub(super) events: bool,
}

impl<'db> Ledger<'db> {
    pub(super) fn new(db: &'db Connection, now: i64, policy: &'db Policy) -> Self {
        Self { db, now, policy, events: RefCell::default(), wakeups: Cell::default() }
    }

    pub(super) fn wakeups(&self) -> Wakeups {
        self.wakeups.get()
    }

    /// At the commit, wakes those that wait for work.
    pub(super) fn wake_workers(&self) {
        self.wakeups.set(Wakeups { work: true, ..self.wakeups.get() });
    }

    /// At the commit, wakes those that wait for letters.
    pub(super) fn wake_mailboxes(&self) {
        self.wakeups.set(Wakeups { mail: true, ..self.wakeups.get() });
    }

    /// At the commit, wakes those that wait for events.
    pub(super) fn wake_event_readers(&self) {
        self.wakeups.set(Wakeups { events: true, ..self.wakeups.get() });
    }

    pub(super) fn record(&self, kind: EventKind, group: [u8; 16], job: [u8; 16]) {
        self.events.borrow_mut().push(kind, group, job);
    }

    /// Records an event of the group as a whole.
    pub(super) fn record_for_group(&self, kind: EventKind, group: [u8; 16]) {
        self.record(kind, group, [0; 16]);
    }

    /// `None` if the job is unknown.
    pub(super) fn job_row(&self, job: JobId) -> rusqlite::Result<Option<JobRow>> {
        self.db
            .prepare_cached("SELECT seq, id, queue, grp, state FROM job WHERE id = ?1")?
            .query_row([id_bytes(job)], JobRow::read)
            .optional()
    }

    /// Ends a job in the terminal state `state`. Jobs that are held until it succeeds start now, or are cancelled with
    /// it, and so are those held by them. Does nothing if the job is no longer in the state of its row.
    pub(super) fn end(&self, tally: &mut Tally, job: JobRow, state: State) -> rusqlite::Result<()> {
        let mut end = self.db.prepare_cached(
            "UPDATE job SET state = ?2, due = NULL, finished_at = ?3, token = NULL, \
             committed = CASE WHEN ?5 THEN committed || token || ' ' ELSE committed END WHERE seq = ?1 AND state = ?4",
        )?;
        let mut held = self.db.prepare_cached(
            "SELECT seq, id, queue, grp, state, delay FROM job \
             WHERE after = ?1 AND state = 1 AND due IS NULL ORDER BY seq",
        )?;
        let mut ending = VecDeque::from([(job, state)]);
        while let Some((job, state)) = ending.pop_front() {
            if end.execute(params![job.seq, state_code(state), self.now, state_code(job.state), job.settled])? == 0 {
                continue;
            }
            tally.moved(job.queue, job.state, state);
            tally.ended(job.group, state);
            self.record(end_event(state), job.group, job.id);
            let next: Vec<(JobRow, Option<i64>)> = held
                .query_map([job.seq], |row| Ok((JobRow::read(row)?, row.get(5)?)))?
                .collect::<rusqlite::Result<_>>()?;
            for (job, delay) in next {
                if state == State::Succeeded {
                    self.start_held(tally, job, delay)?;
                } else {
                    ending.push_back((job, State::Cancelled));
                }
            }
        }
        Ok(())
    }

    /// The job that this one was held for has succeeded.
    fn start_held(&self, tally: &mut Tally, job: JobRow, delay: Option<i64>) -> rusqlite::Result<()> {
        self.wake_workers();
        match delay {
            Some(delay) => self
                .db
                .prepare_cached("UPDATE job SET due = ?2 WHERE seq = ?1")?
                .execute([job.seq, self.now + delay])
                .map(drop),
            None => self.make_waiting(tally, job, self.places_at_end(1)?),
        }
    }

    /// Moves a delayed job to `place` in the line.
    pub(super) fn make_waiting(&self, tally: &mut Tally, job: JobRow, place: i64) -> rusqlite::Result<()> {
        self.db
            .prepare_cached("UPDATE job SET state = 0, due = ?3, place = ?2 WHERE seq = ?1")?
            .execute([job.seq, place, self.now])?;
        tally.moved(job.queue, job.state, State::Waiting);
        Ok(())
    }

    pub(super) fn store_result(&self, seq: i64, result: &[u8]) -> rusqlite::Result<()> {
        self.db
            .prepare_cached(
                "INSERT INTO result VALUES (?1, ?2) ON CONFLICT (seq) DO UPDATE SET bytes = excluded.bytes",
            )?
            .execute(params![seq, result])
            .map(drop)
    }

    pub(super) fn group_is_cancelling(&self, group: [u8; 16]) -> rusqlite::Result<bool> {
        let cancelling = self
            .db
            .prepare_cached("SELECT cancelling FROM grp WHERE id = ?1")?
            .query_row([group], |row| row.get(0))
            .optional()?;
        Ok(cancelling.unwrap_or(false))
    }

    /// Takes `jobs` places at the end of the line; returns the first.
    pub(super) fn places_at_end(&self, jobs: usize) -> rusqlite::Result<i64> {
        self.db
            .prepare_cached("UPDATE line SET back = back + ?1 RETURNING back - ?1")?
            .query_row([jobs as i64], |row| row.get(0))
    }

    /// Takes `jobs` places before the front of the line; returns the first.
    pub(super) fn places_at_front(&self, jobs: usize) -> rusqlite::Result<i64> {
        self.db
            .prepare_cached("UPDATE line SET front = front - ?1 RETURNING front + 1")?
            .query_row([jobs as i64], |row| row.get(0))
    }

    /// Writes the counters. Groups whose last job has ended finish.
    pub(super) fn write_counters(&self, tally: Tally) -> rusqlite::Result<()> {
        let mut queue = self.db.prepare_cached(
            "UPDATE queue SET waiting = waiting + ?2, delayed = delayed + ?3, active = active + ?4 WHERE id = ?1",
        )?;
        for (id, [waiting, delayed, active]) in tally.queues {
            queue.execute([id, waiting, delayed, active])?;
        }
        let mut group = self.db.prepare_cached(
            "UPDATE grp SET succeeded = succeeded + ?2, failed = failed + ?3, cancelled = cancelled + ?4, \
             pending = pending - ?5 WHERE id = ?1 RETURNING sealed AND pending = 0",
        )?;
        for (id, [succeeded, failed, cancelled]) in tally.groups {
            let ended = succeeded + failed + cancelled;
            if group.query_row(params![id, succeeded, failed, cancelled, ended], |row| row.get(0))? {
                self.finish(id)?;
            }
        }
        Ok(())
    }

    /// Notes that no more jobs are added; the group finishes if all have ended already.
    pub(super) fn seal(&self, group: [u8; 16]) -> rusqlite::Result<()> {
        let ended = self
            .db
            .prepare_cached("UPDATE grp SET sealed = 1 WHERE id = ?1 AND NOT sealed RETURNING pending = 0")?
            .query_row([group], |row| row.get(0))
            .optional()?;
        if ended == Some(true) { self.finish(group) } else { Ok(()) }
    }

    /// Called once, when a sealed group's last job has ended. Decides whether its follow-up is enqueued.
    fn finish(&self, group: [u8; 16]) -> rusqlite::Result<()> {
        let fires = self
            .db
            .prepare_cached(
                "UPDATE grp SET finished_at = ?2, fired = follows = 2 OR follows = 1 AND succeeded = total \
                 WHERE id = ?1 RETURNING fired",
            )?
            .query_row(params![group, self.now], |row| row.get(0))?;
        self.record_for_group(EventKind::Finished, group);
        if fires {
            self.record_for_group(EventKind::Fired, group);
            self.enqueue_follow_up(group)?;
        }
        Ok(())
    }
}

/// The event of a job that ends in `state`.
fn end_event(state: State) -> EventKind {
    match state {
        State::Succeeded => EventKind::Succeeded,
        State::Failed => EventKind::Failed,
        State::Cancelled | State::Waiting | State::Delayed | State::Active => EventKind::Cancelled,
    }
}
