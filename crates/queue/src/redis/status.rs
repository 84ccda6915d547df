//! The records of groups and jobs, and the queues. Plain commands; none blocks Redis for long.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use super::answer::{damaged, instant, moment, number, parsed, parsed_id};
use super::broker::RedisBroker;
use super::script;
use crate::{Group, GroupId, GroupResult, Job, JobId, LINE_HEAD, QueueDepth, Result, State};

/// Largest number of results to ask for in one command.
const PAGE: u32 = 1_000;
/// Number of results to ask for if the size of their group is not known.
const FEW: u32 = 16;
/// The fields of a group.
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

impl RedisBroker {
    pub async fn group(&self, id: GroupId) -> Result<Option<Group>> {
        let read = redis::cmd("HMGET").arg(self.group_key(id)).arg(&GROUP).to_owned();
        group_of(id, &parsed::<Vec<_>>(self.link.one(read).await?)?)
    }

    /// One command reads both, so that they are of one instant; of more than [`PAGE`] jobs, only the first results are.
    pub async fn group_with_results(
        &self,
        id: GroupId,
        from: u32,
        limit: usize,
    ) -> Result<Option<(Group, Vec<GroupResult>)>> {
        let most = PAGE.min(u32::try_from(limit).unwrap_or(PAGE)).max(1);
        let mut asked = self.sizes.get(id).map_or(FEW, |size| size.saturating_sub(from).clamp(1, most));
        loop {
            let page = from..from.saturating_add(asked);
            let mut read = redis::cmd("HMGET");
            read.arg(self.group_key(id)).arg(&GROUP);
            for index in page.clone() {
                read.arg(format!("r:{index}"));
            }
            let mut fields: Vec<Option<Vec<u8>>> = parsed(self.link.one(read).await?)?;
            let found = fields.split_off(GROUP.len());
            let Some(group) = group_of(id, &fields)? else { return Ok(None) };
            let length = fields[12].as_deref().map_or(Ok(group.total), |length| number(Some(length)))?;
            self.sizes.set(id, length);
            let mut results = entries(page.clone(), found)?;
            let all = page.end >= length || results.len() >= limit;
            if !all && asked < PAGE {
                asked = PAGE.min((length - from).max(2 * asked));
                continue;
            }
            if !all {
                results.append(&mut self.results(id, page.end, limit - results.len()).await?);
            }
            results.truncate(limit);
            return Ok(Some((group, results)));
        }
    }

    pub async fn results(&self, id: GroupId, from: u32, limit: usize) -> Result<Vec<GroupResult>> {
        let read = redis::cmd("HMGET").arg(self.group_key(id)).arg(&["total", "length"]).to_owned();
        let (total, length): (Option<u32>, Option<u32>) = parsed(self.link.one(read).await?)?;
        let Some(length) = length.or(total) else { return Ok(Vec::new()) };
        let mut results = Vec::new();
        let mut page_start = from;
        while page_start < length && results.len() < limit {
            let page = page_start..length.min(page_start + PAGE);
            page_start = page.end;
            let mut read = redis::cmd("HMGET");
            read.arg(self.group_key(id));
            for index in page.clone() {
                read.arg(format!("r:{index}"));
            }
            results.append(&mut entries(page, parsed(self.link.one(read).await?)?)?);
        }
        results.truncate(limit);
        Ok(results)
    }

    pub async fn job(&self, id: JobId) -> Result<Option<Job>> {
        let score = |zset| redis::cmd("ZSCORE").arg(format!("{}{zset}", self.prefix)).arg(id.to_string()).to_owned();
        let record = redis::cmd("HGETALL").arg(format!("{}j:{id}", self.prefix)).to_owned();
        let [fields, due, lease_end] = self.link.run([record, score("delayed"), score("lease")]).await?;
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
            let read = redis::cmd("HGET").arg(self.group_key(group)).arg(format!("r:{index}")).to_owned();
            let entry: Option<Vec<u8>> = parsed(self.link.one(read).await?)?;
            entry.map(|entry| result(index, &entry.into())).transpose()?.map(|entry| entry.result)
        } else {
            field("reason").map(Bytes::copy_from_slice)
        };
        // Held jobs are due at no time.
        let due = parsed::<Option<f64>>(if state == State::Active { lease_end } else { due })?;
        let due_at = due.filter(|due| due.is_finite()).map(moment).transpose()?;
        let mut line = text("place")?.rsplitn(3, ':');
        let (priority, queue) = (line.next().unwrap_or_default(), line.nth(1).unwrap_or_default());
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
            expires_at: field("expires").map(|ms| instant(Some(ms))).transpose()?,
            payload: field("payload").map(Bytes::copy_from_slice).unwrap_or_default(),
            created_at: instant(field("created"))?,
            finished_at: field("finished").map(|ms| instant(Some(ms))).transpose()?,
            result,
        }))
    }

    pub async fn depths(&self) -> Result<Vec<QueueDepth>> {
        let fields = self.link.one(redis::cmd("HGETALL").arg(format!("{}queues", self.prefix)).to_owned()).await?;
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

    pub async fn oldest_waiting(&self) -> Result<Vec<(String, Duration)>> {
        let mut call = self.call(&script::OLDEST);
        call.arg(LINE_HEAD);
        let found: Vec<(String, u64)> = parsed(self.link.one(call).await?)?;
        Ok(found.into_iter().map(|(queue, ms)| (queue, Duration::from_millis(ms))).collect())
    }

    fn group_key(&self, id: GroupId) -> String {
        format!("{}g:{id}", self.prefix)
    }
}

/// A group from its fields in the order of [`GROUP`]; `None` if they are empty.
fn group_of(id: GroupId, fields: &[Option<Vec<u8>>]) -> Result<Option<Group>> {
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

/// The results of a page of indexes; those that do not exist are left out.
fn entries(page: Range<u32>, found: Vec<Option<Vec<u8>>>) -> Result<Vec<GroupResult>> {
    page.zip(found).filter_map(|(index, entry)| Some(result(index, &entry?.into()))).collect()
}

/// Reads a stored result: `s`, `f` or `c` for the state, then the job's id, then the result.
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
