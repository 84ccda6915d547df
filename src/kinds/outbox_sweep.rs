//! `outbox.sweep`: enqueues acknowledged submissions that the broker does not have.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Kind;

/// Enqueues the submissions that are still owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxSweep {
    /// Least age of the submissions looked at. Younger ones may still be arriving.
    pub age: Duration,
}

impl Kind for OutboxSweep {
    const QUEUE: &str = "scheduled";
    const IS_MAINTENANCE: bool = true;
}
