//! `pixmill control erase`: what `DELETE …?files=true` does, without a server.

use anyhow::Result;
use queue::Broker;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::maintenance::erasure;
use crate::storage::Storage;
use crate::submission;

/// Cancels a group and erases its files, or has them erased as soon as it has ended. Outputs may be kept for longer than
/// the record, so files in the store are erased without one. `None` if there is neither a record nor a file.
pub(super) async fn erase(storage: &Storage, broker: &Broker, id: Uuid) -> Result<Option<(Value, String)>> {
    let group = id.into();
    if erasure::cancel(broker, group).await?.is_none() && !storage.keeps(group)? {
        return Ok(None);
    }
    // Ordered first: where the rest of this fails, `outbox.sweep` does it.
    erasure::order(storage, group).await?;
    submission::list_cancelled(storage, broker, group).await?;
    let done = erasure::carry_out(storage, broker, group).await?;
    let line = if done {
        format!("group {id}: its files are erased")
    } else {
        format!("group {id}: its files are given to nobody any more, and erased when what runs has ended")
    };
    Ok(Some((json!({"id": id, "files": if done { "erased" } else { "erasing" }}), line)))
}
