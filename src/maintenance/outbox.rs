//! `outbox.sweep`: enqueues again what the broker does not have, and removes the manifests of ended groups.

use std::time::SystemTime;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use queue::{Broker, Group, GroupId, GroupResult, Reservation, Run, State};
use tracing::{error, info, warn};

use super::{CONCURRENCY, PAGE, Result, erasure, follow_up_has_begun, next_page, on_disk};
use crate::errors::Failure;
use crate::kinds::{self, Context, Done, ImageResult, OutboxSweep};
use crate::storage::{Part, Storage, damaged_key, manifest_key, withdrawn_key};
use crate::submission;
use crate::submission::manifest::Manifest;
use crate::submission::outbox::{self, Owed};

/// The work of a sweep of the outbox, in groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Delivered {
    /// Enqueued again because the broker did not have them.
    pub enqueued: u64,
    /// Ended, so no longer owed.
    pub ended: u64,
    /// Withdrawn submissions, now removed.
    pub withdrawn: u64,
    /// Ended, and their files erased as their owners had ordered.
    pub erased: u64,
    /// Unreadable manifests that were set aside.
    pub damaged: u64,
}

impl kinds::Run for OutboxSweep {
    async fn run(&self, context: &Context) -> std::result::Result<Done, Failure> {
        let delivered = sweep_outbox(&context.storage, &context.broker, self).await?;
        context.metrics.manifests_damaged.inc_by(delivered.damaged);
        Ok(Done::with(&delivered))
    }
}

/// Handles everything in the outbox that is older than the sweep's age: enqueues again what the broker does not have,
/// removes manifests of ended groups, and cancels withdrawn submissions.
///
/// # Errors
/// If the store or the broker fails.
pub async fn sweep_outbox(storage: &Storage, broker: &Broker, sweep: &OutboxSweep) -> Result<Delivered> {
    let mut delivered = Delivered { erased: erasure::carry_out_all(storage, broker).await?, ..Delivered::default() };
    let mut lost = Vec::new();
    let mut owed = storage.groups_older_or_ahead(Part::Outbox, SystemTime::now() - sweep.age)?;
    loop {
        let page;
        (page, owed) = next_page(owed).await?;
        if page.is_empty() {
            break;
        }
        let asked = page.into_iter().map(|(id, _)| async move { Ok::<_, queue::Error>((id, broker.group(id).await?)) });
        let mut asked = stream::iter(asked).buffered(CONCURRENCY);
        while let Some((id, group)) = asked.try_next().await? {
            match group {
                Some(group) if group.sealed => see_to(storage, broker, &group, &mut delivered).await?,
                _ => lost.push(id),
            }
        }
    }
    for id in lost {
        deliver(storage, broker, id, &mut delivered).await?;
    }
    Ok(delivered)
}

/// Handles a group in the outbox that the broker has.
async fn see_to(storage: &Storage, broker: &Broker, group: &Group, delivered: &mut Delivered) -> Result<()> {
    let id = group.id;
    let ended = group.finished_at.is_some();
    if !storage.has(&withdrawn_key(id)).await? {
        if ended && follow_up_has_begun(broker, group).await? {
            keep_winners(storage, broker, id).await?;
            storage.remove(&manifest_key(id)).await?;
            delivered.ended += 1;
        } else if !ended && storage.space()?.is_short() {
            discard_broken_off(storage, broker, id).await?;
        }
        return Ok(());
    }
    match read(storage, id).await {
        Some(Owed::Withdrawn(manifest)) if is_answered(broker, &manifest).await? => {
            outbox::reinstate(storage, id).await?;
        }
        Some(Owed::Withdrawn(_)) if ended => {
            on_disk(storage, move |storage| storage.remove_group(id)).await?;
            broker.remove_group(id).await?;
            delivered.withdrawn += 1;
        }
        Some(Owed::Withdrawn(_)) => {
            broker.abandon_group(id).await?;
        }
        Some(Owed::Damaged(damage)) if ended => {
            give_up(storage, broker, id, &damage, delivered).await?;
        }
        Some(Owed::Work(_) | Owed::Damaged(_)) | None => {}
    }
    Ok(())
}

