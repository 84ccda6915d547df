//! The transitions, each a few statements inside the writer's transaction. Counters of queues and groups move with the
//! jobs, so that whoever reads a commit finds them true.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::super::clock::millis;
use super::super::{Beat, Error, Lease, NewGroup, NewJob, Policy, Settled, Settlement, Verdict};
use super::writer::Outcome;
use crate::job::State;

/// What a transaction sees: the tables, one instant, the policy.
pub(super) struct Ledger<'db> {
    pub(super) db: &'db Connection,
    pub(super) now: i64,
    pub(super) policy: &'db Policy,
    made_work: Cell<bool>,
}

/// Changes to the counters, gathered over a batch and written once.
#[derive(Default)]
pub(super) struct Tally {
    /// By the queue's row: waiting, delayed, active.
    queues: HashMap<i64, [i64; 3]>,
    /// By the group's id: succeeded, failed, cancelled.
    groups: HashMap<[u8; 16], [i64; 3]>,
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
}

/// How a state is written in the tables.
pub(super) fn code(state: State) -> i64 {
    match state {
        State::Waiting => 0,
        State::Delayed => 1,
        State::Active => 2,
        State::Succeeded => 3,
        State::Failed => 4,
        State::Cancelled => 5,
    }
}

struct Active {
    seq: i64,
    queue: i64,
    group: [u8; 16],
}

impl<'db> Ledger<'db> {
    pub(super) fn new(db: &'db Connection, now: i64, policy: &'db Policy) -> Self {
        Self { db, now, policy, made_work: Cell::new(false) }
    }

    /// Whether jobs have come to wait, or to wait for less long: whoever is idle should look.
    pub(super) fn made_work(&self) -> bool {
        self.made_work.get()
    }

    pub(super) fn work_was_made(&self) {
        self.made_work.set(true);
    }

