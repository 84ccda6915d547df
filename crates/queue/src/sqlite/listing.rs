//! Lists of groups and jobs. Each function reads at one instant if its caller has begun a transaction.

use rusqlite::{Connection, params};
use uuid::Uuid;

use super::encoding::{id_bytes, instant, row_count, state, state_code};
use super::status;
use crate::contract::{SCAN_LIMIT, SORT_LIMIT};
use crate::{Group, GroupFilter, GroupId, Job, JobFilter, JobId, JobList, ListPosition, ListedJob, Page, State};

const GROUPS: &str = "SELECT id, created_at, pending, succeeded, failed, cancelled FROM grp \
                      WHERE created_at >= ?1 AND (created_at, id) < (?2, ?3) AND ?4 IS NULL \
                      ORDER BY created_at DESC, id DESC";
const LABELLED: &str = "SELECT id, grp.created_at, pending, succeeded, failed, cancelled \
                        FROM label CROSS JOIN grp ON grp.id = label.grp \
                        WHERE label.created_at >= ?1 AND (label.created_at, label.grp) < (?2, ?3) AND name = ?4 \
                        ORDER BY label.created_at DESC, label.grp DESC";
const MEMBERS: &str = "SELECT job.id, idx, state, name, kind FROM job JOIN queue ON queue.id = job.queue \
                       WHERE grp = ?1 AND idx < ?2 ORDER BY idx DESC";

/// See [`Broker::list`](crate::Broker::list).
pub(super) fn list(db: &Connection, list: JobList, skip: usize, limit: usize) -> rusqlite::Result<Vec<ListedJob>> {
    db.prepare_cached(match list {
        JobList::Delayed => {
            "SELECT id, due FROM job WHERE state = 1 AND due IS NOT NULL ORDER BY due, seq LIMIT ?2 OFFSET ?1"
        }
        JobList::Active => "SELECT id, due FROM job WHERE state = 2 ORDER BY due, seq LIMIT ?2 OFFSET ?1",
        JobList::Dead => {
            "SELECT id, finished_at FROM job WHERE state = 4 AND retried = 0 \
             ORDER BY finished_at DESC, seq DESC LIMIT ?2 OFFSET ?1"
        }
    })?
    .query_map([row_count(skip), row_count(limit)], |row| {
        Ok(ListedJob { job: Uuid::from_bytes(row.get(0)?).into(), at: instant(row, 1)? })
    })?
    .collect()
}

/// See [`Broker::groups`](crate::Broker::groups).
pub(super) fn groups(
    db: &Connection,
    filter: &GroupFilter,
    below: Option<ListPosition>,
    limit: usize,
) -> rusqlite::Result<Page<Group>> {
    let GroupFilter { label, submitted } = filter;
    let (top, limit) = (submitted.top(below), limit.min(SCAN_LIMIT));
    let mut find = db.prepare_cached(&format!("{} LIMIT ?5", newest(label.as_ref())))?;
    let positions: Vec<ListPosition> = find
        .query_map(
            params![
                submitted.floor_ms(),
                top.created_at.as_millisecond(),
                id_bytes(top.group),
                label,
                row_count(limit)
            ],
            |row| {
                Ok(ListPosition { created_at: instant(row, 1)?, group: Uuid::from_bytes(row.get(0)?).into(), index: 0 })
            },
        )?
        .collect::<rusqlite::Result<_>>()?;
    let groups = positions.iter().filter_map(|position| status::group(db, position.group).transpose());
    let next = positions.last().copied().filter(|_| positions.len() == limit);
    Ok(Page { entries: groups.collect::<rusqlite::Result<_>>()?, next })
}

/// The statement that lists groups, all or those with a label.
fn newest(label: Option<&String>) -> &'static str {
    if label.is_some() { LABELLED } else { GROUPS }
}

/// Whether a group has this label; `true` for `None`.
fn is_labelled(db: &Connection, group: GroupId, label: Option<&String>) -> rusqlite::Result<bool> {
    let Some(label) = label else { return Ok(true) };
    db.prepare_cached("SELECT 1 FROM label WHERE grp = ?1 AND name = ?2")?.exists(params![id_bytes(group), label])
}

/// See [`Broker::jobs`](crate::Broker::jobs).
pub(super) fn jobs(
    db: &Connection,
    filter: &JobFilter,
    below: Option<ListPosition>,
    limit: usize,
) -> rusqlite::Result<Page<Job>> {
    let Page { entries, next } = match filter.state.filter(|state| matches!(state, State::Active | State::Delayed)) {
        Some(state) if are_few(db, state)? => sorted(db, filter, state, below, limit)?,
        _ => searched(db, filter, below, limit)?,
    };
    let jobs = entries.into_iter().filter_map(|id| status::job(db, id).transpose());
    Ok(Page { entries: jobs.collect::<rusqlite::Result<_>>()?, next })
}

/// Whether the jobs in a state are few enough to be sorted.
fn are_few(db: &Connection, state: State) -> rusqlite::Result<bool> {
    let counter = if state == State::Active { "active" } else { "delayed" };
    let jobs: i64 =
        db.prepare_cached(&format!("SELECT ifnull(sum({counter}), 0) FROM queue"))?.query_row([], |row| row.get(0))?;
    Ok(jobs <= row_count(SORT_LIMIT))
}

