//! Jobs and groups: their ids, states and legal transitions, payloads and failures.
//!
//! The words are those of the queue's contract; who moves a job from state to state is `queue`'s
//! business, what a payload means is `worker`'s.

mod failure;
pub(crate) mod path;
mod payload;
mod result;
pub mod seal;

pub use failure::{Failure, Lacking};
pub use payload::{
    GroupFollow, ImageProcess, Keep, Origin, OutboxSweep, Payload, Source, SourceFetch, SourceScan, StorageSweep,
    Terms, Unread, image_name, request_id,
};
pub use result::{Answer, ImageResult, Output, OutputFile};
