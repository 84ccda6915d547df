//! What operators and their tools ask: health, readiness, metrics, statistics.

pub(super) mod health;
pub(super) mod readiness;
pub(super) mod stats;

pub use readiness::{Readiness, Role};
