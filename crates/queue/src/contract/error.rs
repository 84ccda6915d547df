//! Why a call failed.

use super::id::GroupId;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker cannot be reached or refuses to work at present; the same call may succeed later.
    #[error("the broker is unavailable: {0}")]
    Unavailable(String),
    /// The queue's cap or Redis' memory is used up; draining goes on.
    #[error("{0}")]
    Full(String),
    /// The disk under SQLite's file has no room; draining goes on while there is ballast.
    #[error("{0}")]
    StorageFull(String),
    /// The broker's records are not what this version writes.
    #[error("{0}")]
    Incompatible(String),
    /// The broker refuses the login, or a command that the login has no right to.
    #[error("{0}")]
    Refused(String),
    /// The call itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The idempotency key is bound to another group.
    #[error("the idempotency key is bound to group {0}")]
    KeyTaken(GroupId),
}

impl Error {
    pub(crate) fn full_queue(queue: &str, open: u64, more: u64, cap: u64) -> Self {
        Self::Full(format!("queue `{queue}` holds {open} open jobs and takes {cap}: no room for {more} more"))
    }
}

pub type Result<T> = std::result::Result<T, Error>;
