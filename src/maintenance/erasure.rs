//! Erasing a group's files at its owner's wish, before their time.
//!
//! `erasures/<group>` says that it is to be done: written before anything is removed, gone when everything is. So an
//! order outlives restarts, and a group that still runs is erased when it has ended. `erased/<group>` says so to those
//! who ask, for as long as the group has a record. What is owed goes first, and is not delivered meanwhile: nothing
//! comes back to life.

use bytes::Bytes;
use queue::{Broker, GroupId};
use tracing::warn;

use super::next_page;

use crate::errors::Failure;
use crate::storage::{self, Part, Storage};
use crate::submission;

/// How far the erasing of a group's files is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// They go when the group has ended; nobody is given them any more.
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

/// Orders it. Durable when it returns.
pub async fn order(storage: &Storage, group: GroupId) -> storage::Result<()> {
    storage.put_pressing(&Part::Erasures.mark(group), Bytes::new()).await?;
    storage.put_pressing(&Part::Erased.mark(group), Bytes::new()).await
}

/// Whether it was ordered, and done.
pub async fn stands(storage: &Storage, group: GroupId) -> storage::Result<Option<Stands>> {
    if !storage.has_at_once(&Part::Erased.mark(group))? {
        return Ok(None);
    }
    let ordered = storage.has(&Part::Erasures.mark(group)).await?;
    Ok(Some(if ordered { Stands::Ordered } else { Stands::Done }))
}

/// Does what was ordered, as far as it can be done by now: a group that has not ended is cancelled and left to the next
/// time. Answers whether it is done.
///
/// # Errors
/// When the store or the broker fails; it stays ordered.
pub async fn carry_out(storage: &Storage, broker: &Broker, id: GroupId) -> Result<bool, Error> {
    if cancel(broker, id).await?.is_none() {
        // Somebody may be about to deliver what was owed until now: the next time tells.
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

/// Carries out what was ordered for groups that have ended; returns how many groups were erased.
///
/// # Errors
/// When the store or the broker fails; what is left stays ordered.
pub(super) async fn carry_out_all(storage: &Storage, broker: &Broker) -> Result<u64, Error> {
    let mut erased = 0;
    // However old the mark says that it is: the clock may have been set back since.
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
                // What can be erased is, and the others are still owed.
                Err(error) => warn!("the rest of group {id} is not counted as cancelled: {error}"),
                Ok(()) => {}
            }
            erased += u64::from(carry_out(storage, broker, id).await?);
        }
    }
}

/// Cancels a group as [`Broker::cancel_group`] does, without writing to the queue where it has ended: its disk may be full.
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
