//! Workers that are alive, and the letters between them and those who ask them.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

/// How long a letter stays in its mailbox before it is removed unread.
pub const MAIL_MEMORY: Duration = Duration::from_mins(1);

/// A worker that has reported itself within [`Policy::worker_memory`](crate::Policy::worker_memory).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    pub session: String,
    pub seen_at: Timestamp,
    /// As the worker reported it; the broker does not read it.
    pub report: Bytes,
}
