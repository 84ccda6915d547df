//! New work: a chunk of a group with its jobs, or the follow-up of a group.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{OptionalExtension, Row, params};
use uuid::Uuid;

use super::encoding::{class, class_code, id_bytes, optional_uuid, state_code};
use super::job_row::JobRow;
use super::ledger::{Ledger, Outcome};
use super::tally::Tally;
use crate::clock::millis;
use crate::{Error, EventKind, NewGroup, NewJob, On, State, Then};

/// Which part of a group a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// More chunks follow in the same call.
    Chunk,
    /// The last chunk of its call; later calls may add more.
    Open,
    /// The last chunk of the group, which seals it.
    Last,
}

impl Part {
    /// A chunk of a group that is enqueued by one call.
    pub(super) fn of_whole(last: bool) -> Self {
        if last { Self::Last } else { Self::Chunk }
    }
}

impl Ledger<'_> {
    /// Adds one chunk of a group's jobs. Does nothing if the group is sealed.
    pub(super) fn enqueue(&self, group: &NewGroup, jobs: &[NewJob], part: Part) -> Outcome<()> {
        let id = id_bytes(group.id);
        let bound_to = self.group_of_key(group)?;
        if let Some(other) = bound_to.filter(|bound| *bound != group.id) {
            return Ok(Err(Error::KeyTaken(other)));
        }
        let sealed: Option<bool> = self
            .db
            .prepare_cached("SELECT sealed FROM grp WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        if sealed == Some(true) {
            return Ok(Ok(()));
        }
        let new = self.unknown(jobs)?;
        // Jobs that are added to a group that is being cancelled end at once, and need no room in a queue.
        let cancelling = self.group_is_cancelling(id)?;
        let mut by_queue: BTreeMap<&str, i64> = BTreeMap::new();
        for job in &new {
            *by_queue.entry(&job.queue).or_default() += 1;
        }
        if !cancelling && let Some(refusal) = self.refusal(&by_queue)? {
            return Ok(Err(refusal));
        }
        if sealed.is_none() {
            self.insert_group(group)?;
        }
        self.insert(id, &new, cancelling)?;
        // Not with an earlier chunk: if a later one is refused, the group is cancelled and its key must be free.
        if part != Part::Chunk
            && bound_to.is_none()
            && let Some(key) = &group.key
        {
            self.bind(key, id)?;
        }
        if part == Part::Last {
            self.seal(id)?;
        }
        Ok(Ok(()))
    }

    /// Those of `jobs` that are not enqueued yet.
    fn unknown<'jobs>(&self, jobs: &'jobs [NewJob]) -> rusqlite::Result<Vec<&'jobs NewJob>> {
        let mut known = self.db.prepare_cached("SELECT 1 FROM job WHERE id = ?1")?;
        let mut unknown = Vec::with_capacity(jobs.len());
        for job in jobs {
            if !known.exists([id_bytes(job.id)])? {
                unknown.push(job);
            }
        }
        Ok(unknown)
    }

    /// The error if a queue has no room for its number of new jobs.
    fn refusal(&self, by_queue: &BTreeMap<&str, i64>) -> rusqlite::Result<Option<Error>> {
        let mut depth = self.db.prepare_cached("SELECT waiting + delayed FROM queue WHERE name = ?1")?;
        let cap = self.policy.queue_cap;
        for (queue, more) in by_queue {
            let open: i64 = depth.query_row([queue], |row| row.get(0)).optional()?.unwrap_or(0);
            if (open + more) as u64 > cap {
                return Ok(Some(Error::full_queue(queue, open as u64, *more as u64, cap)));
            }
        }
        Ok(None)
    }

    fn insert_group(&self, group: &NewGroup) -> rusqlite::Result<()> {
        let follows = match group.then.as_ref().map(|then| then.on) {
            None => 0,
            Some(On::Success) => 1,
            Some(On::Always) => 2,
        };
        self.db
            .prepare_cached(
                "INSERT INTO grp (id, total, pending, sealed, created_at, meta, follows) \
                 VALUES (?1, 0, 0, 0, ?2, ?3, ?4)",
            )?
            .execute(params![id_bytes(group.id), self.now, group.meta.as_ref(), follows])?;
        let mut label = self.db.prepare_cached("INSERT OR IGNORE INTO label VALUES (?1, ?2, ?3)")?;
        for name in &group.labels {
            label.execute(params![name, self.now, id_bytes(group.id)])?;
        }
        let Some(Then { group: next, job, .. }) = &group.then else { return Ok(()) };
        self.db
            .prepare_cached("INSERT INTO follow_up VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")?
            .execute(params![
                id_bytes(group.id),
                id_bytes(*next),
                id_bytes(job.id),
                job.kind,
                job.queue,
                class_code(job.class),
                job.priority,
                job.delay.map(millis),
                job.max_attempts,
                job.retry_of.map(id_bytes),
                job.payload.as_ref(),
            ])
            .map(drop)
    }

    /// Adds new jobs to a group. If the group is being cancelled, they end as cancelled.
    fn insert(&self, group: [u8; 16], jobs: &[&NewJob], cancelling: bool) -> rusqlite::Result<()> {
        self.record_for_group(EventKind::Enqueued, group);
        self.db
            .prepare_cached("UPDATE grp SET total = total + ?2, pending = pending + ?2 WHERE id = ?1")?
            .execute(params![group, jobs.len() as i64])?;
        let queues = self.queue_rows(jobs)?;
        let mut tally = Tally::default();
        let mut insert_job = self.db.prepare_cached(
            "INSERT INTO job (id, grp, idx, queue, class, priority, state, place, due, max_attempts, created_at, kind, \
             after, delay, retry_of, expires) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        )?;
        let mut insert_payload = self.db.prepare_cached("INSERT INTO payload (seq, bytes) VALUES (?1, ?2)")?;
        for (place, job) in (self.places_at_end(jobs.len())?..).zip(jobs) {
            let queue = queues[job.queue.as_str()];
            let after = job.after.map(|id| self.job_row(id)).transpose()?;
            // The job that it waits for may have ended since an earlier chunk, or its record may have been removed.
            let held = after.is_some_and(|after| after.is_none_or(|after| after.state != State::Succeeded));
            let lost = cancelling || held && after.flatten().is_none_or(|after| after.state.is_terminal());
            let state = if held || job.delay.is_some() { State::Delayed } else { State::Waiting };
            let delay = job.delay.map(millis);
            insert_job.execute(params![
                id_bytes(job.id),
                group,
                job.index,
                queue,
                class_code(job.class),
                job.priority,
                state_code(state),
                place,
                delay.filter(|_| !held).map(|delay| self.now + delay),
                job.max_attempts,
                self.now,
                job.kind,
                after.flatten().map(|after| after.seq),
                delay.filter(|_| held),
                job.retry_of.map(id_bytes),
                job.expires.map(|expires| self.now + millis(expires)),
            ])?;
            let seq = self.db.last_insert_rowid();
            insert_payload.execute(params![seq, job.payload.as_ref()])?;
            if let Some(original) = job.retry_of {
                self.remove_from_dead_list(id_bytes(original))?;
            }
            // A new job leaves no state: terminal ones have no counter.
            tally.moved(queue, State::Cancelled, state);
            if lost {
                self.end(
                    &mut tally,
                    JobRow { seq, id: id_bytes(job.id), queue, group, state, settled: false },
                    State::Cancelled,
                )?;
            }
        }
        self.wake_workers();
        self.write_counters(tally)
    }

    /// The rows of the jobs' queues by name. Missing ones are created.
    fn queue_rows<'jobs>(&self, jobs: &[&'jobs NewJob]) -> rusqlite::Result<HashMap<&'jobs str, i64>> {
        let mut rows = HashMap::new();
        for job in jobs {
            if !rows.contains_key(job.queue.as_str()) {
                rows.insert(job.queue.as_str(), self.queue_row(&job.queue)?);
            }
        }
        Ok(rows)
    }

    /// The row of a queue; creates it if it is missing.
    pub(super) fn queue_row(&self, queue: &str) -> rusqlite::Result<i64> {
        self.db
            .prepare_cached(
                "INSERT INTO queue (name) VALUES (?1) ON CONFLICT (name) DO UPDATE SET used = 1 RETURNING id",
            )?
            .query_row([queue], |row| row.get(0))
    }

    fn remove_from_dead_list(&self, job: [u8; 16]) -> rusqlite::Result<()> {
        self.db.prepare_cached("UPDATE job SET retried = 1 WHERE id = ?1 AND state = 4")?.execute([job]).map(drop)
    }

    /// Enqueues the follow-up of a group that has finished.
    pub(super) fn enqueue_follow_up(&self, group: [u8; 16]) -> rusqlite::Result<()> {
        let (next, job) = self
            .db
            .prepare_cached(
                "SELECT next, job, kind, queue, class, priority, delay, max_attempts, retry_of, payload \
                 FROM follow_up WHERE grp = ?1",
            )?
            .query_row([group], |row| Ok((Uuid::from_bytes(row.get(0)?).into(), follow_up(row)?)))?;
        let next = NewGroup::new(next, Bytes::new());
        if self.db.prepare_cached("SELECT 1 FROM grp WHERE id = ?1")?.exists([id_bytes(next.id)])? {
            return Ok(());
        }
        self.insert_group(&next)?;
        self.insert(id_bytes(next.id), &self.unknown(&[job])?, false)?;
        self.seal(id_bytes(next.id))
    }
}

fn follow_up(row: &Row<'_>) -> rusqlite::Result<NewJob> {
    Ok(NewJob {
        id: Uuid::from_bytes(row.get(1)?).into(),
        index: 0,
        kind: row.get(2)?,
        queue: row.get(3)?,
        class: class(row, 4)?,
        priority: row.get(5)?,
        delay: row.get::<_, Option<i64>>(6)?.map(|delay| Duration::from_millis(delay as u64)),
        expires: None,
        max_attempts: row.get(7)?,
        after: None,
        retry_of: optional_uuid(row, 8)?.map(Into::into),
        payload: row.get::<_, Vec<u8>>(9)?.into(),
    })
}
