//! Lists of groups and jobs. Scripts find their ids; plain commands read their records.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use redis::Value;

use super::answer::{damaged, id_of, ids_of, moment, parsed, parsed_id};
use super::broker::RedisBroker;
use super::script;
use crate::contract::{SCAN_LIMIT, SORT_LIMIT};
use crate::{
    Group, GroupFilter, GroupId, Job, JobFilter, JobId, JobList, ListPosition, ListedJob, Page, Result, State,
};

/// Number of records that are read at the same time.
const READS: usize = 64;
/// Number of reads of a few fields in one round trip.
const AT_ONCE: usize = 500;

/// A job's kind, line, group and index.
type Member = (Option<String>, Option<String>, Option<String>, Option<u32>);

impl RedisBroker {
    pub async fn list(&self, list: JobList, skip: usize, limit: usize) -> Result<Vec<ListedJob>> {
        let mut read = redis::cmd("ZRANGE");
        match list {
            // Held jobs have an infinite score.
            JobList::Delayed => read.arg(self.sorted_set("delayed")).arg(&["-inf", "(+inf", "BYSCORE"]),
            JobList::Active => read.arg(self.sorted_set("lease")).arg(&["-inf", "+inf", "BYSCORE"]),
            JobList::Dead => read.arg(self.sorted_set("dead")).arg(&["+inf", "-inf", "BYSCORE", "REV"]),
        };
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        read.arg("LIMIT").arg(count(skip)).arg(count(limit)).arg("WITHSCORES");
        let found: Vec<(String, f64)> = parsed(self.link.one(read).await?)?;
        found.iter().map(|(id, at)| Ok(ListedJob { job: parsed_id(id.as_bytes())?, at: moment(*at)? })).collect()
    }

