//! Cancels a group that has not been enqueued completely.
//!
//! The total of a long prefix is known from the beginning, and a cancel does not change it. Pictures that the broker
//! does not have yet are still enqueued, and cancelled as they arrive. So each picture is counted and listed, and can
//! be retried. The process that cancels does this at once. If it dies, a running `source.scan` job or the next
//! `outbox.sweep` does it.

use queue::{Broker, GroupId};

use super::Error;
use super::outbox::{self, Owed};
use crate::storage::Storage;

/// Enqueues the remaining pictures of a cancelled group, so that they count as cancelled. Does nothing for a group that
/// is complete or not cancelled.
///
/// # Errors
/// If the store or the broker fails. `outbox.sweep` does the work then.
pub async fn list_cancelled(storage: &Storage, broker: &Broker, id: GroupId) -> Result<(), Error> {
    match broker.group(id).await? {
        Some(group) if group.cancelling && !group.sealed => {}
        _ => return Ok(()),
    }
    match outbox::read(storage, id).await? {
        Some(Owed::Work(manifest)) if manifest.is_workflow => Ok(broker.abandon_group(id).await.map(drop)?),
        Some(Owed::Work(manifest)) => Ok(manifest.complete(broker).await?),
        // No more pictures are known.
        Some(Owed::Withdrawn(_) | Owed::Damaged(_)) | None => Ok(broker.abandon_group(id).await.map(drop)?),
    }
}
