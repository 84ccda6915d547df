//! The upkeep of store and broker: what is owed is delivered, what is over its age goes.
//!
//! Both sweeps may be broken off at any point and run by several services at once: each step is
//! durable, and the next sweep goes on from what it finds. What is kept of a group goes in one
//! order, what is owed first, then files, then the record, so that nothing comes back to life.

use std::time::{Duration, SystemTime};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use queue::{Broker, Group, GroupId, GroupResult, Reservation, Run, State};
use tracing::{error, info, warn};

use crate::erasure;
use crate::job::{Failure, Keep};
use crate::kinds::{self, Context, Done, ImageResult, OutboxSweep, StorageSweep};
use crate::storage::{self, Groups, Part, Storage, damaged_key, keep_key, manifest_key, withdrawn_key};
use crate::submission;
use crate::submission::outbox::{self, Manifest, Owed};

/// Originals that no record and no manifest knows are removed after this long: an upload was broken off.
const ORPHAN_AGE: Duration = Duration::from_hours(24);
/// Groups, or results of a group, looked at together.
const PAGE: usize = 1_000;
/// Questions to the broker under way at a time.
const ASKED: usize = 16;

pub use crate::erasure::Error;

type Result<T> = std::result::Result<T, Error>;

/// What a sweep of the outbox found to do, in groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Delivered {
    /// Enqueued again: the broker did not have them.
    pub enqueued: u64,
    /// Ended, and so no longer owed.
    pub ended: u64,
    /// Refused to their clients, and now gone.
    pub withdrawn: u64,
    /// Ended, and their files erased as their owners had asked.
    pub erased: u64,
    /// Cannot be read, and are set aside.
    pub damaged: u64,
}

/// What a sweep of the store removed, in groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Swept {
    pub records: u64,
    pub originals: u64,
    pub outputs: u64,
    /// Uploads that were broken off.
    pub orphans: u64,
    /// Files of writes that were broken off.
    pub drafts: u64,
}

impl kinds::Run for OutboxSweep {
    async fn run(&self, context: &Context) -> std::result::Result<Done, Failure> {
        let delivered = sweep_outbox(&context.storage, &context.broker, self).await?;
        context.metrics.manifests_damaged.inc_by(delivered.damaged);
        Ok(Done::with(&delivered))
    }
}

impl kinds::Run for StorageSweep {
    async fn run(&self, context: &Context) -> std::result::Result<Done, Failure> {
        Ok(Done::with(&sweep_storage(&context.storage, &context.broker, self).await?))
    }
}

/// Sees to whatever is in the outbox for longer than its age: enqueues again what the broker does not have, forgets
/// what has ended, and takes back what was withdrawn.
///
/// # Errors
/// When the store or the broker fails.
pub async fn sweep_outbox(storage: &Storage, broker: &Broker, sweep: &OutboxSweep) -> Result<Delivered> {
    let mut delivered = Delivered { erased: erase(storage, broker).await?, ..Delivered::default() };
    let mut lost = Vec::new();
    let mut owed = storage.groups_older_or_ahead(Part::Outbox, SystemTime::now() - sweep.age)?;
    loop {
        let page;
        (page, owed) = next_page(owed).await?;
        if page.is_empty() {
            break;
        }
        let asked = page.into_iter().map(|(id, _)| async move { Ok::<_, queue::Error>((id, broker.group(id).await?)) });
        let mut asked = stream::iter(asked).buffered(ASKED);
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

/// Erases what was ordered to be, of groups that have ended.
async fn erase(storage: &Storage, broker: &Broker) -> Result<u64> {
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
            erased += u64::from(erasure::carry_out(storage, broker, id).await?);
        }
    }
}

/// A group of the outbox that the broker has.
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

/// Removes what runs have left whose workers died with them, of pictures that wait to be begun again. While the disk is
/// short none is begun, and what was left may be why it is.
async fn discard_broken_off(storage: &Storage, broker: &Broker, group: GroupId) -> Result<()> {
    // Listed before the broker is asked, so that a run that is claimed after its answer is not among them.
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

/// Whether what follows a group, if anything does, is no longer owed: the job that begins it has ended. Until then the
/// group's record and its originals are kept, whatever their retention: they are what is to be worked on.
async fn follow_up_has_begun(broker: &Broker, group: &Group) -> Result<bool> {
    match group.then.filter(|_| group.fired) {
        Some(then) => Ok(broker.group(then).await?.is_none_or(|then| then.finished_at.is_some())),
        None => Ok(true),
    }
}

/// A group of the outbox that the broker does not have, or not whole.
async fn deliver(storage: &Storage, broker: &Broker, id: GroupId, delivered: &mut Delivered) -> Result<()> {
    if erasure::stands(storage, id).await?.is_some() {
        return Ok(());
    }
    // Read after the broker was asked: a record is removed only after its manifest, so this one is owed indeed.
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
            Ok(()) => {
                info!(group.id = %id, "enqueued group {id} again: the broker did not have it");
                delivered.enqueued += 1;
            }
            Err(submission::Error::Queue(away @ queue::Error::Unavailable(_))) => return Err(away.into()),
            // The others are still owed.
            Err(error) => warn!("group {id} stays in the outbox: {error}"),
        },
        Some(Owed::Damaged(damage)) => give_up(storage, broker, id, &damage, delivered).await?,
        None => {}
    }
    Ok(())
}

