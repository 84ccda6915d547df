//! Errors: the list of all codes, and the code of each cause.
//!
//! A cause becomes a [`Failure`] by `From`: in `failure.rs` for errors of the queue and of imaging, otherwise where the
//! error is defined. `http::problem` makes answers from failures.

pub mod codes;
mod failure;
mod lack;

pub use failure::{Failure, Lacking};
pub use lack::Lack;
