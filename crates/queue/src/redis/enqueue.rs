//! New work: groups and their jobs, in chunks.

use redis::{Cmd, Value};

use super::answer::{id_of, parsed};
use super::broker::RedisBroker;
use super::script;
use crate::clock::millis;
use crate::contract::CHUNK;
use crate::{Error, IdempotencyKey, JobId, NewGroup, NewJob, On, Policy, Result, Then};

/// Largest number of bytes of payloads in one call.
const CHUNK_BYTES: usize = 4 << 20;
/// Number of arguments of a job; `FIELDS` in `finish.lua`.
const FIELDS: usize = 12;

impl RedisBroker {
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
        let mut call = self.transition(&script::ENQUEUE);
        chunk_args(&mut call, group, jobs, seal, &self.policy);
        refusal(&parsed::<Vec<Value>>(self.link.one(call).await?)?, self.policy.queue_cap)?.map_or(Ok(()), Err)
    }
}

/// Adds the arguments of `enqueue.lua`.
pub(super) fn chunk_args(call: &mut Cmd, group: &NewGroup, jobs: &[NewJob], seal: &str, policy: &Policy) {
    call.arg(group.id.to_string()).arg(&group.meta[..]).arg(seal).arg(policy.queue_cap);
    match &group.key {
        Some(IdempotencyKey { name, fingerprint, .. }) => call.arg(name).arg(&fingerprint[..]),
        None => call.arg("").arg(""),
    };
    let memory = group.key.as_ref().and_then(|key| key.memory).unwrap_or(policy.key_memory);
    call.arg(millis(memory)).arg(group.labels.join("\n"));
    if let Some(Then { on, group, job }) = &group.then {
        let on = match on {
            On::Success => "success",
            On::Always => "always",
        };
        call.arg(group.to_string()).arg(on);
        job_fields(call, job);
    } else {
        call.arg(&[""; 2 + FIELDS]);
    }
    for job in jobs {
        job_fields(call, job);
    }
}

/// The error in an answer of `enqueue.lua`; `None` if the chunk is enqueued.
pub(super) fn refusal(answer: &[Value], cap: u64) -> Result<Option<Error>> {
    match answer {
        [_, owner] => Ok(Some(Error::KeyTaken(id_of(owner.clone())?))),
        [_, queue, open, more] => {
            let (open, more) = (parsed(open.clone())?, parsed(more.clone())?);
            Ok(Some(Error::full_queue(&parsed::<String>(queue.clone())?, open, more, cap)))
        }
        _ => Ok(None),
    }
}

/// The first of `jobs`, as many as fit in one call by their number and their bytes.
fn first_chunk(jobs: &[NewJob]) -> &[NewJob] {
    let mut bytes = 0;
    let fits = |job: &&NewJob| {
        bytes += job.payload.len();
        bytes <= CHUNK_BYTES
    };
    let count = jobs.iter().take(CHUNK).take_while(fits).count();
    &jobs[..count.max(1).min(jobs.len())]
}

/// Adds the arguments of a job.
fn job_fields(call: &mut Cmd, job: &NewJob) {
    let text = |id: Option<JobId>| id.map_or_else(String::new, |id| id.to_string());
    call.arg(job.id.to_string()).arg(job.index).arg(&job.queue).arg(job.class.as_str()).arg(job.priority);
    call.arg(&job.kind).arg(job.delay.map_or(-1, millis)).arg(job.max_attempts).arg(&job.payload[..]);
    call.arg(text(job.after)).arg(text(job.retry_of)).arg(job.expires.map_or(-1, millis));
}
