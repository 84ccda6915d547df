//! What a job's records are made of, whatever its kind: failures, the terms of a submission, checksums, paths.

mod failure;
pub(crate) mod path;
pub mod seal;
mod terms;

pub use failure::{Failure, Lacking};
pub use terms::{Keep, Terms};
