//! Errors: the one list of codes, and which code each cause has.
//!
//! A cause becomes a [`Failure`] by `From`: the queue's and imaging's errors in `failure.rs`, those of other modules where they
//! are defined. `http::problem` makes answers of them.

pub mod codes;
mod failure;
mod lack;

pub use failure::{Failure, Lacking};
pub use lack::Lack;
