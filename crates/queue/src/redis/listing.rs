//! Lists of groups and jobs: scripts find their ids, plain reads what is known of each.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use redis::Value;

use super::reads::{self, damaged, parsed, parsed_id};
use super::{RedisBroker, id_of, ids_of, script};
use crate::contract::{SCAN_LIMIT, SORT_LIMIT};
use crate::{Group, Job, JobFilter, ListPosition, Page, Period, Result};
use crate::{GroupId, JobId, State};

/// Records that are read at a time.
const READS: usize = 64;
/// Reads of a few fields in one round trip.
const AT_ONCE: usize = 500;

/// What a job's record says of its kind, line, group and index.
type Member = (Option<String>, Option<String>, Option<String>, Option<u32>);

impl RedisBroker {
    pub async fn groups(&self, submitted: Period, below: Option<ListPosition>, limit: usize) -> Result<Page<Group>> {
        let (top, limit) = (submitted.top(below), limit.min(SCAN_LIMIT));
        let mut call = self.call(&script::GROUPS);
        call.arg(submitted.floor_ms()).arg(top.created_at.as_millisecond()).arg(top.group.to_string()).arg(limit);
        let found: Vec<(String, i64)> = parsed(self.link.one(call).await?)?;
        let mut places = Vec::with_capacity(found.len());
        for (id, ms) in found {
            places.push(place(ms, parsed_id(id.as_bytes())?, 0)?);
        }
        let ids: Vec<GroupId> = places.iter().map(|place| place.group).collect();
        let groups: Vec<Option<Group>> = stream::iter(ids)
            .map(|id| reads::group(&self.link, &self.prefix, id))
            .buffered(READS)
            .try_collect()
            .await?;
        // What has been removed meanwhile is no longer listed.
        let next = places.last().copied().filter(|_| places.len() == limit);
        Ok(Page { entries: groups.into_iter().flatten().collect(), next })
    }

    pub async fn jobs(&self, filter: &JobFilter, below: Option<ListPosition>, limit: usize) -> Result<Page<Job>> {
        let few = match filter.state {
            Some(State::Active) => self.sorted("lease", filter, below, limit).await?,
            Some(State::Delayed) => self.sorted("delayed", filter, below, limit).await?,
            _ => None,
        };
        let Page { entries, next } = match few {
            Some(page) => page,
            None => self.looked_for(filter, below, limit).await?,
        };
        let jobs: Vec<Option<Job>> = stream::iter(entries)
            .map(|id| reads::job(&self.link, &self.prefix, id))
            .buffered(READS)
            .try_collect()
            .await?;
        // One may have moved on since.
        let stands = |job: &Job| filter.state.is_none_or(|state| state == job.state);
        Ok(Page { entries: jobs.into_iter().flatten().filter(stands).collect(), next })
    }

    /// Jobs found through their groups.
    async fn looked_for(&self, filter: &JobFilter, below: Option<ListPosition>, limit: usize) -> Result<Page<JobId>> {
        let JobFilter { state, queue, kind, group, submitted } = filter;
        let top = submitted.top(below);
        let mut call = self.call(&script::JOBS);
        call.arg(state.map_or("", State::as_str)).arg(queue.as_deref().unwrap_or_default());
        call.arg(kind.as_deref().unwrap_or_default()).arg(group.map_or_else(String::new, |group| group.to_string()));
        call.arg(submitted.floor_ms()).arg(top.created_at.as_millisecond()).arg(top.group.to_string()).arg(top.index);
        call.arg(limit).arg(SCAN_LIMIT);
        let mut answer = parsed::<Vec<Value>>(self.link.one(call).await?)?.into_iter();
        let mut field = || answer.next().ok_or_else(damaged);
        let more: bool = parsed(field()?)?;
        let (ms, group, index) = (parsed(field()?)?, id_of(field()?)?, parsed(field()?)?);
        // Nothing looked at, it is where the list began.
        let next = if more { Some(place(ms, group, index)?) } else { None };
        Ok(Page { entries: ids_of(answer.collect())?, next })
    }

    /// The jobs of a sorted set that has few; none where it has many. No script: to read them all at once would hold
    /// others up.
    async fn sorted(
        &self,
        zset: &str,
        filter: &JobFilter,
        below: Option<ListPosition>,
        limit: usize,
    ) -> Result<Option<Page<JobId>>> {
        let read = redis::cmd("ZRANGE").arg(format!("{}{zset}", self.prefix)).arg(0).arg(SORT_LIMIT).to_owned();
        let ids: Vec<JobId> = ids_of(parsed(self.link.one(read).await?)?)?;
        if ids.len() > SORT_LIMIT {
            return Ok(None);
        }
        let fields = ["kind", "place", "group", "index"];
        let mut members: Vec<(JobId, GroupId, u32)> = Vec::new();
        for (id, record) in ids.iter().zip(self.read_all(&ids, 'j', &fields).await?) {
            let (kind, line, group, index): Member = parsed(record)?;
            // One that has been removed meanwhile has none.
            let (Some(group), Some(index)) = (group, index) else { continue };
            let group: GroupId = parsed_id(group.as_bytes())?;
            if is_wanted(filter, kind.as_deref(), line.as_deref(), group) {
                members.push((*id, group, index));
            }
        }
        let groups: BTreeSet<GroupId> = members.iter().map(|(_, group, _)| *group).collect();
        let groups: Vec<GroupId> = groups.into_iter().collect();
        let created = self.read_all(&groups, 'g', &["created"]).await?;
        let created = created.into_iter().map(|record| Ok(parsed::<(Option<i64>,)>(record)?.0));
        let created: HashMap<GroupId, Option<i64>> =
            groups.iter().copied().zip(created).map(|(id, ms)| Ok((id, ms?))).collect::<Result<_>>()?;
        let (top, floor) = (filter.submitted.top(below), filter.submitted.floor_ms());
        let mut found = Vec::new();
        for (id, group, index) in members {
            let Some(ms) = created[&group].filter(|ms| *ms >= floor) else { continue };
            found.push((place(ms, group, index)?, id));
        }
        found.retain(|(place, _)| *place < top);
        found.sort_unstable_by(|one, other| other.cmp(one));
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().map(|(place, _)| *place).filter(|_| more);
        Ok(Some(Page { entries: found.into_iter().map(|(_, id)| id).collect(), next }))
    }

    /// Fields of many jobs' or groups' records.
    async fn read_all(&self, ids: &[impl fmt::Display], letter: char, fields: &[&str]) -> Result<Vec<Value>> {
        let mut records = Vec::with_capacity(ids.len());
        for some in ids.chunks(AT_ONCE) {
            let read = |id| redis::cmd("HMGET").arg(format!("{}{letter}:{id}", self.prefix)).arg(fields).to_owned();
            records.extend(self.link.all(some.iter().map(read).collect()).await?);
        }
        Ok(records)
    }
}

/// Whether a job is of the queue, kind and group; `line` is `<queue>:<class>:<priority>`.
fn is_wanted(filter: &JobFilter, kind: Option<&str>, line: Option<&str>, group: GroupId) -> bool {
    let queue = line.and_then(|line| line.split(':').next());
    let is = |wanted: &Option<String>, it: Option<&str>| wanted.is_none() || wanted.as_deref() == it;
    is(&filter.kind, kind) && is(&filter.queue, queue) && filter.group.is_none_or(|wanted| wanted == group)
}

fn place(ms: i64, group: GroupId, index: u32) -> Result<ListPosition> {
    let created_at = Timestamp::from_millisecond(ms).map_err(|_| damaged())?;
    Ok(ListPosition { created_at, group, index })
}
