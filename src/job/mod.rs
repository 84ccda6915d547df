//! Jobs and groups: their ids, states and legal transitions, payloads and failures.
//!
//! The words are those of the queue's contract; who moves a job from state to state is `queue`'s
//! business, what a payload means is `worker`'s.

mod failure;
mod id;
mod payload;
mod result;
mod state;

pub use failure::Failure;
pub use id::{GroupId, JobId};
pub use payload::{Class, ImageProcess, OutboxSweep, Payload, Source, StorageSweep, request_id};
pub use result::{Answer, ImageResult, Output, OutputFile};
pub use state::State;
