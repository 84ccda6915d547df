//! `outbox.sweep`: delivers to the broker what was acknowledged and is not there.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Kind;

/// Delivers what is still owed to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxSweep {
    /// Younger submissions are still on their way.
    pub age: Duration,
}

impl Kind for OutboxSweep {
    const QUEUE: &str = "scheduled";
    const IS_UPKEEP: bool = true;
}
