//! The manifest: a complete submission, as it is stored in the outbox and enqueued in the broker.

use std::time::Duration;

use jiff::Timestamp;
use queue::{GroupId, JobId, NewGroup, NewJob, On};
use serde::{Deserialize, Serialize};

use super::Meta;
use crate::job::{Keep, Terms};
use crate::kinds::Payload;

/// The broker's label of the groups of workflows. A submitter's labels have a colon.
pub(crate) const WORKFLOW: &str = "workflow";

/// A submission, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub group: GroupId,
    pub meta: Meta,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    pub created_at: Timestamp,
    /// The earliest start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<Timestamp>,
    /// Cancelled, if not begun by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// In the order of their indexes.
    pub jobs: Vec<Entry>,
    /// In place of `jobs`, if the list is too long for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<Listed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Then>,
    #[serde(default, skip_serializing_if = "Keep::is_empty")]
    pub keep: Keep,
    /// The group of a workflow: it stays open until the workflow has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_workflow: bool,
}

/// The job that the broker enqueues when the group has finished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Then {
    pub on: On,
    /// The group of this job.
    pub group: GroupId,
    pub job: Entry,
}

/// An idempotency key, and the hash of its submission in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    pub name: String,
    pub fingerprint: String,
    /// How long the broker remembers it, if not as long as the settings say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Duration>,
}

/// A job of a submission.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub id: JobId,
    pub queue: String,
    pub priority: u8,
    pub max_attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<JobId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<JobId>,
    pub payload: Payload,
}

/// The pictures of a prefix that has too many to probe them while a client waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// Keys below `sources.folder`, in the order of their indexes.
    pub keys: Vec<String>,
    pub terms: Terms,
    /// Number of pictures handed to the broker in one step.
    pub chunk: usize,
    /// The queue of the `source.scan` job.
    pub queue: String,
    /// How often the broker has lost the group and received it again.
    #[serde(default)]
    pub lost: u32,
}

impl Manifest {
    /// Of a submission made now, with nothing unusual about it.
    pub fn new(group: GroupId, mut meta: Meta, jobs: Vec<Entry>) -> Self {
        meta.kind = jobs
            .first()
            .map(|job| &job.payload)
            .filter(|payload| payload.picture().is_none())
            .map(Payload::kind)
            .map(str::to_owned);
        let (key, eta, expires, listed, then) = (None, None, None, None, None);
        Self {
            group,
            meta,
            key,
            created_at: Timestamp::now(),
            eta,
            expires,
            jobs,
            listed,
            then,
            keep: Keep::default(),
            is_workflow: false,
        }
    }

    /// Number of pictures.
    pub fn total(&self) -> usize {
        self.jobs.len() + self.listed.as_ref().map_or(0, |listed| listed.keys.len())
    }

    pub(super) fn new_group(&self) -> NewGroup {
        let meta = serde_json::to_vec(&self.meta).expect("strings and numbers always serialise");
        let job = |entry: &Entry| entry.at(0, Times::default(), self.request());
        let then = self.then.as_ref().map(|then| queue::Then { on: then.on, group: then.group, job: job(&then.job) });
        let mut labels = self.meta.labels.words();
        if self.is_workflow {
            labels.push(WORKFLOW.into());
        }
        let (labels, key) = (labels, self.key.as_ref().map(Key::to_queue));
        NewGroup { id: self.group, meta: meta.into(), then, labels, key }
    }

    /// The id of the request that submitted it.
    pub(super) fn request(&self) -> Option<&str> {
        self.meta.request_id.as_deref()
    }

    /// When its jobs may start, from now on.
    pub(super) fn times(&self) -> Times {
        let now = Timestamp::now();
        let from_now = |at: Timestamp| Duration::try_from(at.duration_since(now)).ok();
        // What has expired already expires at once.
        let expires = self.expires.map(|at| from_now(at).unwrap_or_default());
        Times { delay: self.eta.and_then(from_now), expires }
    }
}

/// When a job may start, from now on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    /// Not to be started earlier.
    delay: Option<Duration>,
    /// Cancelled, if not begun by then.
    expires: Option<Duration>,
}

impl Key {
    fn to_queue(&self) -> queue::IdempotencyKey {
        let Self { name, fingerprint, memory } = self.clone();
        queue::IdempotencyKey { name, fingerprint: fingerprint.into(), memory }
    }
}

impl Entry {
    pub(super) fn at(&self, index: u32, times: Times, request: Option<&str>) -> NewJob {
        let bytes = self.payload.to_bytes(request);
        NewJob {
            id: self.id,
            index,
            priority: self.priority,
            delay: times.delay,
            expires: times.expires,
            max_attempts: self.max_attempts,
            after: self.after,
            retry_of: self.retry_of,
            ..NewJob::new(self.payload.kind(), &self.queue, self.payload.class(), bytes)
        }
    }
}
