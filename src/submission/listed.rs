//! A prefix with more pictures than are looked at while a client waits.
//!
//! Its keys are listed while it waits, so that the total is known and stays; they lie in the group's manifest. The first
//! chunk of jobs goes to the broker at once, unsealed, so that the group is there; a `source.scan` job adds the others,
//! chunk by chunk, and seals it. A job's id follows from the group's and its index: whoever adds a chunk again changes
//! nothing. So a scan that is killed or fails is completed by the next attempt, or by `outbox.sweep`, to which a group
//! that was never sealed is owed. Each picture is looked at by its own job's first stage, a `source.fetch`.

use queue::{Broker, GroupId, JobId, NewGroup, NewJob};
use uuid::Uuid;

use super::manifest::{Entry, Listed, Manifest, Times};
use super::{Accepted, Meta, Seen, routing};
use crate::config;
use crate::job::Terms;
use crate::kinds::{Kind, Origin, Payload, Source, SourceScan};

/// Names the ids of listed jobs and their scans, so that they are nobody else's.
const NAMESPACE: Uuid = Uuid::from_u128(0x8b1d_4f52_7e90_5c36_a2c8_15de_94b7_0fe3);

/// Beginning anew after the broker has lost the group in mid-way.
const ROUNDS: usize = 3;

impl Listed {
    pub(super) fn new(keys: Vec<String>, terms: Terms, chunk: usize, settings: &config::Queue) -> Self {
        let queue = routing::queue(&settings.routes, SourceScan::NAME, SourceScan::QUEUE, terms.priority).into();
        Self { keys, terms, chunk, queue, lost: 0 }
    }

    /// The jobs of these indexes.
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

    /// Hands the first chunk to the broker, and sees to it that somebody hands it the others.
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

    /// Hands the broker whatever it does not have. What comes to a group that has been cancelled is cancelled at once.
    pub(super) async fn complete(&self, broker: &Broker, group: &NewGroup, manifest: &Manifest) -> queue::Result<()> {
        let total = self.keys.len();
        for _ in 0..ROUNDS {
            let mut from = 0;
            loop {
                let to = (from + self.chunk).min(total);
                // Only what follows on what is there may seal it: the broker may have lost the rest meanwhile.
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

/// The id of a job that is the same whenever it is made.
pub(super) fn id(group: GroupId, index: usize) -> JobId {
    JobId::from(Uuid::new_v5(&NAMESPACE, format!("{group}/{index}").as_bytes()))
}
