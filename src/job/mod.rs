//! What a job's records are made of, whatever its kind: the terms of a submission, checksums, paths.

pub(crate) mod path;
pub mod seal;
mod terms;

pub use terms::{Keep, Terms};
