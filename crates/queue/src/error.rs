//! The errors of all queue calls. `Unavailable`, `Full` and `StorageFull` may pass with time; the others need somebody
//! to act.

use crate::GroupId;

/// Why a call failed. Nothing was changed, unless the call's own documentation says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker cannot be reached or cannot work at present; the same call may succeed later.
    #[error("the broker is unavailable: {0}")]
    Unavailable(String),
    /// A queue has reached [`Policy::queue_cap`](crate::Policy::queue_cap), or Redis has used up its memory. Claims and
    /// settlements still work.
    #[error("{0}")]
    Full(String),
    /// The disk with SQLite's file is full. Claims and settlements still work while there is ballast to remove.
    #[error("{0}")]
    StorageFull(String),
    /// The broker's records are damaged, or another version of pixmill wrote them.
    #[error("{0}")]
    Incompatible(String),
    /// The broker refuses the login, or a command that the login has no right to.
    #[error("{0}")]
    Refused(String),
    /// An argument of the call is wrong; the same call always fails.
    #[error("{0}")]
    Invalid(String),
    /// The idempotency key is bound to this other group.
    #[error("the idempotency key is bound to group {0}")]
    KeyTaken(GroupId),
}

impl Error {
    /// A queue with `open` waiting and delayed jobs, of at most `cap`, has no room for `more`.
    pub(crate) fn full_queue(queue: &str, open: u64, more: u64, cap: u64) -> Self {
        Self::Full(format!("queue `{queue}` holds {open} open jobs and takes {cap}: no room for {more} more"))
    }
}

/// The result of a queue call.
pub type Result<T> = std::result::Result<T, Error>;
