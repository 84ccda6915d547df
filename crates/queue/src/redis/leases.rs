//! Claims, settlements, heartbeats and releases.

use std::time::Duration;

use redis::{Cmd, Value};

use super::answer::{damaged, id_of, ids_of, parsed};
use super::broker::RedisBroker;
use super::script;
use crate::clock::millis;
use crate::contract::CHUNK;
use crate::{
    Beat, Claim, ClaimRequest, ClaimedJob, Class, Lease, Policy, Result, Settled, Settlement, Stage, Verdict, policy,
};

/// Number of fields of a claimed job in the answer of `claim.lua`.
const CLAIMED: usize = 10;

impl RedisBroker {
    pub async fn claim(&self, request: &ClaimRequest) -> Result<Claim> {
        claimed(self.link.one(self.claim_call(request)).await?)
    }

    fn claim_call(&self, request: &ClaimRequest) -> Cmd {
        let Policy { lease, max_stalls, .. } = *self.policy;
        let (first, last) = if policy::looks_from_below(request.sequence) { (1, 10) } else { (10, 1) };
        let mut call = self.transition(&script::CLAIM);
        call.arg(millis(lease)).arg(max_stalls).arg(&policy::poison(max_stalls)[..]);
        call.arg(&request.session).arg(request.sequence).arg(request.class.as_str());
        call.arg(first).arg(last).arg(request.limit.min(CHUNK)).arg(&policy::expired()[..]).arg(&request.queues);
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
                    let line_and_kind = format!("{queue}:{} {kind}", class.as_str());
                    call.arg(lease.job.to_string())
                        .arg(&lease.token)
                        .arg("continued")
                        .arg(line_and_kind)
                        .arg(&payload[..]);
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
