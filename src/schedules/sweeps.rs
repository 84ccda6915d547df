//! The schedules of the service itself: its sweeps.

use std::time::Duration;

use jiff::Timestamp;
use queue::GroupId;

use super::decide::derived;
use super::definition::{CatchUp, Overlap, Policy};
use super::firing::cursor;
use super::timing::Timing;
use crate::config::{Queue, Retention};
use crate::duration;
use crate::kinds::{OutboxSweep, Payload, StorageSweep};
use crate::submission::manifest::{Entry, Manifest};
use crate::submission::{Meta, routing};

const PRIORITY: u8 = 5;

/// A sweep and when it comes.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// The name of its kind.
    pub name: &'static str,
    pub timing: Timing,
    pub policy: Policy,
    every: Duration,
    payload: Payload,
    queue: String,
    max_attempts: u32,
}

impl Sweep {
    /// All of them.
    pub fn all(retention: &Retention, queue: &Queue) -> Vec<Self> {
        let Retention { records, originals, outputs, sweep_every, outbox_age } = *retention;
        let storage = Payload::StorageSweep(StorageSweep { records, originals, outputs });
        let outbox = Payload::OutboxSweep(OutboxSweep { age: outbox_age });
        [(storage, sweep_every), (outbox, outbox_age)].map(|(payload, every)| Self::new(payload, every, queue)).into()
    }

    fn new(payload: Payload, every: Duration, settings: &Queue) -> Self {
        let queue = routing::queue(&settings.routes, payload.kind(), payload.default_queue(), PRIORITY).into();
        let policy = Policy {
            catch_up: CatchUp::Latest,
            // However long nobody was there, the first thing to do is to sweep.
            catch_up_window: Duration::MAX,
            overlap: Overlap::Skip,
            pause_on_failure: false,
            jitter: Duration::ZERO,
            starts: None,
            ends: None,
        };
        let max_attempts = settings.max_attempts;
        Self { name: payload.kind(), timing: Timing::every(every), policy, every, payload, queue, max_attempts }
    }

    /// The name of its cursor. Another interval is another schedule.
    pub fn cursor(&self) -> String {
        cursor(self.name, &duration::show(self.every).replace(' ', ""))
    }

    /// The group of a slot, and its manifest.
    pub(super) fn firing(&self, slot: Timestamp) -> (GroupId, Manifest) {
        let slot_id = super::decide::group_of(&self.cursor(), slot);
        let group = derived(slot_id, "sweep").into();
        let job = Entry {
            id: derived(slot_id, "job").into(),
            queue: self.queue.clone(),
            priority: PRIORITY,
            max_attempts: self.max_attempts,
            after: None,
            retry_of: None,
            payload: self.payload.clone(),
        };
        (group, Manifest { created_at: slot, ..Manifest::new(group, Meta::service(), vec![job]) })
    }
}
