//! What a job's records are made of, whatever its kind: the terms of a submission, checksums, paths.

pub(crate) mod labels;
pub(crate) mod path;
pub mod seal;
mod terms;

pub use labels::Labels;
pub use terms::{Keep, Terms};
