//! The maintenance of store and broker: what was acknowledged is delivered, what is over its age is removed.
//!
//! Two sweeps, each a kind of job. Both may be broken off at any point and run by several services at once: each step is
//! durable, and the next sweep goes on from what it finds. What is stored of a group is removed in one order, so that
//! nothing comes back to life: first its manifest, then its files, then its record.
//!
//! - `outbox.sweep` (`outbox.rs`) erases what its owners ordered to be erased (`erasure.rs`), then delivers.
//! - `storage.sweep` (`retention.rs`) removes what is over its age, and what no record knows (`orphans.rs`).

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

/// Files that no record and no manifest knows are removed after this long: an upload was broken off.
const ORPHAN_AGE: Duration = Duration::from_hours(24);
/// Groups, or results of a group, read together.
const PAGE: usize = 1_000;
/// Questions to the broker at a time.
const CONCURRENCY: usize = 16;

/// Whether what follows a group, if anything does, is no longer owed: the job that begins it has ended. Until then the
/// group's record and its originals are kept, whatever their retention: they are what is to be worked on.
async fn follow_up_has_begun(broker: &Broker, group: &Group) -> Result<bool> {
    match group.then.filter(|_| group.fired) {
        Some(then) => Ok(broker.group(then).await?.is_none_or(|then| then.finished_at.is_some())),
        None => Ok(true),
    }
}

async fn is_owed(storage: &Storage, group: GroupId) -> Result<bool> {
    Ok(storage.has(&manifest_key(group)).await? || storage.has(&withdrawn_key(group)).await?)
}

/// The next groups of a list that may be longer than memory is wide.
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
