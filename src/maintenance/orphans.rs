//! What no record knows: folders of submissions and workflows that were broken off, and marks of groups that were erased.

use std::time::SystemTime;

use queue::Broker;

use super::{ORPHAN_AGE, Result, is_owed, next_page, on_disk};
use crate::storage::{Part, Storage};

/// Removes output folders of unknown groups that only name the owner and have no output. Their submission was
/// interrupted, or no job succeeded.
pub(super) async fn remove_empty_outputs(storage: &Storage, broker: &Broker) -> Result<u64> {
    let mut removed = 0;
    let mut groups = storage.groups_older_than(Part::Outputs, SystemTime::now() - ORPHAN_AGE)?;
    loop {
        let page;
        (page, groups) = next_page(groups).await?;
        if page.is_empty() {
            return Ok(removed);
        }
        let empty = on_disk(storage, move |storage| {
            let mut empty = Vec::new();
            for (id, _) in page {
                if !storage.has_outputs(id)? {
                    empty.push(id);
                }
            }
            Ok(empty)
        });
        for id in empty.await? {
            if broker.group(id).await?.is_none() && !is_owed(storage, id).await? {
                on_disk(storage, move |storage| storage.remove_part(Part::Outputs, id)).await?;
                removed += 1;
            }
        }
    }
}

/// Removes the documents of workflows that nobody knows: their submission was broken off.
pub(super) async fn remove_lost_workflows(storage: &Storage, broker: &Broker) -> Result<()> {
    let mut workflows = storage.groups_older_than(Part::Workflow, SystemTime::now() - ORPHAN_AGE)?;
    loop {
        let page;
        (page, workflows) = next_page(workflows).await?;
        if page.is_empty() {
            return Ok(());
        }
        for (id, _) in page {
            if broker.group(id).await?.is_none() && !is_owed(storage, id).await? {
                on_disk(storage, move |storage| storage.remove_part(Part::Workflow, id)).await?;
            }
        }
    }
}

/// Forgets which groups were erased that have no record any more; and removes what a worker that was thought dead may
/// have written since.
pub(super) async fn forget_erased(storage: &Storage, broker: &Broker) -> Result<()> {
    let mut erased = storage.groups_older_than(Part::Erased, SystemTime::now() - ORPHAN_AGE)?;
    loop {
        let page;
        (page, erased) = next_page(erased).await?;
        if page.is_empty() {
            return Ok(());
        }
        for (id, _) in page {
            if storage.has(&Part::Erasures.mark(id)).await? {
                continue;
            }
            let known = broker.group(id).await?.is_some();
            on_disk(storage, move |storage| {
                storage.remove_group(id)?;
                if known { Ok(()) } else { storage.remove_part(Part::Erased, id) }
            })
            .await?;
        }
    }
}