    pub(super) fn enqueue(&self, group: &NewGroup, jobs: &[NewJob]) -> Outcome<()> {
        let group_id = bytes(group.id);
        let known: bool = self
            .db
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM grp WHERE id = ?1)")?
            .query_row([group_id], |row| row.get(0))?;
        // All its jobs came with it in one transaction: this is the same call again.
        if known {
            return Ok(Ok(()));
        }
        let mut exists = self.db.prepare_cached("SELECT EXISTS (SELECT 1 FROM job WHERE id = ?1)")?;
        let mut fresh = Vec::with_capacity(jobs.len());
        let mut by_queue: BTreeMap<&str, i64> = BTreeMap::new();
        for job in jobs {
            if !exists.query_row([bytes(job.id)], |row| row.get::<_, bool>(0))? {
                *by_queue.entry(&job.queue).or_default() += 1;
                fresh.push(job);
            }
        }
        for (queue, more) in &by_queue {
            let open: i64 = self
                .db
                .prepare_cached("SELECT waiting + delayed FROM queue WHERE name = ?1")?
                .query_row([queue], |row| row.get(0))
                .optional()?
                .unwrap_or(0);
            let cap = self.policy.queue_cap;
            if (open + more) as u64 > cap {
                return Ok(Err(Error::full_queue(queue, open as u64, *more as u64, cap)));
            }
        }
        let queues = self.queue_rows(by_queue.keys())?;
        let finished = fresh.is_empty().then_some(self.now);
        self.db
            .prepare_cached(
                "INSERT INTO grp (id, total, pending, sealed, created_at, finished_at, meta) \
                 VALUES (?1, ?2, ?2, 1, ?3, ?4, ?5)",
            )?
            .execute(params![group_id, fresh.len() as i64, self.now, finished, group.meta.as_ref()])?;
        self.insert(group_id, &fresh, &queues)?;
        self.work_was_made();
        Ok(Ok(()))
    }

    fn insert(&self, group: [u8; 16], jobs: &[&NewJob], queues: &HashMap<String, i64>) -> rusqlite::Result<()> {
        let mut tally = Tally::default();
        let mut insert_job = self.db.prepare_cached(
            "INSERT INTO job (id, grp, idx, queue, class, priority, state, place, due, max_attempts, created_at, kind) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?;
        let mut insert_payload = self.db.prepare_cached("INSERT INTO payload (seq, bytes) VALUES (?1, ?2)")?;
        for (place, job) in (self.places_behind(jobs.len())?..).zip(jobs) {
            let queue = queues[&job.queue];
            let state = if job.delay.is_some() { State::Delayed } else { State::Waiting };
            insert_job.execute(params![
                bytes(job.id),
                group,
                job.index,
                queue,
                super::class_code(job.class),
                job.priority,
                code(state),
                place,
                job.delay.map(|delay| self.now + millis(delay)),
                job.max_attempts,
                self.now,
                job.kind,
            ])?;
            insert_payload.execute(params![self.db.last_insert_rowid(), job.payload.as_ref()])?;
            // It comes from nowhere: a terminal state has no counter.
            tally.moved(queue, State::Cancelled, state);
        }
        self.write(tally)
    }

    fn queue_rows<'a>(&self, names: impl Iterator<Item = &'a &'a str>) -> rusqlite::Result<HashMap<String, i64>> {
        let mut rows = HashMap::new();
        for &name in names {
            self.db.prepare_cached("INSERT INTO queue (name) VALUES (?1) ON CONFLICT DO NOTHING")?.execute([name])?;
            let row =
                self.db.prepare_cached("SELECT id FROM queue WHERE name = ?1")?.query_row([name], |row| row.get(0))?;
            rows.insert(name.to_owned(), row);
        }
        Ok(rows)
    }

    pub(super) fn settle(&self, settlements: &[Settlement]) -> rusqlite::Result<Vec<Settled>> {
        let mut tally = Tally::default();
        let mut answers = Vec::with_capacity(settlements.len());
        let mut commit = self.db.prepare_cached(
            "UPDATE job SET state = ?2, due = ?3, finished_at = ?4, token = NULL, committed = committed || token || ' ' \
             WHERE seq = ?1",
        )?;
        for Settlement { lease, verdict } in settlements {
            let Some(job) = self.leased(lease)? else {
                answers.push(self.settled_before(lease)?);
                continue;
            };
            let (state, due) = match verdict {
                Verdict::Succeed { .. } => (State::Succeeded, None),
                Verdict::Fail { .. } => (State::Failed, None),
                Verdict::Retry { after, .. } => (State::Delayed, Some(self.now + millis(*after))),
            };
            let (Verdict::Succeed { result } | Verdict::Fail { result } | Verdict::Retry { reason: result, .. }) =
                verdict;
            commit.execute(params![job.seq, code(state), due, state.is_terminal().then_some(self.now)])?;
            self.keep_result(job.seq, result)?;
            tally.moved(job.queue, State::Active, state);
            if state.is_terminal() {
                tally.ended(job.group, state);
            } else {
                self.work_was_made();
            }
            answers.push(Settled::Committed);
        }
        self.write(tally)?;
        Ok(answers)
    }

    /// The active job that `lease` holds.
    fn leased(&self, lease: &Lease) -> rusqlite::Result<Option<Active>> {
        self.db
            .prepare_cached("SELECT seq, queue, grp FROM job WHERE id = ?1 AND state = 2 AND token = ?2")?
            .query_row(params![bytes(lease.job), lease.token], |row| {
                Ok(Active { seq: row.get(0)?, queue: row.get(1)?, group: row.get(2)? })
            })
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

    /// Ends an active job that nobody settled.
    pub(super) fn fail(
        &self,
        tally: &mut Tally,
        (seq, queue, group): (i64, i64, [u8; 16]),
        result: &Bytes,
    ) -> rusqlite::Result<()> {
        self.db
            .prepare_cached("UPDATE job SET state = 4, due = NULL, token = NULL, finished_at = ?2 WHERE seq = ?1")?
            .execute(params![seq, self.now])?;
        self.keep_result(seq, result)?;
        tally.moved(queue, State::Active, State::Failed);
        tally.ended(group, State::Failed);
        Ok(())
    }

    fn keep_result(&self, seq: i64, result: &Bytes) -> rusqlite::Result<()> {
        self.db
            .prepare_cached(
                "INSERT INTO result VALUES (?1, ?2) ON CONFLICT (seq) DO UPDATE SET bytes = excluded.bytes",
            )?
            .execute(params![seq, result.as_ref()])
            .map(drop)
    }

    pub(super) fn beat(&self, leases: &[Lease]) -> rusqlite::Result<Beat> {
        let mut renew = self.db.prepare_cached("UPDATE job SET due = ?3 WHERE id = ?1 AND state = 2 AND token = ?2")?;
        let mut beat = Beat::default();
        for lease in leases {
            if renew.execute(params![bytes(lease.job), lease.token, self.now + millis(self.policy.lease)])? == 0 {
                beat.lost.push(lease.job);
            }
        }
        Ok(beat)
    }

    pub(super) fn release(&self, leases: &[Lease]) -> rusqlite::Result<()> {
        let mut tally = Tally::default();
        let mut back = self.db.prepare_cached(
            "UPDATE job SET state = 0, due = NULL, token = NULL, attempt = attempt - 1, place = ?2 WHERE seq = ?1",
        )?;
        // Backwards, so that the first of them ends up first in line.
        for lease in leases.iter().rev() {
            let Some(job) = self.leased(lease)? else { continue };
            back.execute(params![job.seq, self.place_in_front()?])?;
            tally.moved(job.queue, State::Active, State::Waiting);
            self.work_was_made();
        }
        self.write(tally)
    }

    /// The first of `jobs` free places at the end of the line.
    pub(super) fn places_behind(&self, jobs: usize) -> rusqlite::Result<i64> {
        self.db
            .prepare_cached("UPDATE line SET back = back + ?1 RETURNING back - ?1")?
            .query_row([jobs as i64], |row| row.get(0))
    }

    pub(super) fn place_in_front(&self) -> rusqlite::Result<i64> {
        self.db.prepare_cached("UPDATE line SET front = front - 1 RETURNING front + 1")?.query_row([], |row| row.get(0))
    }

    pub(super) fn write(&self, tally: Tally) -> rusqlite::Result<()> {
        let mut queue = self.db.prepare_cached(
            "UPDATE queue SET waiting = waiting + ?2, delayed = delayed + ?3, active = active + ?4 WHERE id = ?1",
        )?;
        for (id, [waiting, delayed, active]) in tally.queues {
            queue.execute([id, waiting, delayed, active])?;
        }
        let mut group = self.db.prepare_cached(
            "UPDATE grp SET succeeded = succeeded + ?2, failed = failed + ?3, cancelled = cancelled + ?4, \
             pending = pending - ?5, \
             finished_at = CASE WHEN sealed AND pending = ?5 THEN ?6 ELSE finished_at END WHERE id = ?1",
        )?;
        for (id, [succeeded, failed, cancelled]) in tally.groups {
            group.execute(params![id, succeeded, failed, cancelled, succeeded + failed + cancelled, self.now])?;
        }
        Ok(())
    }
}

/// An id as it is written in the tables.
pub(super) fn bytes(id: impl Into<Uuid>) -> [u8; 16] {
    id.into().into_bytes()
}
