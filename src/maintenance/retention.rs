//! `storage.sweep`: removes what is older than its retention.

use std::time::{Duration, SystemTime};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use queue::{Broker, GroupId};
use tracing::warn;

use super::orphans::{forget_erased, remove_empty_outputs, remove_lost_workflows};
use super::{CONCURRENCY, ORPHAN_AGE, PAGE, Result, follow_up_has_begun, is_owed, next_page, on_disk};
use crate::errors::Failure;
use crate::job::Keep;
use crate::kinds::{self, Context, Done, StorageSweep};
use crate::storage::{Part, Storage, keep_key};

/// The work of a sweep of the store, in groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Swept {
    pub records: u64,
    pub originals: u64,
    pub outputs: u64,
    /// Interrupted uploads.
    pub orphans: u64,
    /// Files of interrupted writes.
    pub drafts: u64,
}

impl kinds::Run for StorageSweep {
    async fn run(&self, context: &Context) -> std::result::Result<Done, Failure> {
        Ok(Done::with(&sweep_storage(&context.storage, &context.broker, self).await?))
    }
}

/// Removes what is older than its retention, and interrupted uploads.
///
/// # Errors
/// If the store or the broker fails.
pub async fn sweep_storage(storage: &Storage, broker: &Broker, sweep: &StorageSweep) -> Result<Swept> {
    sweep_own_retention(storage, broker).await?;
    let StorageSweep { records, originals, outputs } = *sweep;
    let records = if records.is_zero() { 0 } else { remove_records(storage, broker, records, outputs).await? };
    let kept = (!originals.is_zero()).then_some(originals);
    let uploads = remove_parts(storage, broker, Part::Uploads, kept, ORPHAN_AGE).await?;
    forget_erased(storage, broker).await?;
    remove_lost_workflows(storage, broker).await?;
    let drafts = on_disk(storage, |storage| storage.remove_drafts(SystemTime::now() - ORPHAN_AGE)).await?;
    let outputs = if outputs.is_zero() {
        remove_empty_outputs(storage, broker).await?
    } else {
        let removed = remove_parts(storage, broker, Part::Outputs, Some(outputs), outputs).await?;
        removed.finished + removed.orphans
    };
    Ok(Swept { records, originals: uploads.finished, orphans: uploads.orphans, outputs, drafts })
}

/// Removes what submissions asked to keep for less long than the settings say. A note in the store names each such
/// group, so no other group is looked at. The note is removed when nothing in it is left to do.
async fn sweep_own_retention(storage: &Storage, broker: &Broker) -> Result<()> {
    let mut notes = storage.groups_of(Part::Retention)?;
    loop {
        let page;
        (page, notes) = next_page(notes).await?;
        if page.is_empty() {
            return Ok(());
        }
        for (id, noted) in page {
            let Some(note) = storage.read(&keep_key(id)).await? else { continue };
            match serde_json::from_slice(&note) {
                Ok(keep) => keep_for(storage, broker, (id, noted), keep).await?,
                Err(error) => warn!("how long group {id} is kept cannot be read: {error}"),
            }
        }
    }
}

