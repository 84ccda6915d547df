//! The queue in Redis (7.0 or later) or Valkey (7.2 or later), for any number of machines.
//!
//! Every transition is one Lua script, in `lua/` beside this file; this module packs its arguments and reads its answer.
//! All keys begin with `{prefix}:`, whose braces keep them in one slot:
//!
//! | key | holds |
//! |---|---|
//! | `q:<queue>:<class>:<priority>` | LIST of waiting ids; one whose job is not waiting there is skipped |
//! | `j:<id>` | HASH of the job |
//! | `g:<id>` | HASH of the group: its counters, `m:<n>` for the ids of its nth chunk, `r:<index>` for each job that ended |
//! | `delayed`, `lease` | ZSET of ids by the time they are due (held ones: never), or their lease runs out |
//! | `dead`, `finished` | ZSET of failed jobs, and of finished groups, by the time of their end |
//! | `groups` | ZSET of groups by the time they were enqueued |
//! | `cancels` | HASH of groups whose cancel has not reached all their jobs: the next chunk |
//! | `queues` | HASH of depths, `<queue>:<class>:<state>`, and of paused queues, `<queue>::paused` |
//! | `wake:<queue>:<class>` | LIST of at most one token |
//! | `said:<session>` | HASH of a session's last claim and its answer |
//! | `i:<key>` | HASH of the group that an idempotency key is reserved for or bound to |
//! | `events`, `told` | STREAM of transitions' events, each entry named by the number of its last one; that number |
//! | `workers` | HASH of sessions: `<ms> <report>` |
//! | `mail:<mailbox>`, `bell:<mailbox>` | LIST of letters, `<ms> <letter>`; LIST of at most one token |
//! | `posted:<n>`, `taken:<n>` | what a posting or a collecting did, in case its reply is lost |
//! | `probe` | the time of the last look whether Redis takes writes; lapses after a minute |
//! | `store` | the id of the store that the jobs belong to |
//! | `seen` | the latest instant of a claim or a heartbeat, in ms, to the second |
//! | `schema` | the version of all this |

mod control;
mod events;
mod link;
mod listing;
mod mail;
mod reads;
mod script;
mod server;
mod wait;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};
use uuid::Uuid;

use crate::clock::millis;
use crate::contract::CHUNK;
use crate::{
    Beat, Claim, ClaimRequest, ClaimedJob, Clock, Error, Event, Group, GroupResult, IdempotencyKey, Index, Job,
    LINE_HEAD, Lease, Listed, NewGroup, NewJob, On, Policy, QueueDepth, Result, Settled, Settlement, Stage, Then,
    Verdict, policy,
};
use crate::{Class, GroupId, JobId};
use link::Link;
use reads::{Sizes, damaged, parsed};
use wait::Waiters;

/// Payload in one call.
const CHUNK_BYTES: usize = 4 << 20;
/// Fields of a claimed job in the answer of `claim.lua`.
const CLAIMED: usize = 10;
/// Arguments of a job, `FIELDS` in `finish.lua`.
const FIELDS: usize = 11;

#[derive(Clone)]
pub struct RedisBroker {
    link: Arc<Link>,
    waiters: Arc<Waiters>,
    sizes: Arc<Sizes>,
    prefix: Arc<str>,
    policy: Arc<Policy>,
    clock: Clock,
}

impl RedisBroker {
    pub async fn connect(url: &str, prefix: &str, policy: Policy, clock: Clock) -> Result<Self> {
        let broker = Self {
            link: Arc::new(Link::new(url)?),
            waiters: Arc::default(),
            sizes: Arc::default(),
            prefix: format!("{{{prefix}}}:").into(),
            policy: Arc::new(policy),
            clock,
        };
        server::prepare(&broker.link, &broker.prefix).await?;
        Ok(broker)
    }

    pub async fn dedicated(&self) -> Result<Self> {
        let broker = Self { link: Arc::new(self.link.another()), ..self.clone() };
        broker.ping().await?;
        Ok(broker)
    }

