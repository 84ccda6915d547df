//! Jobs that wait for networks and disks rather than compute: carried out in the worker itself.

use bytes::Bytes;
use serde::Serialize;

use crate::job::{Failure, Payload};
use crate::queue::Broker;
use crate::storage::Storage;
use crate::upkeep::{self, sweep_outbox, sweep_storage};

/// What they work on.
pub(super) struct Context {
    pub(super) broker: Broker,
    pub(super) storage: Storage,
}

/// Carries out one job; answers its result. Dropped halfway when the job is stopped, or its time is over.
pub(super) async fn carry_out(payload: &Payload, context: &Context) -> Result<Bytes, Failure> {
    let Context { broker, storage } = context;
    match payload {
        Payload::StorageSweep(sweep) => {
            sweep_storage(storage, broker, sweep).await.map(|swept| done(&swept)).map_err(broken_off)
        }
        Payload::OutboxSweep(sweep) => {
            sweep_outbox(storage, broker, sweep).await.map(|delivered| done(&delivered)).map_err(broken_off)
        }
        Payload::ImageProcess(_) => Err(Failure::permanent("internal", format!("{} is not an io job", payload.kind()))),
    }
}

/// What a job that ended well says of itself.
#[derive(Serialize)]
struct Done<'a, T> {
    success: bool,
    #[serde(flatten)]
    counts: &'a T,
}

fn done<T: Serialize>(counts: &T) -> Bytes {
    serde_json::to_vec(&Done { success: true, counts }).expect("numbers always serialise").into()
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn broken_off(error: upkeep::Error) -> Failure {
    let code = match error {
        upkeep::Error::Queue(_) => "broker-unavailable",
        upkeep::Error::Storage(_) => "storage",
    };
    Failure::transient(code, error.to_string())
}