/// Removes the outputs of runs whose workers died, for pictures that wait to begin again. While the disk is short of
/// space, no picture begins, and these outputs may be the cause.
async fn discard_broken_off(storage: &Storage, broker: &Broker, group: GroupId) -> Result<()> {
    // Listed before the broker is asked, so that the list has no run that is claimed after the broker's answer.
    for (id, runs) in on_disk(storage, move |storage| storage.runs(group)).await? {
        if runs.is_empty() {
            continue;
        }
        let job = broker.job(id).await?;
        if job.is_some_and(|job| matches!(job.state, State::Waiting | State::Delayed)) {
            on_disk(storage, move |storage| runs.iter().try_for_each(|run| storage.remove_run(run))).await?;
        }
    }
    Ok(())
}

/// Handles a group in the outbox that the broker does not have, or has only in part.
async fn deliver(storage: &Storage, broker: &Broker, id: GroupId, delivered: &mut Delivered) -> Result<()> {
    if erasure::stands(storage, id).await?.is_some() {
        return Ok(());
    }
    // Read after the broker was asked. A record is removed only after its manifest, so this manifest is still owed.
    match read(storage, id).await {
        Some(Owed::Withdrawn(manifest)) => {
            if is_answered(broker, &manifest).await? {
                outbox::reinstate(storage, id).await?;
            } else if broker.abandon_group(id).await?.is_none() {
                on_disk(storage, move |storage| storage.remove_group(id)).await?;
                delivered.withdrawn += 1;
            }
        }
        Some(Owed::Work(manifest)) => match manifest.deliver(storage, broker).await {
            Ok(false) => {}
            Ok(true) => {
                info!(group.id = %id, "enqueued group {id} again: the broker did not have it");
                delivered.enqueued += 1;
            }
            Err(submission::Error::Queue(away @ queue::Error::Unavailable(_))) => return Err(away.into()),
            // The other groups are still owed.
            Err(error) => warn!("group {id} stays in the outbox: {error}"),
        },
        Some(Owed::Damaged(damage)) => give_up(storage, broker, id, &damage, delivered).await?,
        None => {}
    }
    Ok(())
}

/// Gives up a manifest that cannot be read, of a group that needs it.
async fn give_up(
    storage: &Storage,
    broker: &Broker,
    id: GroupId,
    damage: &outbox::Damage,
    delivered: &mut Delivered,
) -> Result<()> {
    match outbox::give_up(storage, broker, id, damage).await {
        Ok(()) => {}
        Err(submission::Error::Queue(away @ queue::Error::Unavailable(_))) => return Err(away.into()),
        Err(failed) => {
            warn!("group {id} stays in the outbox: {failed}");
            return Ok(());
        }
    }
    delivered.damaged += 1;
    let (kept, why) = (damaged_key(id), &damage.why);
    error!(group.id = %id, "what was owed for group {id} cannot be read: {why}; it is kept as {kept}");
    Ok(())
}

/// The manifest of a group. If the store cannot read it at present, it is left to the next sweep.
async fn read(storage: &Storage, group: GroupId) -> Option<Owed> {
    outbox::read(storage, group).await.unwrap_or_else(|error| {
        warn!("{error}");
        None
    })
}

/// Whether the client of a withdrawn submission gets its group by an idempotency key when it retries.
async fn is_answered(broker: &Broker, manifest: &Manifest) -> Result<bool> {
    let Some(key) = &manifest.key else { return Ok(false) };
    match broker.reserve(&key.name, manifest.group).await? {
        Reservation::Known { group, .. } => Ok(group == manifest.group),
        Reservation::Busy => Ok(false),
        Reservation::Granted => {
            broker.unreserve(&key.name, manifest.group).await?;
            Ok(false)
        }
    }
}

/// Removes the outputs of runs that did not win, because their workers died before they could remove them.
async fn keep_winners(storage: &Storage, broker: &Broker, group: GroupId) -> Result<()> {
    let mut from = 0;
    loop {
        let results = broker.results(group, from, PAGE).await?;
        let Some(last) = results.last() else { return Ok(()) };
        from = last.index + 1;
        on_disk(storage, move |storage| {
            let keep = |one: &GroupResult| match winner(one) {
                Ok(run) => storage.keep_run(group, one.job, run),
                Err(error) => {
                    error!(group.id = %group, "the result of job {} cannot be read: {error}", one.job);
                    Ok(())
                }
            };
            results.iter().try_for_each(keep)
        })
        .await?;
    }
}

/// The run that won, if any.
///
/// # Errors
/// If a result cannot be read, because then any run may be the winner.
fn winner(result: &GroupResult) -> serde_json::Result<Option<Run>> {
    if result.state != State::Succeeded {
        return Ok(None);
    }
    ImageResult::from_bytes(&result.result).map(|picture| Some(picture.run))
}
