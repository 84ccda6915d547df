//! Lists of groups and jobs, the newest first, as they stand at one instant.

use rusqlite::{Connection, params};
use uuid::Uuid;

use super::columns::{self, bytes, code, instant, most};
use super::reads;
use crate::{FEW, LOOKS};
use crate::{Group, Job, JobFilter, Page, Period, Place};
use crate::{JobId, State};

const GROUPS: &str = "SELECT id, created_at, pending, succeeded, failed, cancelled FROM grp \
                      WHERE created_at >= ?1 AND (created_at, id) < (?2, ?3) ORDER BY created_at DESC, id DESC";
const MEMBERS: &str = "SELECT job.id, idx, state, name, kind FROM job JOIN queue ON queue.id = job.queue \
                       WHERE grp = ?1 AND idx < ?2 ORDER BY idx DESC";

pub(super) fn groups(
    db: &Connection,
    submitted: Period,
    below: Option<Place>,
    limit: usize,
) -> rusqlite::Result<Page<Group>> {
    let (top, limit) = (submitted.top(below), limit.min(LOOKS));
    let mut find = db.prepare_cached(&format!("{GROUPS} LIMIT ?4"))?;
    let places: Vec<Place> = find
        .query_map(
            params![submitted.floor_ms(), top.created_at.as_millisecond(), bytes(top.group), most(limit)],
            |row| Ok(Place { created_at: instant(row, 1)?, group: Uuid::from_bytes(row.get(0)?).into(), index: 0 }),
        )?
        .collect::<rusqlite::Result<_>>()?;
    let groups = places.iter().filter_map(|place| reads::group(db, place.group).transpose());
    let next = places.last().copied().filter(|_| places.len() == limit);
    Ok(Page { entries: groups.collect::<rusqlite::Result<_>>()?, next })
}

pub(super) fn jobs(
    db: &Connection,
    filter: &JobFilter,
    below: Option<Place>,
    limit: usize,
) -> rusqlite::Result<Page<Job>> {
    let Page { entries, next } = match filter.state.filter(|state| matches!(state, State::Active | State::Delayed)) {
        Some(state) if are_few(db, state)? => sorted(db, filter, state, below, limit)?,
        _ => looked_for(db, filter, below, limit)?,
    };
    let jobs = entries.into_iter().filter_map(|id| reads::job(db, id).transpose());
    Ok(Page { entries: jobs.collect::<rusqlite::Result<_>>()?, next })
}

fn are_few(db: &Connection, state: State) -> rusqlite::Result<bool> {
    let counter = if state == State::Active { "active" } else { "delayed" };
    let jobs: i64 =
        db.prepare_cached(&format!("SELECT ifnull(sum({counter}), 0) FROM queue"))?.query_row([], |row| row.get(0))?;
    Ok(jobs <= most(FEW))
}

/// The jobs in a state that few are in.
fn sorted(
    db: &Connection,
    filter: &JobFilter,
    state: State,
    below: Option<Place>,
    limit: usize,
) -> rusqlite::Result<Page<JobId>> {
    let top = filter.submitted.top(below);
    // In this order, or the planner might begin with all groups.
    let mut find = db.prepare_cached(&format!(
        "SELECT job.id, created, owner, idx FROM \
         (SELECT id, grp, idx, queue, kind FROM job WHERE state = {}) AS job \
         CROSS JOIN (SELECT id AS owner, created_at AS created FROM grp) ON owner = job.grp \
         CROSS JOIN queue ON queue.id = job.queue \
         WHERE created >= ?1 AND (created, owner, idx) < (?2, ?3, ?4) AND (?5 IS NULL OR name = ?5) \
         AND (?6 IS NULL OR kind = ?6) AND (?7 IS NULL OR owner = ?7) \
         ORDER BY created DESC, owner DESC, idx DESC LIMIT ?8",
        code(state)
    ))?;
    let found = find.query_map(
        params![
            filter.submitted.floor_ms(),
            top.created_at.as_millisecond(),
            bytes(top.group),
            top.index,
            filter.queue,
            filter.kind,
            filter.group.map(bytes),
            // One more tells whether there are more.
            most(limit.saturating_add(1)),
        ],
        |row| {
            let group = Uuid::from_bytes(row.get(2)?).into();
            let place = Place { created_at: instant(row, 1)?, group, index: row.get(3)? };
            Ok((Uuid::from_bytes(row.get(0)?).into(), place))
        },
    )?;
    let mut found: Vec<(JobId, Place)> = found.collect::<rusqlite::Result<_>>()?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = if more { Some(found.last().map_or(top, |(_, place)| *place)) } else { None };
    Ok(Page { entries: found.into_iter().map(|(id, _)| id).collect(), next })
}

