//! The broker's time: Redis' own `TIME`, or the one clock of SQLite's machine. A client's clock never counts.
//!
//! Instants are milliseconds since 1970. What a test adds to them is kept here, for both backends alike.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// How far ahead of the broker's own time the queue lives: not at all, but in tests, which move it instead of sleeping or
/// setting the machine's clock. Clones move together.
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

    pub(crate) fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Relaxed)
    }

    /// Milliseconds since 1970 by this machine's clock.
    pub(crate) fn now_ms(&self) -> i64 {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        millis(since_1970) + self.ahead_ms()
    }
}

/// Whole milliseconds, rounded up: a delay is never cut short.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}
