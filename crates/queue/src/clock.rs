//! The broker's clock: Redis' `TIME`, or the clock of the machine with SQLite's file. The clock of a client is never
//! used.
//!
//! Instants are milliseconds since 1970. Tests add an offset to them, which is stored here for both backends.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// The offset of the queue's clock from the broker's own time. It is 0 except in tests, which move it instead of
/// sleeping or setting the machine's clock. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    ahead_ms: Arc<AtomicI64>,
}

impl Clock {
    pub fn advance(&self, by: Duration) {
        self.ahead_ms.fetch_add(millis(by), Ordering::Relaxed);
    }

    pub fn set_back(&self, by: Duration) {
        self.ahead_ms.fetch_sub(millis(by), Ordering::Relaxed);
    }

    /// The offset in milliseconds.
    pub(crate) fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Relaxed)
    }

    /// Milliseconds since 1970: this machine's clock plus the offset.
    pub(crate) fn now_ms(&self) -> i64 {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        millis(since_1970) + self.ahead_ms()
    }
}

/// Whole milliseconds, rounded up, so that no delay is shortened.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}