    pub async fn enqueue(&self, group: &NewGroup, jobs: &[NewJob]) -> Result<()> {
        let mut enqueued = 0;
        loop {
            let chunk = first_chunk(&jobs[enqueued..]);
            let last = enqueued + chunk.len() == jobs.len();
            match self.enqueue_chunk(group, chunk, if last { "1" } else { "0" }).await {
                Ok(()) if last => return Ok(()),
                Ok(()) => enqueued += chunk.len(),
                Err(refused @ (Error::Full(_) | Error::KeyTaken(_))) if enqueued > 0 => {
                    self.cancel_group(group.id, true).await?;
                    return Err(refused);
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub async fn extend(&self, group: &NewGroup, mut jobs: &[NewJob], last: bool) -> Result<()> {
        loop {
            let chunk = first_chunk(jobs);
            jobs = &jobs[chunk.len()..];
            let seal = if last && jobs.is_empty() { "1" } else { "open" };
            self.enqueue_chunk(group, chunk, seal).await?;
            if jobs.is_empty() {
                return Ok(());
            }
        }
    }

    async fn enqueue_chunk(&self, group: &NewGroup, jobs: &[NewJob], seal: &str) -> Result<()> {
        let cap = self.policy.queue_cap;
        let mut call = self.transition(&script::ENQUEUE);
        call.arg(group.id.to_string()).arg(&group.meta[..]).arg(seal).arg(cap);
        match &group.key {
            Some(IdempotencyKey { name, fingerprint }) => call.arg(name).arg(&fingerprint[..]),
            None => call.arg("").arg(""),
        };
        call.arg(millis(self.policy.key_memory));
        if let Some(Then { on, group, job }) = &group.then {
            let on = match on {
                On::Success => "success",
                On::Always => "always",
            };
            call.arg(group.to_string()).arg(on);
            job_fields(&mut call, job);
        } else {
            call.arg(&[""; 2 + FIELDS]);
        }
        for job in jobs {
            job_fields(&mut call, job);
        }
        match parsed::<Vec<Value>>(self.link.one(call).await?)?.as_slice() {
            [_, owner] => Err(Error::KeyTaken(id_of(owner.clone())?)),
            [_, queue, open, more] => {
                let (open, more) = (parsed(open.clone())?, parsed(more.clone())?);
                Err(Error::full_queue(&parsed::<String>(queue.clone())?, open, more, cap))
            }
            _ => Ok(()),
        }
    }

    pub async fn claim(&self, request: &ClaimRequest) -> Result<Claim> {
        claimed(self.link.one(self.claim_call(request)).await?)
    }

    fn claim_call(&self, request: &ClaimRequest) -> Cmd {
        let Policy { lease, max_stalls, .. } = *self.policy;
        let (first, last) = if policy::looks_from_below(request.sequence) { (1, 10) } else { (10, 1) };
        let mut call = self.transition(&script::CLAIM);
        call.arg(millis(lease)).arg(max_stalls).arg(&policy::poison(max_stalls)[..]);
        call.arg(&request.session).arg(request.sequence).arg(request.class.as_str());
        call.arg(first).arg(last).arg(request.limit.min(CHUNK)).arg(&request.queues);
        call
    }

    pub async fn settle(
        &self,
        settlements: &[Settlement],
        claim: Option<&ClaimRequest>,
    ) -> Result<(Vec<Settled>, Option<Claim>)> {
        // All but the last chunk go alone; the last one takes the claim along.
        let last_chunk = settlements.len().saturating_sub(1) / CHUNK * CHUNK;
        let (before, last) = settlements.split_at(last_chunk);
        let mut answers = Vec::with_capacity(settlements.len());
        for chunk in before.chunks(CHUNK) {
            answers.extend(settled(self.link.one(self.settle_call(chunk)).await?)?);
        }
        let Some(request) = claim else {
            if !last.is_empty() {
                answers.extend(settled(self.link.one(self.settle_call(last)).await?)?);
            }
            return Ok((answers, None));
        };
        let [settled_last, claim] = self.link.run([self.settle_call(last), self.claim_call(request)]).await?;
        answers.extend(settled(settled_last)?);
        Ok((answers, Some(claimed(claim)?)))
    }

    fn settle_call(&self, settlements: &[Settlement]) -> Cmd {
        let max_stalls = self.policy.max_stalls;
        let mut call = self.transition(&script::SETTLE);
        call.arg(max_stalls).arg(&policy::poison(max_stalls)[..]);
        for Settlement { lease, verdict } in settlements {
            let (verdict, after, result) = match verdict {
                Verdict::Succeed { result } => ("succeeded", 0, &result[..]),
                Verdict::Fail { result } => ("failed", 0, &result[..]),
                Verdict::Retry { after, reason } => ("retried", millis(*after), &reason[..]),
                Verdict::Cancel => ("cancelled", 0, &[][..]),
                Verdict::Crash { alone } => ("crashed", i64::from(*alone), &[][..]),
                Verdict::Continue(Stage { kind, queue, class, payload }) => {
                    let place = format!("{queue}:{} {kind}", class.as_str());
                    call.arg(lease.job.to_string()).arg(&lease.token).arg("continued").arg(place).arg(&payload[..]);
                    continue;
                }
            };
            call.arg(lease.job.to_string()).arg(&lease.token).arg(verdict).arg(after).arg(result);
        }
        call
    }

    pub async fn beat(&self, leases: &[Lease]) -> Result<Beat> {
        let mut beat = Beat::default();
        for chunk in leases.chunks(CHUNK) {
            let mut call = self.call(&script::BEAT);
            call.arg(millis(self.policy.lease));
            for lease in chunk {
                call.arg(lease.job.to_string()).arg(&lease.token);
            }
            let (lost, cancelled): (Vec<Value>, Vec<Value>) = parsed(self.link.one(call).await?)?;
            beat.lost.append(&mut ids_of(lost)?);
            beat.cancelled.append(&mut ids_of(cancelled)?);
        }
        Ok(beat)
    }

    pub async fn release(&self, leases: &[Lease], after: Option<Duration>) -> Result<()> {
        // Backwards, so that the first of them all ends up first in line.
        for chunk in leases.chunks(CHUNK).rev() {
            let mut call = self.transition(&script::RELEASE);
            call.arg(after.map_or(-1, millis));
            for lease in chunk {
                call.arg(lease.job.to_string()).arg(&lease.token);
            }
            self.link.one(call).await?;
        }
        Ok(())
    }

    pub async fn wait(&self, queues: &[String], class: Class, timeout: Duration) -> Result<()> {
        let tokens = queues.iter().map(|queue| format!("{}wake:{queue}:{}", self.prefix, class.as_str()));
        self.waiters.pop(&self.link, tokens, timeout).await
    }

    pub async fn group(&self, id: GroupId) -> Result<Option<Group>> {
        reads::group(&self.link, &self.prefix, id).await
    }

    pub async fn group_with_results(
        &self,
        id: GroupId,
        from: u32,
        limit: usize,
    ) -> Result<Option<(Group, Vec<GroupResult>)>> {
        reads::group_with_results(&self.link, &self.prefix, &self.sizes, id, from, limit).await
    }

    pub async fn results(&self, id: GroupId, from: u32, limit: usize) -> Result<Vec<GroupResult>> {
        reads::results(&self.link, &self.prefix, id, from, limit).await
    }

    pub async fn job(&self, id: JobId) -> Result<Option<Job>> {
        reads::job(&self.link, &self.prefix, id).await
    }

    pub async fn depths(&self) -> Result<Vec<QueueDepth>> {
        reads::depths(&self.link, &self.prefix).await
    }

    pub async fn list(&self, index: Index, skip: usize, limit: usize) -> Result<Vec<Listed>> {
        reads::list(&self.link, &self.prefix, index, skip, limit).await
    }

    pub async fn events(&self, after: Option<&str>, limit: usize) -> Result<Vec<Event>> {
        events::read(&self.link, &self.prefix, after, limit).await
    }

    pub async fn last_event(&self) -> Result<Option<String>> {
        events::last(&self.link, &self.prefix).await
    }

    pub async fn await_event(&self, after: Option<&str>, timeout: Duration) -> Result<()> {
        self.waiters.wait(&self.link, events::next(&self.prefix, after, timeout)?, timeout).await
    }

    pub async fn reconnect(&self) {
        self.waiters.renew();
        self.link.renew().await;
    }

    pub async fn ping(&self) -> Result<()> {
        self.link.one(redis::cmd("PING")).await.map(drop)
    }

    pub async fn try_write(&self) -> Result<()> {
        self.link.one(self.call(&script::PROBE)).await.map(drop)
    }

    pub async fn oldest_waiting(&self) -> Result<Vec<(String, Duration)>> {
        let mut call = self.call(&script::OLDEST);
        call.arg(LINE_HEAD);
        let found: Vec<(String, u64)> = parsed(self.link.one(call).await?)?;
        Ok(found.into_iter().map(|(queue, ms)| (queue, Duration::from_millis(ms))).collect())
    }

    pub async fn store_or(&self, mine: Uuid) -> Result<Uuid> {
        let mut keep = redis::cmd("SET");
        keep.arg(self.store_key()).arg(mine.to_string()).arg("NX").arg("GET");
        let found = match self.link.one(keep).await {
            // Without memory for it, it is kept the next time.
            Err(Error::Full(_)) => self.link.one(redis::cmd("GET").arg(self.store_key()).to_owned()).await?,
            found => found?,
        };
        match parsed::<Option<String>>(found)? {
            Some(store) => store.parse().map_err(|_| damaged()),
            None => Ok(mine),
        }
    }

    pub async fn move_to_store(&self, store: Uuid) -> Result<()> {
        self.link.one(redis::cmd("SET").arg(self.store_key()).arg(store.to_string()).to_owned()).await.map(drop)
    }

    fn store_key(&self) -> String {
        format!("{}store", self.prefix)
    }

    pub async fn warnings(&self) -> Result<Vec<String>> {
        server::warnings(&self.link).await
    }

    fn call(&self, script: &script::Script) -> Cmd {
        script.call(&self.prefix, self.clock.ahead_ms())
    }

    /// A call of a script that tells of events.
    fn transition(&self, script: &script::Script) -> Cmd {
        let mut call = self.call(script);
        call.arg(self.policy.events);
        call
    }
}

impl fmt::Display for RedisBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redis {} {}", self.link.place(), self.prefix.trim_end_matches(':'))
    }
}

/// As many of `jobs` as go in one call: by number, and by the bytes that one call should carry.
fn first_chunk(jobs: &[NewJob]) -> &[NewJob] {
    let mut bytes = 0;
    let fits = |job: &&NewJob| {
        bytes += job.payload.len();
        bytes <= CHUNK_BYTES
    };
    let count = jobs.iter().take(CHUNK).take_while(fits).count();
    &jobs[..count.max(1).min(jobs.len())]
}

fn job_fields(call: &mut Cmd, job: &NewJob) {
    let text = |id: Option<JobId>| id.map_or_else(String::new, |id| id.to_string());
    call.arg(job.id.to_string()).arg(job.index).arg(&job.queue).arg(job.class.as_str()).arg(job.priority);
    call.arg(&job.kind).arg(job.delay.map_or(-1, millis)).arg(job.max_attempts).arg(&job.payload[..]);
    call.arg(text(job.after)).arg(text(job.retry_of));
}

fn settled(answer: Value) -> Result<Vec<Settled>> {
    let counted: Vec<bool> = parsed(answer)?;
    Ok(counted.into_iter().map(|counts| if counts { Settled::Committed } else { Settled::LeaseLost }).collect())
}

fn claimed(answer: Value) -> Result<Claim> {
    let Value::Array(fields) = answer else { return Err(damaged()) };
    let mut fields = fields.into_iter();
    let next_due: i64 = parsed(fields.next().ok_or_else(damaged)?)?;
    let mut claim = Claim { jobs: Vec::with_capacity(fields.len() / CLAIMED), next_due: None };
    claim.next_due = u64::try_from(next_due).ok().map(Duration::from_millis);
    while let Some(id) = fields.next() {
        let mut field = || fields.next().ok_or_else(damaged);
        claim.jobs.push(ClaimedJob {
            lease: Lease { job: id_of(id)?, token: parsed(field()?)? },
            group: id_of(field()?)?,
            index: parsed(field()?)?,
            kind: parsed(field()?)?,
            attempt: parsed(field()?)?,
            max_attempts: parsed(field()?)?,
            alone: parsed(field()?)?,
            waited: u64::try_from(parsed::<i64>(field()?)?).ok().map(Duration::from_millis),
            payload: parsed::<Vec<u8>>(field()?)?.into(),
        });
    }
    Ok(claim)
}

fn id_of<T: FromStr>(value: Value) -> Result<T> {
    parsed::<String>(value)?.parse().map_err(|_| damaged())
}

fn ids_of<T: FromStr>(values: Vec<Value>) -> Result<Vec<T>> {
    values.into_iter().map(id_of).collect()
}
