//! The maintenance of store and broker: delivers acknowledged submissions, and removes files and records whose
//! retention has ended.
//!
//! There are two sweeps, each a kind of job. They may be interrupted at any point, and several services may run them at
//! the same time: each step is durable, and the next sweep continues from the present state. Everything stored of a
//! group is removed in one order, so that nothing is created again: first its manifest, then its files, then its
//! record.
//!
//! - `outbox.sweep` (`outbox.rs`) carries out the owners' orders to erase (`erasure.rs`), then delivers.
//! - `storage.sweep` (`retention.rs`) removes what is past its retention, and what has no record (`orphans.rs`).

pub mod erasure;
mod orphans;
mod outbox;
mod retention;

use std::time::{Duration, SystemTime};

use queue::{Broker, Group, GroupId};

use crate::storage::{self, Groups, Storage, manifest_key, withdrawn_key};

pub use erasure::Error;
pub use outbox::{Delivered, sweep_outbox};
pub use retention::{Swept, sweep_storage};

type Result<T> = std::result::Result<T, Error>;

/// Age at which files without record and manifest are removed. They are from interrupted uploads.
const ORPHAN_AGE: Duration = Duration::from_hours(24);
/// Number of groups, or results of a group, read at a time.
const PAGE: usize = 1_000;
/// Number of concurrent calls to the broker.
const CONCURRENCY: usize = 16;

/// Whether the group's follow-up, if any, is no longer owed: the job that begins it has ended. Until then, the group's
/// record and originals are kept, whatever their retention, because the follow-up needs them.
async fn follow_up_has_begun(broker: &Broker, group: &Group) -> Result<bool> {
    match group.then.filter(|_| group.fired) {
        Some(then) => Ok(broker.group(then).await?.is_none_or(|then| then.finished_at.is_some())),
        None => Ok(true),
    }
}

async fn is_owed(storage: &Storage, group: GroupId) -> Result<bool> {
    Ok(storage.has(&manifest_key(group)).await? || storage.has(&withdrawn_key(group)).await?)
}

/// The next groups of a list that may be too long for memory.
async fn next_page(mut groups: Groups) -> Result<(Vec<(GroupId, SystemTime)>, Groups)> {
    let page = tokio::task::spawn_blocking(move || {
        let page = groups.by_ref().take(PAGE).collect::<storage::Result<_>>();
        page.map(|page| (page, groups))
    });
    Ok(page.await.expect("listing folders does not panic")?)
}

async fn on_disk<T: Send + 'static>(
    storage: &Storage,
    work: impl FnOnce(&Storage) -> storage::Result<T> + Send + 'static,
) -> storage::Result<T> {
    let storage = storage.clone();
    tokio::task::spawn_blocking(move || work(&storage)).await.expect("removing files does not panic")
}
