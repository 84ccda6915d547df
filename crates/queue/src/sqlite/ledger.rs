//! What every transition is made of: one instant, the tables, and the few moves of a job between states. Counters of
//! queues and groups move with the jobs, so that whoever reads a commit finds them true.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{self, code};
use super::packed::Gathered;
use crate::State;
use crate::{EventKind, Policy};

/// What a transaction sees: the tables, one instant, the policy.
pub(super) struct Ledger<'db> {
    pub(super) db: &'db Connection,
    pub(super) now: i64,
    pub(super) policy: &'db Policy,
    pub(super) events: RefCell<Gathered>,
    news: Cell<News>,
}

/// Whom a commit concerns.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct News {
    /// Jobs have come to wait, or to wait for less long: whoever is idle should look.
    pub(super) work: bool,
    /// A letter was posted.
    pub(super) mail: bool,
    /// Something happened to a job or a group.
    pub(super) events: bool,
}

/// A job and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) seq: i64,
    pub(super) id: [u8; 16],
    pub(super) queue: i64,
    pub(super) group: [u8; 16],
    pub(super) state: State,
    /// The holder of its lease moves it: the token is kept, so that a repeated settlement gets its answer again.
    pub(super) settled: bool,
}

impl Standing {
    /// Of a row that begins with these columns in this order.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            id: row.get(1)?,
            queue: row.get(2)?,
            group: row.get(3)?,
            state: columns::state(row, 4)?,
            settled: false,
        })
    }
}

/// Changes to the counters, gathered over a transition and written once.
#[derive(Default)]
pub(super) struct Tally {
    /// By the queue's row: waiting, delayed, active.
    queues: BTreeMap<i64, [i64; 3]>,
    /// By the group's id: succeeded, failed, cancelled.
    groups: BTreeMap<[u8; 16], [i64; 3]>,
}

impl Tally {
    /// A job of `queue` has left `from` and stands in `to`.
    pub(super) fn moved(&mut self, queue: i64, from: State, to: State) {
        let depth = self.queues.entry(queue).or_default();
        for (state, change) in [(from, -1), (to, 1)] {
            if let Some(column) = depth.get_mut(code(state) as usize) {
                *column += change;
            }
        }
    }

    fn ended(&mut self, group: [u8; 16], state: State) {
        self.groups.entry(group).or_default()[(code(state) - code(State::Succeeded)) as usize] += 1;
    }

    pub(super) fn cancelled(&self) -> u64 {
        self.groups.values().map(|[_, _, cancelled]| *cancelled as u64).sum()
    }
}

impl<'db> Ledger<'db> {
    pub(super) fn new(db: &'db Connection, now: i64, policy: &'db Policy) -> Self {
        Self { db, now, policy, events: RefCell::default(), news: Cell::default() }
    }

    pub(super) fn news(&self) -> News {
        self.news.get()
    }

    pub(super) fn work_was_made(&self) {
        self.news.set(News { work: true, ..self.news.get() });
    }

    pub(super) fn mail_was_posted(&self) {
        self.news.set(News { mail: true, ..self.news.get() });
    }

    pub(super) fn events_were_written(&self) {
        self.news.set(News { events: true, ..self.news.get() });
    }

    pub(super) fn happened(&self, kind: EventKind, group: [u8; 16], job: [u8; 16]) {
        self.events.borrow_mut().push(kind, group, job);
    }

    pub(super) fn happened_to_group(&self, kind: EventKind, group: [u8; 16]) {
        self.happened(kind, group, [0; 16]);
    }

    pub(super) fn standing(&self, job: [u8; 16]) -> rusqlite::Result<Option<Standing>> {
        self.db
            .prepare_cached("SELECT seq, id, queue, grp, state FROM job WHERE id = ?1")?
            .query_row([job], Standing::read)
            .optional()
    }