/// A manifest that cannot be read, of a group that needs it.
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

/// What is owed for a group. One that the store cannot give at present is left to the next sweep.
async fn read(storage: &Storage, group: GroupId) -> Option<Owed> {
    outbox::read(storage, group).await.unwrap_or_else(|error| {
        warn!("{error}");
        None
    })
}

/// Whether a withdrawn submission's client gets its group when it tries again, by an idempotency key.
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

/// Removes the outputs of runs that did not win: of workers that died before they could.
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

/// Which run won, if any did.
///
/// # Errors
/// A result that cannot be read: any of the runs may be the winner.
fn winner(result: &GroupResult) -> serde_json::Result<Option<Run>> {
    if result.state != State::Succeeded {
        return Ok(None);
    }
    ImageResult::from_bytes(&result.result).map(|picture| Some(picture.run))
}

/// Removes what is older than its retention, and uploads that were broken off.
///
/// # Errors
/// When the store or the broker fails.
pub async fn sweep_storage(storage: &Storage, broker: &Broker, sweep: &StorageSweep) -> Result<Swept> {
    sweep_own_retention(storage, broker).await?;
    let StorageSweep { records, originals, outputs } = *sweep;
    let records = if records.is_zero() { 0 } else { remove_records(storage, broker, records, outputs).await? };
    let kept = (!originals.is_zero()).then_some(originals);
    let uploads = remove_parts(storage, broker, Part::Uploads, kept, ORPHAN_AGE).await?;
    forget_erased(storage, broker).await?;
    let drafts = on_disk(storage, |storage| storage.remove_drafts(SystemTime::now() - ORPHAN_AGE)).await?;
    let outputs = match outputs {
        Duration::ZERO => remove_empty_outputs(storage, broker).await?,
        outputs => remove_parts(storage, broker, Part::Outputs, Some(outputs), outputs).await?,
    };
    Ok(Swept {
        records,
        originals: uploads.finished,
        orphans: uploads.strays,
        outputs: outputs.finished + outputs.strays,
        drafts,
    })
}

/// Removes folders that name the owner of outputs, and hold none, of groups that nobody knows: their submission was broken
/// off, or nothing of them succeeded.
async fn remove_empty_outputs(storage: &Storage, broker: &Broker) -> Result<Removed> {
    let mut removed = Removed::default();
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
                removed.strays += 1;
            }
        }
    }
}

/// Removes what submissions have asked to be kept for less long than the settings say. A note in the store names each
/// such group, so that no other is looked at; it goes when it has nothing left to say.
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
        // Its record went first; of what is left nothing is known any more. A young one may still be on its way in.
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
        // Nothing can name an original without its record; outputs stay at their address, where they have no time of
        // their own.
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
                // Nothing can name an original without its record; outputs stay at their address.
                storage.remove_part(Part::Uploads, id)?;
                storage.remove_part(Part::Erased, id)?;
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

/// Forgets which groups were erased that have no record any more; and removes what a worker that was thought dead may
/// have written since.
async fn forget_erased(storage: &Storage, broker: &Broker) -> Result<()> {
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

/// Groups whose part was removed.
#[derive(Default)]
struct Removed {
    finished: u64,
    strays: u64,
}

/// Removes a part of the groups that finished longer than `kept` ago, where that is limited; and what belongs to no
/// group that is known or owed, after `stray`.
async fn remove_parts(
    storage: &Storage,
    broker: &Broker,
    part: Part,
    kept: Option<Duration>,
    stray: Duration,
) -> Result<Removed> {
    let (now, mut removed) = (SystemTime::now(), Removed::default());
    // Nothing was finished before it was added to.
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
        let mut asked = stream::iter(asked).buffered(ASKED);
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
                if group.is_some() { removed.finished += 1 } else { removed.strays += 1 }
            }
        }
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