/// The jobs in a state, all of them sorted.
fn sorted(
    db: &Connection,
    filter: &JobFilter,
    state: State,
    below: Option<ListPosition>,
    limit: usize,
) -> rusqlite::Result<Page<JobId>> {
    let top = filter.submitted.top(below);
    // CROSS JOIN fixes the order; the planner might otherwise begin with all groups.
    let mut find = db.prepare_cached(&format!(
        "SELECT job.id, created, owner, idx FROM \
         (SELECT id, grp, idx, queue, kind FROM job WHERE state = {}) AS job \
         CROSS JOIN (SELECT id AS owner, created_at AS created FROM grp) ON owner = job.grp \
         CROSS JOIN queue ON queue.id = job.queue \
         WHERE created >= ?1 AND (created, owner, idx) < (?2, ?3, ?4) AND (?5 IS NULL OR name = ?5) \
         AND (?6 IS NULL OR kind = ?6) AND (?7 IS NULL OR owner = ?7) \
         AND (?8 IS NULL OR EXISTS (SELECT 1 FROM label WHERE label.grp = owner AND label.name = ?8)) \
         ORDER BY created DESC, owner DESC, idx DESC LIMIT ?9",
        state_code(state)
    ))?;
    let found = find.query_map(
        params![
            filter.submitted.floor_ms(),
            top.created_at.as_millisecond(),
            id_bytes(top.group),
            top.index,
            filter.queue,
            filter.kind,
            filter.group.map(id_bytes),
            filter.label,
            // One more than asked for, to see whether there are more.
            row_count(limit.saturating_add(1)),
        ],
        |row| {
            let group = Uuid::from_bytes(row.get(2)?).into();
            let position = ListPosition { created_at: instant(row, 1)?, group, index: row.get(3)? };
            Ok((Uuid::from_bytes(row.get(0)?).into(), position))
        },
    )?;
    let mut found: Vec<(JobId, ListPosition)> = found.collect::<rusqlite::Result<_>>()?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = if more { Some(found.last().map_or(top, |(_, position)| *position)) } else { None };
    Ok(Page { entries: found.into_iter().map(|(id, _)| id).collect(), next })
}

/// Jobs found through their groups.
fn searched(
    db: &Connection,
    filter: &JobFilter,
    below: Option<ListPosition>,
    limit: usize,
) -> rusqlite::Result<Page<JobId>> {
    let top = filter.submitted.top(below);
    let mut search = Search { db, filter, limit, unread: SCAN_LIMIT, jobs: Vec::new(), position: top };
    let more = search.run()?;
    Ok(Page { entries: search.jobs, next: more.then_some(search.position) })
}

struct Search<'a> {
    db: &'a Connection,
    filter: &'a JobFilter,
    limit: usize,
    /// How many groups and jobs may still be read.
    unread: usize,
    jobs: Vec<JobId>,
    /// Where the last record read is in the list.
    position: ListPosition,
}

impl Search<'_> {
    /// Returns whether there may be more.
    fn run(&mut self) -> rusqlite::Result<bool> {
        let (db, top, floor) = (self.db, self.position, self.filter.submitted.floor_ms());
        let label = self.filter.label.as_ref();
        let is_wanted = self.filter.group.is_none_or(|only| only == top.group) && is_labelled(db, top.group, label)?;
        if top.index > 0 && top.created_at.as_millisecond() >= floor && is_wanted && !self.read_group(top)? {
            return Ok(true);
        }
        if let Some(only) = self.filter.group {
            let Some(group) = status::group(db, only)? else { return Ok(false) };
            if !is_labelled(db, only, label)? {
                return Ok(false);
            }
            let whole = ListPosition { created_at: group.created_at, group: only, index: u32::MAX };
            let below = (group.created_at, only) < (top.created_at, top.group);
            return Ok(below && group.created_at.as_millisecond() >= floor && !self.read_group(whole)?);
        }
        let mut groups = db.prepare_cached(newest(label))?;
        let mut rows = groups.query(params![floor, top.created_at.as_millisecond(), id_bytes(top.group), label])?;
        while let Some(row) = rows.next()? {
            if self.is_over() {
                return Ok(true);
            }
            self.unread -= 1;
            let [pending, succeeded, failed, cancelled] =
                [row.get::<_, u32>(2)?, row.get(3)?, row.get(4)?, row.get(5)?];
            let may_match = match self.filter.state {
                None => true,
                Some(State::Succeeded) => succeeded > 0,
                Some(State::Failed) => failed > 0,
                Some(State::Cancelled) => cancelled > 0,
                Some(State::Waiting | State::Delayed | State::Active) => pending > 0,
            };
            let group = Uuid::from_bytes(row.get(0)?).into();
            let whole = ListPosition { created_at: instant(row, 1)?, group, index: u32::MAX };
            if may_match && !self.read_group(whole)? {
                return Ok(true);
            }
            self.position = ListPosition { index: 0, ..whole };
        }
        Ok(false)
    }

    fn is_over(&self) -> bool {
        self.unread == 0 || self.jobs.len() >= self.limit
    }

    /// Reads the jobs of the position's group that are after the position. Returns whether it reached the end of the
    /// group.
    fn read_group(&mut self, below: ListPosition) -> rusqlite::Result<bool> {
        let JobFilter { state: wanted, queue, kind, .. } = self.filter;
        let mut members = self.db.prepare_cached(MEMBERS)?;
        let mut rows = members.query(params![id_bytes(below.group), below.index])?;
        while let Some(row) = rows.next()? {
            if self.is_over() {
                return Ok(false);
            }
            self.unread -= 1;
            self.position = ListPosition { index: row.get(1)?, ..below };
            let job_state = state(row, 2)?;
            let is = |wanted: &Option<String>, column| match wanted {
                None => Ok(true),
                Some(wanted) => row.get_ref(column)?.as_str().map(|is| is == wanted).map_err(rusqlite::Error::from),
            };
            if wanted.is_none_or(|wanted| wanted == job_state) && is(queue, 3)? && is(kind, 4)? {
                self.jobs.push(Uuid::from_bytes(row.get(0)?).into());
            }
        }
        Ok(true)
    }
}