    /// Ends a job as `state`: those held by it begin or are cancelled with it, and so on down the chain. Nothing happens
    /// where it no longer stands as it did.
    pub(super) fn end(&self, tally: &mut Tally, job: Standing, state: State) -> rusqlite::Result<()> {
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
            if end.execute(params![job.seq, code(state), self.now, code(job.state), job.settled])? == 0 {
                continue;
            }
            tally.moved(job.queue, job.state, state);
            tally.ended(job.group, state);
            self.happened(ended(state), job.group, job.id);
            let next: Vec<(Standing, Option<i64>)> = held
                .query_map([job.seq], |row| Ok((Standing::read(row)?, row.get(5)?)))?
                .collect::<rusqlite::Result<_>>()?;
            for (job, delay) in next {
                if state == State::Succeeded {
                    self.begin(tally, job, delay)?;
                } else {
                    ending.push_back((job, State::Cancelled));
                }
            }
        }
        Ok(())
    }

    /// What a held job waited for has succeeded.
    fn begin(&self, tally: &mut Tally, job: Standing, delay: Option<i64>) -> rusqlite::Result<()> {
        self.work_was_made();
        match delay {
            Some(delay) => self
                .db
                .prepare_cached("UPDATE job SET due = ?2 WHERE seq = ?1")?
                .execute([job.seq, self.now + delay])
                .map(drop),
            None => self.line_up(tally, job, self.places_behind(1)?),
        }
    }

    /// Has a delayed job wait at `place`.
    pub(super) fn line_up(&self, tally: &mut Tally, job: Standing, place: i64) -> rusqlite::Result<()> {
        self.db
            .prepare_cached("UPDATE job SET state = 0, due = ?3, place = ?2 WHERE seq = ?1")?
            .execute([job.seq, place, self.now])?;
        tally.moved(job.queue, job.state, State::Waiting);
        Ok(())
    }

    pub(super) fn keep_result(&self, seq: i64, result: &[u8]) -> rusqlite::Result<()> {
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

    /// The first of `jobs` free places at the end of the line.
    pub(super) fn places_behind(&self, jobs: usize) -> rusqlite::Result<i64> {
        self.db
            .prepare_cached("UPDATE line SET back = back + ?1 RETURNING back - ?1")?
            .query_row([jobs as i64], |row| row.get(0))
    }

    /// The first of `jobs` free places before the front of the line.
    pub(super) fn places_in_front(&self, jobs: usize) -> rusqlite::Result<i64> {
        self.db
            .prepare_cached("UPDATE line SET front = front - ?1 RETURNING front + 1")?
            .query_row([jobs as i64], |row| row.get(0))
    }

    /// Writes the counters; groups whose last job ended finish.
    pub(super) fn write(&self, tally: Tally) -> rusqlite::Result<()> {
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

    /// Says that no more jobs come; the group finishes where all have ended already.
    pub(super) fn seal(&self, group: [u8; 16]) -> rusqlite::Result<()> {
        let ended = self
            .db
            .prepare_cached("UPDATE grp SET sealed = 1 WHERE id = ?1 AND NOT sealed RETURNING pending = 0")?
            .query_row([group], |row| row.get(0))
            .optional()?;
        if ended == Some(true) { self.finish(group) } else { Ok(()) }
    }

    /// A sealed group has no more jobs that pend, which happens once: what follows is decided now.
    fn finish(&self, group: [u8; 16]) -> rusqlite::Result<()> {
        let fires = self
            .db
            .prepare_cached(
                "UPDATE grp SET finished_at = ?2, fired = follows = 2 OR follows = 1 AND succeeded = total \
                 WHERE id = ?1 RETURNING fired",
            )?
            .query_row(params![group, self.now], |row| row.get(0))?;
        self.happened_to_group(EventKind::Finished, group);
        if fires {
            self.happened_to_group(EventKind::Fired, group);
            self.follow(group)?;
        }
        Ok(())
    }
}

fn ended(state: State) -> EventKind {
    match state {
        State::Succeeded => EventKind::Succeeded,
        State::Failed => EventKind::Failed,
        State::Cancelled | State::Waiting | State::Delayed | State::Active => EventKind::Cancelled,
    }
}
