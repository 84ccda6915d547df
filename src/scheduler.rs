//! Work that comes by the clock: a job for each slot of time, once, however many services keep the schedule.
//!
//! A slot's group has an id of kind and slot, so that whoever enqueues it second changes nothing. Clocks that go
//! apart by more than a slot cost a sweep too many, which finds nothing to do.

use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use queue::{Broker, GroupId, JobId};
use tracing::warn;
use uuid::Uuid;

use crate::config::{Config, Retention};
use crate::kinds::{OutboxSweep, Payload, StorageSweep};
use crate::submission::outbox::{Entry, Manifest};
use crate::submission::{Meta, routing};

/// Names the ids of scheduled work, so that they are nobody else's.
const NAMESPACE: Uuid = Uuid::from_u128(0x2d0e_7c1a_95b4_5f3e_8c6d_41a8_e0b7_93f2);

const PRIORITY: u8 = 5;

/// Something that is done once in every period.
struct Schedule {
    payload: Payload,
    every: Duration,
    queue: String,
    max_attempts: u32,
}

/// The slot that an instant lies in.
#[derive(Debug, PartialEq, Eq)]
struct Due {
    group: GroupId,
    job: JobId,
    /// Until the next slot begins.
    next: Duration,
}

/// Keeps the schedule, for ever.
pub async fn run(broker: Broker, config: Config) {
    let Retention { records, originals, outputs, sweep_every, outbox_age } = config.retention;
    let storage = Payload::StorageSweep(StorageSweep { records, originals, outputs });
    let outbox = Payload::OutboxSweep(OutboxSweep { age: outbox_age });
    let schedules = [(storage, sweep_every), (outbox, outbox_age)].map(|(payload, every)| {
        let queue = routing::queue(&config.queue.routes, payload.kind(), payload.default_queue(), PRIORITY).into();
        Schedule { payload, every, queue, max_attempts: config.queue.max_attempts }
    });
    join_all(schedules.iter().map(|schedule| keep(&broker, schedule))).await;
}

async fn keep(broker: &Broker, schedule: &Schedule) {
    let mut last = None;
    loop {
        let due = due(schedule, Timestamp::now());
        if let Err(error) = enqueue(broker, schedule, &due, &mut last).await {
            warn!("{} is not enqueued this time: {error}", schedule.payload.kind());
        }
        tokio::time::sleep(due.next).await;
    }
}

fn due(schedule: &Schedule, now: Timestamp) -> Due {
    let every = schedule.every.as_millis().max(1);
    let since_1970 = u128::try_from(now.as_millisecond()).unwrap_or(0);
    let slot = since_1970 / every;
    let next = Duration::from_millis((every - since_1970 % every) as u64);
    let id = |what: &str| Uuid::new_v5(&NAMESPACE, format!("{what}/{}/{slot}", schedule.payload.kind()).as_bytes());
    Due { group: id("group").into(), job: id("job").into(), next }
}

/// Enqueues what is due and removes the record of the last one; or nothing, where nobody has carried that out yet.
async fn enqueue(broker: &Broker, schedule: &Schedule, due: &Due, last: &mut Option<GroupId>) -> queue::Result<()> {
    if let Some(last) = last.filter(|&last| last != due.group) {
        if broker.group(last).await?.is_some_and(|group| group.finished_at.is_none()) {
            return Ok(());
        }
        broker.remove_group(last).await?;
    }
    let Schedule { payload, queue, max_attempts, .. } = schedule;
    let entry = Entry {
        id: due.job,
        queue: queue.clone(),
        priority: PRIORITY,
        max_attempts: *max_attempts,
        after: None,
        retry_of: None,
        payload: payload.clone(),
    };
    Manifest::new(due.group, Meta::service(), vec![entry]).enqueue(broker).await?;
    *last = Some(due.group);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use queue::{ClaimRequest, Policy, Settlement, Verdict};

    fn schedule(payload: Payload) -> Schedule {
        Schedule { payload, every: Duration::from_mins(1), queue: "scheduled".into(), max_attempts: 1 }
    }

    fn sweep() -> Schedule {
        schedule(Payload::OutboxSweep(OutboxSweep { age: Duration::ZERO }))
    }

    fn at(time: &str) -> Timestamp {
        format!("2026-01-02T03:{time}Z").parse().unwrap()
    }

    #[test]
    fn slot_is_the_same_for_everybody_and_another_one_next() {
        let sweep = sweep();
        let first = due(&sweep, at("04:00"));
        assert_eq!(first.next, Duration::from_mins(1));
        // As any other process computes them, of this version and of those before: else each would sweep for itself.
        let ids = [Uuid::from(first.group), first.job.into()].map(|id| id.to_string());
        assert_eq!(ids, ["50306635-0c4f-51bc-9826-cd3ab624a363", "65e75309-e0d5-5d94-a304-7f952a4ae548"]);
        let late = due(&sweep, at("04:59.999"));
        assert_eq!((late.group, late.job, late.next), (first.group, first.job, Duration::from_millis(1)));
        assert_ne!(due(&sweep, at("05:00")).group, first.group);
        let zero = Duration::ZERO;
        let other = schedule(Payload::StorageSweep(StorageSweep { records: zero, originals: zero, outputs: zero }));
        assert_ne!(due(&other, at("04:00")).group, first.group);
    }

    #[tokio::test]
    async fn slots_are_enqueued_once_and_leave_no_records() {
        let folder = tempfile::tempdir().unwrap();
        let broker = Broker::open_sqlite(&folder.path().join("queue.db"), Policy::default()).unwrap();
        let (sweep, mut mine, mut theirs) = (sweep(), None, None);
        let [first, second, third] = ["04:00", "05:00", "06:00"].map(|time| due(&sweep, at(time)));
        for last in [&mut mine, &mut theirs] {
            enqueue(&broker, &sweep, &first, last).await.unwrap();
        }
        assert_eq!(broker.depths().await.unwrap()[0].waiting, 1);
        enqueue(&broker, &sweep, &second, &mut mine).await.unwrap();
        assert!(broker.group(second.group).await.unwrap().is_none(), "nobody has carried the first one out");

        let queues = vec!["scheduled".into()];
        let class = sweep.payload.class();
        let request = ClaimRequest { session: "worker".into(), sequence: 0, queues, class, limit: 10 };
        let lease = broker.claim(&request).await.unwrap().jobs.remove(0).lease;
        let verdict = Verdict::Succeed { result: "{}".into() };
        broker.settle(&[Settlement { lease, verdict }], None).await.unwrap();
        for last in [&mut mine, &mut theirs] {
            enqueue(&broker, &sweep, &third, last).await.unwrap();
        }
        assert!(broker.group(first.group).await.unwrap().is_none(), "its record has gone");
        assert_eq!(broker.group(third.group).await.unwrap().map(|group| group.pending), Some(1));
    }
}
