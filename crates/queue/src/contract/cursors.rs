//! Cursors: named positions that only move from the value that the mover has seen.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

/// Largest number of notes that are kept with a cursor; older ones are removed.
pub const CURSOR_NOTES: usize = 100;

/// Where a cursor stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub at: String,
    pub moved_at: Timestamp,
}

/// A move of a cursor.
#[derive(Debug, Clone)]
pub struct Advance {
    /// The cursor's name, 1 to 255 bytes.
    pub cursor: String,
    /// The value that the cursor must have; `None` if it must not exist yet.
    pub expected: Option<String>,
    /// The value that the cursor gets, 1 to 255 bytes.
    pub next: String,
    /// On the broker's clock; before it, the cursor does not move.
    pub not_before: Option<Timestamp>,
    /// Added to the cursor's notes, the last one as the newest. The broker does not read them.
    pub notes: Vec<Bytes>,
}

/// The answer to an [`Advance`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advanced {
    Moved,
    /// The cursor has another value, and nothing was changed. If the caller repeats a move whose answer it did not get,
    /// the value may be the one that it has set itself.
    Elsewhere {
        at: Option<String>,
    },
    /// It is too early, and nothing was changed.
    Early {
        wait: Duration,
    },
}
