//! Status reads: plain commands, none of which holds Redis up for long.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use jiff::Timestamp;
use redis::{FromRedisValue, Value};
use uuid::Uuid;

use super::link::Link;
use crate::{Error, Group, GroupResult, Index, Job, Listed, QueueDepth, Result};
use crate::{GroupId, JobId, State};

/// Results asked for in one command.
const PAGE: u32 = 1_000;
/// Results asked for before it is known how large their group is.
const FEW: u32 = 16;
/// Groups whose size is remembered, at the most; of two that share a place, the one that was read last.
const REMEMBERED: usize = 1 << 10;
/// What a group is read from.
const GROUP: [&str; 13] = [
    "total",
    "pending",
    "succeeded",
    "failed",
    "cancelled",
    "sealed",
    "meta",
    "created",
    "finished",
    "cancelling",
    "then",
    "fired",
    "length",
];

/// How many results the groups that were read last had. It spares a status that is polled from asking for others: each
/// field that is not there is read like one that is. No more than a hint, so a wrong one does no harm.
pub(super) struct Sizes([AtomicU64; REMEMBERED]);

impl Default for Sizes {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; REMEMBERED])
    }
}

impl Sizes {
    fn get(&self, id: GroupId) -> Option<u32> {
        let (place, name) = self.place(id);
        let known = place.load(Ordering::Relaxed);
        (known & !u64::from(u32::MAX) == name).then_some(known as u32)
    }

    fn set(&self, id: GroupId, size: u32) {
        let (place, name) = self.place(id);
        place.store(name | u64::from(size), Ordering::Relaxed);
    }

    /// Where it is, and the upper half of what is there. Both are of the id's random bits.
    fn place(&self, id: GroupId) -> (&AtomicU64, u64) {
        let (_, random) = Uuid::from(id).as_u64_pair();
        (&self.0[random as usize % REMEMBERED], random << 16 & !u64::from(u32::MAX))
    }
}

pub(super) async fn group(link: &Link, prefix: &str, id: GroupId) -> Result<Option<Group>> {
    let read = redis::cmd("HMGET").arg(format!("{prefix}g:{id}")).arg(&GROUP).to_owned();
    standing(id, &parsed::<Vec<_>>(link.one(read).await?)?)
}

/// One command reads both, so that they are of one instant; of more than [`PAGE`] jobs, only the first results are.
pub(super) async fn group_with_results(
    link: &Link,
    prefix: &str,
    sizes: &Sizes,
    id: GroupId,
    from: u32,
    limit: usize,
) -> Result<Option<(Group, Vec<GroupResult>)>> {
    let most = PAGE.min(u32::try_from(limit).unwrap_or(PAGE)).max(1);
    let mut asked = sizes.get(id).map_or(FEW, |size| size.saturating_sub(from).clamp(1, most));
    loop {
        let page = from..from.saturating_add(asked);
        let mut read = redis::cmd("HMGET");
        read.arg(format!("{prefix}g:{id}")).arg(&GROUP);
        for index in page.clone() {
            read.arg(format!("r:{index}"));
        }
        let mut fields: Vec<Option<Vec<u8>>> = parsed(link.one(read).await?)?;
        let found = fields.split_off(GROUP.len());
        let Some(group) = standing(id, &fields)? else { return Ok(None) };
        let length = fields[12].as_deref().map_or(Ok(group.total), |length| number(Some(length)))?;
        sizes.set(id, length);
        let mut results = entries(page.clone(), found)?;
        let all = page.end >= length || results.len() >= limit;
        if !all && asked < PAGE {
            asked = PAGE.min((length - from).max(2 * asked));
            continue;
        }
        if !all {
            results.append(&mut self::results(link, prefix, id, page.end, limit - results.len()).await?);
        }
        results.truncate(limit);
        return Ok(Some((group, results)));
    }
}

/// The group that `fields`, in the order of [`GROUP`], tell of.
fn standing(id: GroupId, fields: &[Option<Vec<u8>>]) -> Result<Option<Group>> {
    if fields.first().is_none_or(Option::is_none) {
        return Ok(None);
    }
    let number = |at: usize| number(fields[at].as_deref());
    Ok(Some(Group {
        id,
        total: number(0)?,
        pending: number(1)?,
        succeeded: number(2)?,
        failed: number(3)?,
        cancelled: number(4)?,
        sealed: fields[5].as_deref() == Some(b"1"),
        meta: fields[6].clone().unwrap_or_default().into(),
        created_at: instant(fields[7].as_deref())?,
        finished_at: fields[8].as_deref().map(|ms| instant(Some(ms))).transpose()?,
        cancelling: fields[9].is_some(),
        then: fields[10].as_deref().map(parsed_id).transpose()?,
        fired: fields[11].is_some(),
    }))
}

