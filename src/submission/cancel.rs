//! Cancelling a group that is not enqueued whole yet.
//!
//! The total of a long prefix is known from the beginning, and a cancel does not change it: pictures that the broker does
//! not have yet are still handed to it, and are cancelled as they come. So each picture is counted and listed, and may
//! be tried again. Whoever cancels does this at once; a `source.scan` job that is at work, or the next `outbox.sweep`,
//! does it where the canceller dies.

use queue::{Broker, GroupId};

use super::Error;
use super::outbox::{self, Owed};
use crate::storage::Storage;

/// Has the pictures of a cancelled group that are not enqueued yet counted as cancelled, too. Nothing is done to a group
/// that is whole, or not cancelled.
///
/// # Errors
/// When the store or the broker fails; `outbox.sweep` does it then.
pub async fn list_cancelled(storage: &Storage, broker: &Broker, id: GroupId) -> Result<(), Error> {
    match broker.group(id).await? {
        Some(group) if group.cancelling && !group.sealed => {}
        _ => return Ok(()),
    }
    match outbox::read(storage, id).await? {
        Some(Owed::Work(manifest)) if manifest.is_workflow => Ok(broker.abandon_group(id).await.map(drop)?),
        Some(Owed::Work(manifest)) => Ok(manifest.complete(broker).await?),
        // Nobody knows of more.
        Some(Owed::Withdrawn(_) | Owed::Damaged(_)) | None => Ok(broker.abandon_group(id).await.map(drop)?),
    }
}
