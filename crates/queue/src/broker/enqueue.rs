//! Calls of submitters: enqueue groups, reserve idempotency keys.

use std::time::Duration;

use super::{Broker, check};
use crate::{GroupId, NewGroup, NewJob, Reservation, Result};

impl Broker {
    /// Enqueues a group and its jobs, all of them or none, and seals the group. They are durable when it returns.
    ///
    /// Long groups are enqueued in chunks. The last chunk seals the group and binds its key. If a later chunk is
    /// refused, the group is cancelled as by [`abandon_group`](Self::abandon_group). Enqueueing a sealed group again
    /// changes nothing; if the group is not sealed, its missing jobs are added.
    ///
    /// # Errors
    /// `Full` if a queue's cap or the memory is used up, `StorageFull` if the disk is.
    /// `Invalid` for a priority outside 1–10, a queue name that is not a word, indexes that are not 0, 1, 2, …, or an
    /// `after` that is not a job of the group with a smaller index.
    /// `KeyTaken` if the group's key is bound to another group.
    pub async fn enqueue(&self, group: &NewGroup, jobs: &[NewJob]) -> Result<()> {
        check::group(group, jobs)?;
        either!(self, broker => broker.enqueue(group, jobs).await)
    }

    /// Adds jobs to a group that is not sealed or does not exist yet; their indexes follow those of the call before.
    /// The call with `last` seals the group. The first call binds its key, so a client that repeats its submission gets
    /// the group as far as it exists.
    ///
    /// A refused call cancels nothing and may be repeated later. A sealed group is not changed. Jobs that are added to
    /// a group that is being cancelled are cancelled at once, so the group counts and lists them.
    ///
    /// # Errors
    /// As for [`enqueue`](Self::enqueue), and `Invalid` for a job with an `after`.
    pub async fn extend(&self, group: &NewGroup, jobs: &[NewJob], last: bool) -> Result<()> {
        check::part(group, jobs)?;
        either!(self, broker => broker.extend(group, jobs, last).await)
    }

    /// Reserves an idempotency key for a group that is being received; [`enqueue`](Self::enqueue) binds it to the
    /// group. Called again for the same group, it renews the reservation; do so well within
    /// [`reservation`](Self::reservation). A key is free again when the record of the group that it is bound to has
    /// been removed.
    ///
    /// # Errors
    /// `Invalid` for a key that is empty or longer than 255 bytes.
    pub async fn reserve(&self, key: &str, group: GroupId) -> Result<Reservation> {
        check::key(key)?;
        either!(self, broker => broker.reserve(key, group).await)
    }

    /// How long a reservation lasts if it is not renewed.
    pub fn reservation(&self) -> Duration {
        either!(self, broker => broker.reservation())
    }

    /// Gives a reservation back. Does nothing if the key is bound, or reserved for another group.
    pub async fn unreserve(&self, key: &str, group: GroupId) -> Result<()> {
        either!(self, broker => broker.unreserve(key, group).await)
    }
}
