//! `storage.sweep`: removes what is over its age, and what broken-off uploads left.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Kind;

/// How long things are kept from the end of their group; zero: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageSweep {
    pub records: Duration,
    /// Goes with the record at the latest.
    pub originals: Duration,
    pub outputs: Duration,
}

impl Kind for StorageSweep {
    const QUEUE: &str = "scheduled";
    const IS_UPKEEP: bool = true;
}