async fn keep_for(storage: &Storage, broker: &Broker, (id, noted): (GroupId, SystemTime), keep: Keep) -> Result<()> {
    let Some(group) = broker.group(id).await? else {
        // The record has been removed, so nothing is known about the rest. A young note may belong to a submission that
        // is still arriving.
        if noted < SystemTime::now() - ORPHAN_AGE && !is_owed(storage, id).await? {
            let outputs_go = keep.outputs.is_some();
            on_disk(
                storage,
                move |storage| {
                    if outputs_go { storage.remove_group(id) } else { storage.remove_note(id) }
                },
            )
            .await?;
        }
        return Ok(());
    };
    let age = group.finished_at.and_then(|at| Duration::try_from(Timestamp::now().duration_since(at)).ok());
    let Some(age) = age else { return Ok(()) };
    let over = |kept: Option<Duration>| kept.is_some_and(|kept| age > kept);
    let outputs_go = keep.outputs.is_some();
    let outputs = over(keep.outputs);
    let begun = follow_up_has_begun(broker, &group).await?;
    let (record, originals) = (begun && over(keep.records), begun && over(keep.originals));
    on_disk(storage, move |storage| {
        if record {
            storage.remove_owed(id)?;
        }
        // An original is only reachable by its record. Outputs without a retention of their own keep their address.
        if record || originals {
            storage.remove_part(Part::Uploads, id)?;
        }
        if outputs || record && outputs_go { storage.remove_part(Part::Outputs, id) } else { Ok(()) }
    })
    .await?;
    if record {
        broker.remove_group(id).await?;
    }
    let waits = |kept: Option<Duration>, over: bool| kept.is_some() && !over;
    let rest = waits(keep.outputs, outputs) || waits(keep.originals, originals) || waits(keep.records, record);
    if record || !rest {
        on_disk(storage, move |storage| storage.remove_note(id)).await?;
    }
    Ok(())
}

async fn remove_records(storage: &Storage, broker: &Broker, records: Duration, outputs: Duration) -> Result<u64> {
    let outputs_go = !outputs.is_zero() && outputs <= records;
    let (mut removed, mut kept) = (0, 0);
    loop {
        let before = (removed, kept);
        for id in broker.finished_groups(records, kept, PAGE).await? {
            if let Some(group) = broker.group(id).await?
                && !follow_up_has_begun(broker, &group).await?
            {
                kept += 1;
                continue;
            }
            on_disk(storage, move |storage| {
                storage.remove_owed(id)?;
                // An original is only reachable by its record. Outputs keep their address without one.
                storage.remove_part(Part::Uploads, id)?;
                storage.remove_part(Part::Erased, id)?;
                storage.remove_part(Part::Workflow, id)?;
                if outputs_go { storage.remove_part(Part::Outputs, id) } else { Ok(()) }
            })
            .await?;
            removed += u64::from(broker.remove_group(id).await?);
        }
        if (removed, kept) == before {
            return Ok(removed);
        }
    }
}

/// Groups of which a part was removed.
#[derive(Default)]
struct Removed {
    finished: u64,
    orphans: u64,
}

/// Removes a part of the groups that finished longer than `kept` ago, if there is a limit; and after `stray`, that part
/// of groups that are neither known nor owed.
async fn remove_parts(
    storage: &Storage,
    broker: &Broker,
    part: Part,
    kept: Option<Duration>,
    stray: Duration,
) -> Result<Removed> {
    let (now, mut removed) = (SystemTime::now(), Removed::default());
    // A group cannot have finished before its part was last written.
    let mut groups = storage.groups_older_than(part, now - kept.unwrap_or(stray).min(stray))?;
    loop {
        let page;
        (page, groups) = next_page(groups).await?;
        if page.is_empty() {
            return Ok(removed);
        }
        let asked = page
            .into_iter()
            .map(|(id, changed)| async move { Ok::<_, queue::Error>((id, changed, broker.group(id).await?)) });
        let mut asked = stream::iter(asked).buffered(CONCURRENCY);
        while let Some((id, changed, group)) = asked.try_next().await? {
            let over = match group {
                Some(ref group) => {
                    let age =
                        group.finished_at.and_then(|at| Duration::try_from(Timestamp::now().duration_since(at)).ok());
                    age.zip(kept).is_some_and(|(age, kept)| age > kept)
                        && (part != Part::Uploads || follow_up_has_begun(broker, group).await?)
                }
                None => changed < now - stray && !is_owed(storage, id).await?,
            };
            if over {
                on_disk(storage, move |storage| storage.remove_part(part, id)).await?;
                if group.is_some() { removed.finished += 1 } else { removed.orphans += 1 }
            }
        }
    }
}
