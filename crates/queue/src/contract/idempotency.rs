//! Idempotency keys: a client that repeats a submission under the same key gets the group of its first one.

use std::time::Duration;

use bytes::Bytes;

use crate::GroupId;

/// An idempotency key and a hash of what was submitted under it. The submitter computes the hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// 1 to 255 bytes.
    pub name: String,
    pub fingerprint: Bytes,
    /// How long the key stays bound; `None` for [`Policy::key_memory`](crate::Policy::key_memory).
    pub memory: Option<Duration>,
}

/// The answer to a reservation of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reservation {
    /// The key is reserved for the caller's group, for [`Policy::reservation`](crate::Policy::reservation) from now on.
    Granted,
    /// The key is reserved for another group, which is still being received.
    Busy,
    /// The key is bound to this enqueued group, whose record exists. A key stays bound for
    /// [`IdempotencyKey::memory`].
    Known { group: GroupId, fingerprint: Bytes },
}
