//! A prefix with too many pictures to probe them while a client waits.
//!
//! Its keys are listed while the client waits, so that the total is known and does not change. They are stored in the
//! group's manifest. The first chunk of jobs is enqueued at once in an unsealed group, so that the group exists. A
//! `source.scan` job adds the others chunk by chunk and seals the group. The id of a job is derived from the group's id
//! and the job's index, so adding a chunk again changes nothing. So if a scan is killed or fails, the next attempt or
//! `outbox.sweep` completes it; an unsealed group is still owed. Each picture is probed by the first stage of its own
//! job, `source.fetch`.

use queue::{Broker, GroupId, JobId, NewGroup, NewJob};
use uuid::Uuid;

use super::manifest::{Entry, Listed, Manifest, Times};
use super::{Accepted, Meta, Seen, routing};
use crate::config;
use crate::job::Terms;
use crate::kinds::{Kind, Origin, Payload, Source, SourceScan};

/// Namespace of the ids of listed jobs and their scans, so that no other id can equal them.
const NAMESPACE: Uuid = Uuid::from_u128(0x8b1d_4f52_7e90_5c36_a2c8_15de_94b7_0fe3);

/// How often to begin again after the broker has lost the group halfway.
const ROUNDS: usize = 3;

impl Listed {
    pub(super) fn new(keys: Vec<String>, terms: Terms, chunk: usize, settings: &config::Queue) -> Self {
        let queue = routing::queue(&settings.routes, SourceScan::NAME, SourceScan::QUEUE, terms.priority).into();
        Self { keys, terms, chunk, queue, lost: 0 }
    }

    /// The jobs with these indexes.
    fn jobs(&self, group: GroupId, indexes: std::ops::Range<usize>, manifest: &Manifest) -> Vec<NewJob> {
        let limits = imaging::Limits::default();
        let job = |index: usize| {
            let key = self.keys[index].clone();
            let accepted = Accepted {
                image: key.clone(),
                source: Source::Shared(key),
                check: None,
                seen: Seen::Elsewhere(Origin::InPlace),
            };
            let entry = accepted.entry(id(group, index), &self.terms, &limits);
            entry.at(index as u32, manifest.times(), manifest.request())
        };
        indexes.map(job).collect()
    }

    /// Enqueues the first chunk, and the job that adds the others.
    pub(super) async fn begin(&self, broker: &Broker, group: &NewGroup, manifest: &Manifest) -> queue::Result<()> {
        let first = self.chunk.min(self.keys.len());
        let all = first == self.keys.len();
        broker.extend(group, &self.jobs(group.id, 0..first, manifest), all).await?;
        if all {
            return Ok(());
        }
        let named = |what: &str| Uuid::new_v5(&NAMESPACE, format!("{what}/{}/{}", group.id, self.lost).as_bytes());
        let entry = Entry {
            id: named("scan").into(),
            queue: self.queue.clone(),
            priority: self.terms.priority,
            max_attempts: self.terms.max_attempts,
            after: None,
            retry_of: None,
            payload: Payload::SourceScan(SourceScan { group: group.id }),
        };
        let scan = Manifest::new(named("group").into(), Meta::service(), vec![entry]);
        if let Err(error) =
            broker.enqueue(&scan.new_group(), &[scan.jobs[0].at(0, Times::default(), manifest.request())]).await
        {
            // The group is owed until it is sealed: the next sweep of the outbox goes on with it.
            tracing::warn!(group.id = %group.id, "the rest of group {} waits for the upkeep: {error}", group.id);
        }
        Ok(())
    }

    /// Enqueues the jobs that the broker does not have. Jobs added to a cancelled group are cancelled at once.
    pub(super) async fn complete(&self, broker: &Broker, group: &NewGroup, manifest: &Manifest) -> queue::Result<()> {
        let total = self.keys.len();
        for _ in 0..ROUNDS {
            let mut from = 0;
            loop {
                let to = (from + self.chunk).min(total);
                // The broker may have lost earlier jobs meanwhile, so the group is only sealed if they are there.
                let known = broker.group(group.id).await?;
                if known.as_ref().is_some_and(|known| known.sealed) {
                    return Ok(());
                }
                let there = known.map_or(0, |known| known.total as usize);
                if there < from {
                    break;
                }
                if there < to || to == total {
                    broker.extend(group, &self.jobs(group.id, from..to, manifest), to == total).await?;
                }
                if to == total {
                    return Ok(());
                }
                from = to;
            }
        }
        Err(queue::Error::Unavailable(format!("the broker loses group {} again and again", group.id)))
    }
}

/// The id of a job, the same whenever it is made.
pub(super) fn id(group: GroupId, index: usize) -> JobId {
    JobId::from(Uuid::new_v5(&NAMESPACE, format!("{group}/{index}").as_bytes()))
}
