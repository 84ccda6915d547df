//! Lists of groups and jobs: the scripts find their ids, plain reads what is known of each.

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use redis::Value;

use super::super::listing::{FEW, LOOKS};
use super::super::{Group, Job, JobFilter, Page, Period, Place, Result};
use super::reads::{self, damaged, parsed, parsed_id};
use super::{RedisBroker, id_of, ids_of, script};
use crate::job::{GroupId, JobId, State};

/// Records that are read at a time.
const READS: usize = 64;

impl RedisBroker {
    pub async fn groups(&self, submitted: Period, below: Option<Place>, limit: usize) -> Result<Page<Group>> {
        let (top, limit) = (submitted.top(below), limit.min(LOOKS));
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

    pub async fn jobs(&self, filter: &JobFilter, below: Option<Place>, limit: usize) -> Result<Page<Job>> {
        let JobFilter { state, queue, kind, group, submitted } = filter;
        let top = submitted.top(below);
        let mut call = self.call(&script::JOBS);
        call.arg(state.map_or("", State::as_str)).arg(queue.as_deref().unwrap_or_default());
        call.arg(kind.as_deref().unwrap_or_default()).arg(group.map_or_else(String::new, |group| group.to_string()));
        call.arg(submitted.floor_ms()).arg(top.created_at.as_millisecond()).arg(top.group.to_string()).arg(top.index);
        call.arg(limit).arg(LOOKS).arg(FEW);
        let mut answer = parsed::<Vec<Value>>(self.link.one(call).await?)?.into_iter();
        let mut field = || answer.next().ok_or_else(damaged);
        let more: bool = parsed(field()?)?;
        let (ms, group, index) = (parsed(field()?)?, id_of(field()?)?, parsed(field()?)?);
        // Nothing looked at, it is where the list began.
        let next = if more { Some(place(ms, group, index)?) } else { None };
        let jobs: Vec<Option<Job>> = stream::iter(ids_of::<JobId>(answer.collect())?)
            .map(|id| reads::job(&self.link, &self.prefix, id))
            .buffered(READS)
            .try_collect()
            .await?;
        // One may have moved on since.
        let stands = |job: &Job| state.is_none_or(|state| state == job.state);
        Ok(Page { entries: jobs.into_iter().flatten().filter(stands).collect(), next })
    }
}

fn place(ms: i64, group: GroupId, index: u32) -> Result<Place> {
    let created_at = Timestamp::from_millisecond(ms).map_err(|_| damaged())?;
    Ok(Place { created_at, group, index })
}
