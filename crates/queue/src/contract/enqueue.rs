//! What is enqueued: groups of jobs, follow-ups and idempotency keys.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::class::Class;
use super::id::{GroupId, JobId};
use crate::policy::Policy;

/// A job to be enqueued. Its id is made by the submitter: enqueueing it again is a no-op.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub id: JobId,
    /// Its place in the group, from 0.
    pub index: u32,
    pub kind: String,
    pub queue: String,
    pub class: Class,
    /// 1–10, 10 first.
    pub priority: u8,
    /// Delays the first attempt; none starts at once.
    pub delay: Option<Duration>,
    /// Attempts in all, the first included.
    pub max_attempts: u32,
    /// A job of the same group with a smaller index, whose success starts this one; its `delay` begins then. Until then
    /// it is delayed without being due. When the other one ends otherwise, this one is cancelled, and so on down the
    /// chain.
    pub after: Option<JobId>,
    /// The finished job that this one is a copy of: enqueueing it takes that one off the dead-letter list.
    pub retry_of: Option<JobId>,
    pub payload: Bytes,
}

impl NewJob {
    /// The first of its group, to be started at once, at the middle priority, with the attempts of a default policy.
    pub fn new(kind: &str, queue: &str, class: Class, payload: Bytes) -> Self {
        Self {
            id: JobId::new(),
            index: 0,
            kind: kind.into(),
            queue: queue.into(),
            class,
            priority: 5,
            delay: None,
            max_attempts: Policy::default().max_attempts,
            after: None,
            retry_of: None,
            payload,
        }
    }
}

/// A group to be enqueued with its jobs.
#[derive(Debug, Clone)]
pub struct NewGroup {
    pub id: GroupId,
    /// Kept for the submitter, opaque to the broker.
    pub meta: Bytes,
    /// What follows when the group has finished.
    pub then: Option<Then>,
    /// Binds the group to an idempotency key; see [`Broker::reserve`].
    pub key: Option<Key>,
}

impl NewGroup {
    /// A group that nothing follows and no key is bound to.
    pub fn new(id: GroupId, meta: Bytes) -> Self {
        Self { id, meta, then: None, key: None }
    }
}

/// A job, in a sealed group of its own, that is enqueued exactly once when another group has finished. No cap refuses it.
#[derive(Debug, Clone)]
pub struct Then {
    pub on: On,
    /// The group of the follow-up; its meta is empty.
    pub group: GroupId,
    /// Index 0, without `after`.
    pub job: NewJob,
}

/// When a group's follow-up is enqueued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum On {
    /// All jobs have succeeded.
    Success,
    /// All jobs have ended, however.
    Always,
}

/// An idempotency key and what was submitted under it, as a hash of the submitter's making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub name: String,
    pub fingerprint: Bytes,
}

/// The answer to a reservation of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reservation {
    /// The caller's, for [`Policy::reservation`]; asked again for the same group, the time begins anew.
    Granted,
    /// Another group's that is still being received.
    Busy,
    /// Bound to an enqueued group whose record is kept, for [`Policy::key_memory`] since then.
    Known { group: GroupId, fingerprint: Bytes },
}
