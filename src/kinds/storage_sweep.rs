//! `storage.sweep`: removes files and records whose retention has ended, and files of interrupted uploads.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Kind;

/// Retention times, counted from the end of a group. Zero: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageSweep {
    pub records: Duration,
    /// Originals are removed together with the record at the latest.
    pub originals: Duration,
    pub outputs: Duration,
}

impl Kind for StorageSweep {
    const QUEUE: &str = "scheduled";
    const IS_MAINTENANCE: bool = true;
}
