//! The parts of a job's records that all kinds share: the terms of a submission, checksums, paths.

pub(crate) mod labels;
pub(crate) mod path;
pub mod seal;
mod terms;

pub use labels::Labels;
pub use terms::{Keep, Terms};
