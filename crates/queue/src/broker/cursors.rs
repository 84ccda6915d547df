//! Calls of those who move cursors, and of those who read them.

use bytes::Bytes;

use super::{Broker, check};
use crate::{Advance, Advanced, Cursor, NewGroup, NewJob, Result};

impl Broker {
    /// Moves a cursor and enqueues a group with its jobs, at most 1,000, in one transition: both happen or neither. Of
    /// all callers that expect the same value, one moves the cursor.
    ///
    /// The group is enqueued and sealed as by [`enqueue`](Self::enqueue). If it is sealed already, only the cursor
    /// moves.
    ///
    /// # Errors
    /// As for [`enqueue`](Self::enqueue), and `Invalid` for a name or value of the wrong length, for more notes than
    /// [`CURSOR_NOTES`](crate::CURSOR_NOTES) and for more than 1,000 jobs. The cursor does not move then.
    pub async fn advance(&self, advance: &Advance, work: Option<(&NewGroup, &[NewJob])>) -> Result<Advanced> {
        check::advance(advance, work)?;
        either!(self, broker => broker.advance(advance, work).await)
    }

    /// Where a cursor stands; `None` if it has never moved or was removed.
    pub async fn cursor(&self, name: &str) -> Result<Option<Cursor>> {
        either!(self, broker => broker.cursor(name).await)
    }

    /// The notes of a cursor, the newest first.
    pub async fn notes(&self, cursor: &str, limit: usize) -> Result<Vec<Bytes>> {
        either!(self, broker => broker.notes(cursor, limit).await)
    }

    /// Adds a note to a cursor without moving it. A note that equals the newest one is not added again.
    ///
    /// # Errors
    /// `Invalid` for a name of the wrong length.
    pub async fn note(&self, cursor: &str, note: &Bytes) -> Result<()> {
        check::cursor(cursor)?;
        either!(self, broker => broker.note(cursor, note).await)
    }

    /// Removes a cursor and its notes. Does nothing if the cursor does not exist.
    pub async fn remove_cursor(&self, name: &str) -> Result<()> {
        either!(self, broker => broker.remove_cursor(name).await)
    }
}
