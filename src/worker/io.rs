//! Jobs that wait for networks and disks rather than compute: carried out in the worker itself.

use bytes::Bytes;
use imaging::Limits;
use queue::Broker;
use serde::Serialize;

use super::Sources;
use super::attempt::Yield;
use super::fetch::fetch;
use crate::job::{Failure, Payload};
use crate::lack::Lack;
use crate::metrics::Metrics;
use crate::storage::Storage;
use crate::submission;
use crate::upkeep::{self, sweep_outbox, sweep_storage};

/// What they work on.
pub(super) struct Context {
    pub(super) broker: Broker,
    pub(super) storage: Storage,
    pub(super) sources: Sources,
    pub(super) limits: Limits,
    pub(super) metrics: Metrics,
    /// The request that the job comes from.
    pub(super) request_id: Option<String>,
}

/// Carries out one job; answers its result. Dropped halfway when the job is stopped, or its time is over.
pub(super) async fn carry_out(payload: &Payload, context: &Context) -> Result<Yield, Failure> {
    let Context { broker, storage, sources, limits, .. } = context;
    match payload {
        Payload::SourceFetch(job) => fetch(job, context).await.map(Yield::Stage),
        Payload::SourceScan(scan) => {
            submission::scan(storage, broker, scan.group).await.map(|()| done(&Nothing {})).map_err(refused)
        }
        Payload::GroupFollow(job) => submission::follow(storage, broker, sources, limits, job)
            .await
            .map(|pictures| done(&Followed { pictures }))
            .map_err(refused),
        Payload::StorageSweep(sweep) => {
            sweep_storage(storage, broker, sweep).await.map(|swept| done(&swept)).map_err(broken_off)
        }
        Payload::OutboxSweep(sweep) => {
            let delivered = sweep_outbox(storage, broker, sweep).await.map_err(broken_off)?;
            context.metrics.manifests_damaged.inc_by(delivered.damaged);
            Ok(done(&delivered))
        }
        // A bit of its record has changed: whoever enqueues takes the class from the payload.
        Payload::ImageProcess(_) => {
            Err(Failure::permanent("payload-damaged", format!("{} is no io job, as its record says", payload.kind())))
        }
    }
}

/// What a job that ended well says of itself.
#[derive(Serialize)]
struct Done<'a, T> {
    success: bool,
    #[serde(flatten)]
    counts: &'a T,
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Followed {
    pictures: usize,
}

fn done<T: Serialize>(counts: &T) -> Yield {
    let result: Bytes = serde_json::to_vec(&Done { success: true, counts }).expect("numbers always serialise").into();
    Yield::Result(result)
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn broken_off(error: upkeep::Error) -> Failure {
    match &error {
        upkeep::Error::Queue(cause) => unqueued(cause),
        upkeep::Error::Storage(cause) => Failure::of_store(cause.lack(), error.to_string()),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn refused(error: submission::Error) -> Failure {
    match &error {
        submission::Error::Queue(cause) => unqueued(cause),
        submission::Error::Storage(cause) => Failure::of_store(cause.lack(), error.to_string()),
        submission::Error::Unknown(_) | submission::Error::NotRetryable(_) => {
            Failure::permanent("source-gone", error.to_string())
        }
        _ => Failure::transient("storage", error.to_string()),
    }
}

/// Why the broker did not do what a job asked of it.
fn unqueued(error: &queue::Error) -> Failure {
    match error {
        queue::Error::StorageFull(_) => Failure::of_store(Some(Lack::Room), error.to_string()),
        queue::Error::Full(_) => Failure::transient("queue-full", error.to_string()),
        _ => Failure::transient("broker-unavailable", error.to_string()),
    }
}
