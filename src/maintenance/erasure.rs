//! Erases a group's files at its owner's request, before their retention ends.
//!
//! `erasures/<group>` is the pending order. It is written before anything is removed, and removed when everything is.
//! So an order survives restarts, and the files of a running group are erased after it has ended. `erased/<group>`
//! records the erasure for clients, as long as the group has a record. The manifest is removed first and not delivered
//! meanwhile, so that nothing is enqueued or created again.

use bytes::Bytes;
use queue::{Broker, GroupId};
use tracing::warn;

use super::next_page;

use crate::errors::Failure;
use crate::storage::{self, Part, Storage};
use crate::submission;

/// The progress of an erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// The files are erased when the group has ended. They are no longer served.
    Ordered,
    Done,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error(transparent)]
    Queue(#[from] queue::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Storage(cause) => cause.into(),
            Error::Queue(cause) => cause.into(),
        }
    }
}

/// Orders the erasure. Durable when it returns.
pub async fn order(storage: &Storage, group: GroupId) -> storage::Result<()> {
    storage.put_pressing(&Part::Erasures.mark(group), Bytes::new()).await?;
    storage.put_pressing(&Part::Erased.mark(group), Bytes::new()).await
}

/// The progress of the group's erasure; `None` if none was ordered.
pub async fn stands(storage: &Storage, group: GroupId) -> storage::Result<Option<Stands>> {
    if !storage.has_at_once(&Part::Erased.mark(group))? {
        return Ok(None);
    }
    let ordered = storage.has(&Part::Erasures.mark(group)).await?;
    Ok(Some(if ordered { Stands::Ordered } else { Stands::Done }))
}

/// Carries the order out as far as possible. A group that has not ended is cancelled and left to the next call. Returns
/// whether the erasure is done.
///
/// # Errors
/// If the store or the broker fails. The order remains.
pub async fn carry_out(storage: &Storage, broker: &Broker, id: GroupId) -> Result<bool, Error> {
    if cancel(broker, id).await?.is_none() {
        // A sweep may be about to deliver the manifest. The next call checks again.
        let owed = super::is_owed(storage, id).await?;
        remove(storage, id, !owed).await?;
        return Ok(!owed);
    }
    let ended = broker.group(id).await?.is_none_or(|group| group.finished_at.is_some());
    if ended {
        remove(storage, id, true).await?;
    }
    Ok(ended)
}

/// Carries out the orders for groups that have ended; returns the number of erased groups.
///
/// # Errors
/// If the store or the broker fails. The remaining orders are kept.
pub(super) async fn carry_out_all(storage: &Storage, broker: &Broker) -> Result<u64, Error> {
    let mut erased = 0;
    // Orders of any age, because the clock may have been set back since.
    let mut ordered = storage.groups_of(Part::Erasures)?;
    loop {
        let page;
        (page, ordered) = next_page(ordered).await?;
        if page.is_empty() {
            return Ok(erased);
        }
        for (id, _) in page {
            match submission::list_cancelled(storage, broker, id).await {
                Err(submission::Error::Queue(away @ queue::Error::Unavailable(_))) => return Err(away.into()),
                // Files are erased nevertheless, and the other pictures are still owed.
                Err(error) => warn!("the rest of group {id} is not counted as cancelled: {error}"),
                Ok(()) => {}
            }
            erased += u64::from(carry_out(storage, broker, id).await?);
        }
    }
}

/// Cancels a group like [`Broker::cancel_group`], but writes nothing to the queue if it has ended, because the queue's
/// disk may be full.
pub async fn cancel(broker: &Broker, id: GroupId) -> queue::Result<Option<u64>> {
    match broker.group(id).await? {
        Some(group) if group.finished_at.is_some() => Ok(Some(0)),
        _ => broker.cancel_group(id).await,
    }
}

async fn remove(storage: &Storage, group: GroupId, done: bool) -> storage::Result<()> {
    let storage = storage.clone();
    let removed = tokio::task::spawn_blocking(move || {
        storage.remove_group(group)?;
        if done { storage.remove_part(Part::Erasures, group) } else { Ok(()) }
    });
    removed.await.expect("removing files does not panic")
}
