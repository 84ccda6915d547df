//! `source.scan`: hands the pictures of a long list to the broker.

use queue::GroupId;
use serde::{Deserialize, Serialize};

use super::Kind;

/// Enqueues the pictures of a long list chunk by chunk. The list is in the group's manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceScan {
    pub group: GroupId,
}

impl Kind for SourceScan {
    const QUEUE: &str = "io_intensive";
}