    fn sorted_set(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub async fn groups(&self, filter: &GroupFilter, below: Option<ListPosition>, limit: usize) -> Result<Page<Group>> {
        let GroupFilter { label, submitted } = filter;
        let (top, limit) = (submitted.top(below), limit.min(SCAN_LIMIT));
        let mut call = self.call(&script::GROUPS);
        call.arg(submitted.floor_ms()).arg(top.created_at.as_millisecond()).arg(top.group.to_string()).arg(limit);
        call.arg(label.as_deref().unwrap_or_default());
        let found: Vec<(String, i64)> = parsed(self.link.one(call).await?)?;
        let mut positions = Vec::with_capacity(found.len());
        for (id, ms) in found {
            positions.push(position(ms, parsed_id(id.as_bytes())?, 0)?);
        }
        let ids: Vec<GroupId> = positions.iter().map(|position| position.group).collect();
        let groups: Vec<Option<Group>> =
            stream::iter(ids).map(|id| self.group(id)).buffered(READS).try_collect().await?;
        // Groups that were removed since are not listed.
        let next = positions.last().copied().filter(|_| positions.len() == limit);
        Ok(Page { entries: groups.into_iter().flatten().collect(), next })
    }

    pub async fn jobs(&self, filter: &JobFilter, below: Option<ListPosition>, limit: usize) -> Result<Page<Job>> {
        let sorted = match filter.state {
            Some(State::Active) => self.sorted("lease", filter, below, limit).await?,
            Some(State::Delayed) => self.sorted("delayed", filter, below, limit).await?,
            _ => None,
        };
        let Page { entries, next } = match sorted {
            Some(page) => page,
            None => self.searched(filter, below, limit).await?,
        };
        let jobs: Vec<Option<Job>> = stream::iter(entries).map(|id| self.job(id)).buffered(READS).try_collect().await?;
        // A job may have changed its state since.
        let matches = |job: &Job| filter.state.is_none_or(|state| state == job.state);
        Ok(Page { entries: jobs.into_iter().flatten().filter(matches).collect(), next })
    }

    /// Jobs found through their groups.
    async fn searched(&self, filter: &JobFilter, below: Option<ListPosition>, limit: usize) -> Result<Page<JobId>> {
        let JobFilter { state, queue, kind, group, label, submitted } = filter;
        let top = submitted.top(below);
        let mut call = self.call(&script::JOBS);
        call.arg(state.map_or("", State::as_str)).arg(queue.as_deref().unwrap_or_default());
        call.arg(kind.as_deref().unwrap_or_default()).arg(group.map_or_else(String::new, |group| group.to_string()));
        call.arg(submitted.floor_ms()).arg(top.created_at.as_millisecond()).arg(top.group.to_string()).arg(top.index);
        call.arg(limit).arg(SCAN_LIMIT).arg(label.as_deref().unwrap_or_default());
        let mut answer = parsed::<Vec<Value>>(self.link.one(call).await?)?.into_iter();
        let mut field = || answer.next().ok_or_else(damaged);
        let more: bool = parsed(field()?)?;
        let (ms, group, index) = (parsed(field()?)?, id_of(field()?)?, parsed(field()?)?);
        // If no record was read, this is the position where the list began.
        let next = if more { Some(position(ms, group, index)?) } else { None };
        Ok(Page { entries: ids_of(answer.collect())?, next })
    }

    /// The jobs of a sorted set, sorted; `None` if it has too many. Plain commands and not a script, which would block
    /// Redis while it reads them all.
    async fn sorted(
        &self,
        zset: &str,
        filter: &JobFilter,
        below: Option<ListPosition>,
        limit: usize,
    ) -> Result<Option<Page<JobId>>> {
        let read = redis::cmd("ZRANGE").arg(self.sorted_set(zset)).arg(0).arg(SORT_LIMIT).to_owned();
        let ids: Vec<JobId> = ids_of(parsed(self.link.one(read).await?)?)?;
        if ids.len() > SORT_LIMIT {
            return Ok(None);
        }
        let fields = ["kind", "place", "group", "index"];
        let mut members: Vec<(JobId, GroupId, u32)> = Vec::new();
        for (id, record) in ids.iter().zip(self.read_all(&ids, 'j', &fields).await?) {
            let (kind, line, group, index): Member = parsed(record)?;
            // A job that was removed since has no record.
            let (Some(group), Some(index)) = (group, index) else { continue };
            let group: GroupId = parsed_id(group.as_bytes())?;
            if is_wanted(filter, kind.as_deref(), line.as_deref(), group) {
                members.push((*id, group, index));
            }
        }
        let groups: BTreeSet<GroupId> = members.iter().map(|(_, group, _)| *group).collect();
        let groups: Vec<GroupId> = groups.into_iter().collect();
        let created = self.read_all(&groups, 'g', &["created", "labels"]).await?;
        let created = created.into_iter().map(|record| {
            let (created, labels): (Option<i64>, Option<String>) = parsed(record)?;
            let has = |label: &str| labels.is_some_and(|labels| labels.split('\n').any(|one| one == label));
            Ok(created.filter(|_| filter.label.as_deref().is_none_or(has)))
        });
        let created: HashMap<GroupId, Option<i64>> =
            groups.iter().copied().zip(created).map(|(id, ms)| Ok((id, ms?))).collect::<Result<_>>()?;
        let (top, floor) = (filter.submitted.top(below), filter.submitted.floor_ms());
        let mut found = Vec::new();
        for (id, group, index) in members {
            let Some(ms) = created[&group].filter(|ms| *ms >= floor) else { continue };
            found.push((position(ms, group, index)?, id));
        }
        found.retain(|(position, _)| *position < top);
        found.sort_unstable_by(|one, other| other.cmp(one));
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().map(|(position, _)| *position).filter(|_| more);
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

fn position(ms: i64, group: GroupId, index: u32) -> Result<ListPosition> {
    let created_at = Timestamp::from_millisecond(ms).map_err(|_| damaged())?;
    Ok(ListPosition { created_at, group, index })
}