pub(super) async fn results(
    link: &Link,
    prefix: &str,
    id: GroupId,
    from: u32,
    limit: usize,
) -> Result<Vec<GroupResult>> {
    let read = redis::cmd("HMGET").arg(format!("{prefix}g:{id}")).arg(&["total", "length"]).to_owned();
    let (total, length): (Option<u32>, Option<u32>) = parsed(link.one(read).await?)?;
    let Some(length) = length.or(total) else { return Ok(Vec::new()) };
    let mut results = Vec::new();
    let mut page_start = from;
    while page_start < length && results.len() < limit {
        let page = page_start..length.min(page_start + PAGE);
        page_start = page.end;
        let mut read = redis::cmd("HMGET");
        read.arg(format!("{prefix}g:{id}"));
        for index in page.clone() {
            read.arg(format!("r:{index}"));
        }
        results.append(&mut entries(page, parsed(link.one(read).await?)?)?);
    }
    results.truncate(limit);
    Ok(results)
}

/// Those of `page` that are there.
fn entries(page: Range<u32>, found: Vec<Option<Vec<u8>>>) -> Result<Vec<GroupResult>> {
    page.zip(found).filter_map(|(index, entry)| Some(result(index, &entry?.into()))).collect()
}

/// `<s, f or c><job id><result>`.
fn result(index: u32, entry: &Bytes) -> Result<GroupResult> {
    let state = match entry.first() {
        Some(b's') => State::Succeeded,
        Some(b'f') => State::Failed,
        Some(b'c') => State::Cancelled,
        _ => return Err(damaged()),
    };
    let id = entry.get(1..37).and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
    Ok(GroupResult { index, job: id.ok_or_else(damaged)?, state, result: entry.slice(37..) })
}

pub(super) async fn job(link: &Link, prefix: &str, id: JobId) -> Result<Option<Job>> {
    let score = |zset| redis::cmd("ZSCORE").arg(format!("{prefix}{zset}")).arg(id.to_string()).to_owned();
    let record = redis::cmd("HGETALL").arg(format!("{prefix}j:{id}")).to_owned();
    let [fields, due, lease_end] = link.run([record, score("delayed"), score("lease")]).await?;
    let fields: HashMap<String, Vec<u8>> = parsed(fields)?;
    if fields.is_empty() {
        return Ok(None);
    }
    let field = |name: &str| fields.get(name).map(Vec::as_slice);
    let text = |name: &str| field(name).and_then(|text| std::str::from_utf8(text).ok()).ok_or_else(damaged);
    let count = |name: &str| field(name).map_or(Ok(0), |count| number(Some(count)));

    let (group, index): (GroupId, u32) = (text("group")?.parse().map_err(|_| damaged())?, number(field("index"))?);
    let state: State = text("state")?.parse().map_err(|_| damaged())?;
    let result = if state.is_terminal() {
        let read = redis::cmd("HGET").arg(format!("{prefix}g:{group}")).arg(format!("r:{index}")).to_owned();
        let entry: Option<Vec<u8>> = parsed(link.one(read).await?)?;
        entry.map(|entry| self::result(index, &entry.into())).transpose()?.map(|entry| entry.result)
    } else {
        field("reason").map(Bytes::copy_from_slice)
    };
    // Held jobs are due at no time.
    let due = parsed::<Option<f64>>(if state == State::Active { lease_end } else { due })?;
    let due_at = due.filter(|due| due.is_finite()).map(moment).transpose()?;
    let mut place = text("place")?.rsplitn(3, ':');
    let (priority, queue) = (place.next().unwrap_or_default(), place.nth(1).unwrap_or_default());
    Ok(Some(Job {
        id,
        group,
        index,
        kind: text("kind")?.to_owned(),
        queue: queue.to_owned(),
        priority: priority.parse().map_err(|_| damaged())?,
        state,
        attempt: count("attempt")?,
        max_attempts: count("most")?,
        stalls: count("stalls")?,
        alone: field("alone").is_some(),
        cancelling: field("cancelling").is_some(),
        after: field("after").map(parsed_id).transpose()?,
        retry_of: field("retry_of").map(parsed_id).transpose()?,
        due_at,
        payload: field("payload").map(Bytes::copy_from_slice).unwrap_or_default(),
        created_at: instant(field("created"))?,
        finished_at: field("finished").map(|ms| instant(Some(ms))).transpose()?,
        result,
    }))
}