/// Jobs found through their groups.
fn looked_for(
    db: &Connection,
    filter: &JobFilter,
    below: Option<Place>,
    limit: usize,
) -> rusqlite::Result<Page<JobId>> {
    let top = filter.submitted.top(below);
    let mut search = Search { db, filter, limit, looks: LOOKS, jobs: Vec::new(), place: top };
    let more = search.run()?;
    Ok(Page { entries: search.jobs, next: more.then_some(search.place) })
}

struct Search<'a> {
    db: &'a Connection,
    filter: &'a JobFilter,
    limit: usize,
    /// Groups and jobs that may still be looked at.
    looks: usize,
    jobs: Vec<JobId>,
    /// Of what was looked at last.
    place: Place,
}

impl Search<'_> {
    /// Answers whether there may be more.
    fn run(&mut self) -> rusqlite::Result<bool> {
        let (db, top, floor) = (self.db, self.place, self.filter.submitted.floor_ms());
        let is_asked_for = |group| self.filter.group.is_none_or(|only| only == group);
        if top.index > 0 && top.created_at.as_millisecond() >= floor && is_asked_for(top.group) && !self.look(top)? {
            return Ok(true);
        }
        if let Some(only) = self.filter.group {
            let Some(group) = reads::group(db, only)? else { return Ok(false) };
            let whole = Place { created_at: group.created_at, group: only, index: u32::MAX };
            let below = (group.created_at, only) < (top.created_at, top.group);
            return Ok(below && group.created_at.as_millisecond() >= floor && !self.look(whole)?);
        }
        let mut groups = db.prepare_cached(GROUPS)?;
        let mut rows = groups.query(params![floor, top.created_at.as_millisecond(), bytes(top.group)])?;
        while let Some(row) = rows.next()? {
            if self.is_over() {
                return Ok(true);
            }
            self.looks -= 1;
            let [pending, succeeded, failed, cancelled] =
                [row.get::<_, u32>(2)?, row.get(3)?, row.get(4)?, row.get(5)?];
            let of_use = match self.filter.state {
                None => true,
                Some(State::Succeeded) => succeeded > 0,
                Some(State::Failed) => failed > 0,
                Some(State::Cancelled) => cancelled > 0,
                Some(State::Waiting | State::Delayed | State::Active) => pending > 0,
            };
            let group = Uuid::from_bytes(row.get(0)?).into();
            let whole = Place { created_at: instant(row, 1)?, group, index: u32::MAX };
            if of_use && !self.look(whole)? {
                return Ok(true);
            }
            self.place = Place { index: 0, ..whole };
        }
        Ok(false)
    }

    fn is_over(&self) -> bool {
        self.looks == 0 || self.jobs.len() >= self.limit
    }

    /// Looks at the jobs of the place's group that stand below it. Answers whether it came to the end of them.
    fn look(&mut self, below: Place) -> rusqlite::Result<bool> {
        let JobFilter { state, queue, kind, .. } = self.filter;
        let mut members = self.db.prepare_cached(MEMBERS)?;
        let mut rows = members.query(params![bytes(below.group), below.index])?;
        while let Some(row) = rows.next()? {
            if self.is_over() {
                return Ok(false);
            }
            self.looks -= 1;
            self.place = Place { index: row.get(1)?, ..below };
            let stands = columns::state(row, 2)?;
            let is = |wanted: &Option<String>, column| match wanted {
                None => Ok(true),
                Some(wanted) => row.get_ref(column)?.as_str().map(|is| is == wanted).map_err(rusqlite::Error::from),
            };
            if state.is_none_or(|state| state == stands) && is(queue, 3)? && is(kind, 4)? {
                self.jobs.push(Uuid::from_bytes(row.get(0)?).into());
            }
        }
        Ok(true)
    }
}