pub(super) async fn depths(link: &Link, prefix: &str) -> Result<Vec<QueueDepth>> {
    let fields = link.one(redis::cmd("HGETALL").arg(format!("{prefix}queues")).to_owned()).await?;
    let fields: HashMap<String, u64> = parsed(fields)?;
    let mut depths: BTreeMap<&str, QueueDepth> = BTreeMap::new();
    for (field, &jobs) in &fields {
        // `<queue>:<class>:<state>`, and `<queue>::paused`
        let mut parts = field.splitn(3, ':');
        let (Some(queue), Some(_), Some(state)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let empty = || QueueDepth { queue: queue.to_owned(), waiting: 0, delayed: 0, active: 0, paused: false };
        let depth = depths.entry(queue).or_insert_with(empty);
        match state {
            "waiting" => depth.waiting += jobs,
            "delayed" => depth.delayed += jobs,
            "active" => depth.active += jobs,
            "paused" => depth.paused = true,
            _ => {}
        }
    }
    Ok(depths.into_values().collect())
}

pub(super) async fn list(link: &Link, prefix: &str, index: Index, skip: usize, limit: usize) -> Result<Vec<Listed>> {
    let mut read = redis::cmd("ZRANGE");
    match index {
        // Held jobs stand at infinity.
        Index::Delayed => read.arg(format!("{prefix}delayed")).arg(&["-inf", "(+inf", "BYSCORE"]),
        Index::Active => read.arg(format!("{prefix}lease")).arg(&["-inf", "+inf", "BYSCORE"]),
        Index::Dead => read.arg(format!("{prefix}dead")).arg(&["+inf", "-inf", "BYSCORE", "REV"]),
    };
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    read.arg("LIMIT").arg(count(skip)).arg(count(limit)).arg("WITHSCORES");
    let found: Vec<(String, f64)> = parsed(link.one(read).await?)?;
    found.iter().map(|(id, at)| Ok(Listed { job: parsed_id(id.as_bytes())?, at: moment(*at)? })).collect()
}

pub(super) fn parsed<T: FromRedisValue>(value: Value) -> Result<T> {
    T::from_redis_value(value).map_err(|_| damaged())
}

fn number(digits: Option<&[u8]>) -> Result<u32> {
    digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).ok_or_else(damaged)
}

pub(super) fn instant(ms: Option<&[u8]>) -> Result<Timestamp> {
    let ms: Option<i64> = ms.and_then(|ms| std::str::from_utf8(ms).ok()?.parse().ok());
    ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()).ok_or_else(damaged)
}

#[allow(clippy::cast_possible_truncation, reason = "scores are whole milliseconds")]
fn moment(ms: f64) -> Result<Timestamp> {
    Timestamp::from_millisecond(ms as i64).map_err(|_| damaged())
}

pub(super) fn parsed_id<T: FromStr>(id: &[u8]) -> Result<T> {
    std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()).ok_or_else(damaged)
}

/// A record that is not what the scripts write.
pub(super) fn damaged() -> Error {
    Error::Incompatible("Redis holds a record of the queue that pixmill did not write; name another prefix".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_known_of_the_groups_that_were_read_last() {
        let (sizes, read, other) = (Sizes::default(), GroupId::new(), GroupId::new());
        sizes.set(read, 1_001);
        assert_eq!((sizes.get(read), sizes.get(other)), (Some(1_001), None));
        // In the same place.
        let twin = Uuid::from(read).as_u128() ^ 1 << 40;
        let twin = GroupId::from(Uuid::from_u128(twin));
        assert_eq!(sizes.get(twin), None);
        sizes.set(twin, u32::MAX);
        assert_eq!((sizes.get(read), sizes.get(twin)), (None, Some(u32::MAX)));
    }
}
