//! What a slot enqueues: a group of one `schedule.run` job, which makes the group that people see.
//!
//! The ids follow from the schedule, its version and the slot. So does the whole manifest, and of several services that
//! write it down at a time each writes the same.

use jiff::Timestamp;
use queue::{Broker, GroupId, JobId};

use super::decide::{derived, group_of};
use super::definition::{Definition, Settings};
use super::record::Record;
use super::shelf::Entry;
use crate::kinds::{Kind, Occasion, Payload, ScheduleRun, SourceScan};
use crate::storage::Storage;
use crate::submission::manifest::{Entry as Job, Manifest};
use crate::submission::{self, Meta, routing};

/// Slots that are filled in at the most in one request.
pub const MOST_FILLED: usize = 100;
/// Of what is filled in, so that it delays nothing else.
const PRIORITY_OF_FILLING: u8 = 1;

impl Entry {
    /// The name of the cursor that tells how far the schedule has come.
    pub fn cursor(&self) -> String {
        cursor(&self.name, &self.version)
    }
}

/// The name of the cursor of a version of a schedule.
pub(super) fn cursor(name: &str, version: &str) -> String {
    format!("schedule:{name}:{version}")
}

/// The group of the job that makes `group`.
pub(super) fn step_of(group: GroupId) -> GroupId {
    derived(group, "step").into()
}

/// What a slot enqueues, and the group that it makes.
pub(super) fn firing(
    entry: &Entry,
    definition: &Definition,
    settings: &Settings,
    slot: Timestamp,
) -> (GroupId, Manifest) {
    let group = group_of(&entry.cursor(), slot);
    let job = job(entry, definition, settings, &Order { slot, group, manual: false, priority: None });
    // Of the slot's own time, so that all services write the same.
    (group, Manifest { created_at: slot, ..Manifest::new(step_of(group), Meta::service(), vec![job]) })
}

#[derive(Clone, Copy)]
struct Order {
    slot: Timestamp,
    group: GroupId,
    manual: bool,
    /// Instead of the one that the definition asks for.
    priority: Option<u8>,
}

fn job(entry: &Entry, definition: &Definition, settings: &Settings, order: &Order) -> Job {
    let Order { slot, group, manual, priority } = *order;
    let asked = &definition.run.asked;
    let mut terms = asked.terms(&settings.queue);
    terms.priority = priority.unwrap_or(terms.priority);
    let from = definition.timing.period(slot).map(|period| period.from);
    let routed = |kind, own| routing::queue(&settings.queue.routes, kind, own, terms.priority).to_owned();
    let (queue, scan_queue) =
        (routed(ScheduleRun::NAME, ScheduleRun::QUEUE), routed(SourceScan::NAME, SourceScan::QUEUE));
    let (priority, max_attempts) = (terms.priority, terms.max_attempts);
    let payload = Payload::ScheduleRun(ScheduleRun {
        occasion: Occasion { name: entry.name.clone(), slot, from, manual },
        group,
        owner: entry.owner.clone(),
        sources: definition.run.sources.clone(),
        terms,
        keep: asked.options.retention.unwrap_or_default(),
        max_files: settings.limits.max_files,
        chunk: asked.options.chunk(),
        scan_queue,
    });
    Job { id: JobId::from(derived(group, "job")), queue, priority, max_attempts, after: None, retry_of: None, payload }
}

/// Fires a schedule now, whatever its clock says. Returns the group that is being made.
///
/// # Errors
/// When the store or the broker fails.
pub async fn run_now(
    (storage, broker): (&Storage, &Broker),
    (entry, definition): (&Entry, &Definition),
    settings: &Settings,
    now: Timestamp,
) -> Result<GroupId, submission::Error> {
    let order = Order { slot: now, group: GroupId::new(), manual: true, priority: None };
    submit((storage, broker), entry, vec![job(entry, definition, settings, &order)], &[order], now).await?;
    Ok(order.group)
}

/// Fires slots of the past once more, with the lowest priority. Returns the group of each.
///
/// # Errors
/// When the store or the broker fails.
pub async fn fill_in(
    (storage, broker): (&Storage, &Broker),
    (entry, definition): (&Entry, &Definition),
    settings: &Settings,
    slots: &[Timestamp],
    now: Timestamp,
) -> Result<Vec<(Timestamp, GroupId)>, submission::Error> {
    let order =
        |&slot: &Timestamp| Order { slot, group: GroupId::new(), manual: true, priority: Some(PRIORITY_OF_FILLING) };
    let orders: Vec<Order> = slots.iter().map(order).collect();
    let jobs = orders.iter().map(|order| job(entry, definition, settings, order)).collect();
    submit((storage, broker), entry, jobs, &orders, now).await?;
    Ok(orders.iter().map(|order| (order.slot, order.group)).collect())
}

async fn submit(
    (storage, broker): (&Storage, &Broker),
    entry: &Entry,
    jobs: Vec<Job>,
    orders: &[Order],
    now: Timestamp,
) -> Result<(), submission::Error> {
    // Version 5: of the service.
    let step = derived(GroupId::new(), "asked").into();
    Manifest::new(step, Meta::service(), jobs).submit(storage, broker).await?;
    for order in orders {
        broker.note(&entry.cursor(), &Record::manual(order.slot, order.group, now).to_note()).await?;
    }
    Ok(())
}

/// The slots of a span of the past, `to` not included.
///
/// # Errors
/// A sentence that names the field and the limit: no slot, too many, or some of them in the future.
pub fn past_slots(
    definition: &Definition,
    from: Timestamp,
    to: Timestamp,
    now: Timestamp,
) -> Result<Vec<Timestamp>, String> {
    if to > now {
        return Err(format!("to: {to} is in the future"));
    }
    if from >= to {
        return Err(format!("from: {from} is not before to ({to})"));
    }
    let before = |at: Timestamp| at.checked_sub(jiff::SignedDuration::from_nanos(1)).unwrap_or(at);
    let found = definition.timing.between(before(from), before(to), MOST_FILLED);
    if found.earlier.is_some() {
        return Err(format!("from, to: there are more than {MOST_FILLED} slots from {from} to {to}"));
    }
    if found.latest.is_empty() {
        return Err(format!("from, to: there is no slot from {from} to {to}"));
    }
    Ok(found.latest)
}

/// Forgets how far a schedule came that was removed.
///
/// # Errors
/// When the broker fails.
pub async fn forget(broker: &Broker, entry: &Entry) -> queue::Result<()> {
    broker.remove_cursor(&entry.cursor()).await?;
    for version in &entry.previous {
        broker.remove_cursor(&cursor(&entry.name, version)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedules::Document;
    use crate::schedules::definition::tests::settings;

    #[test]
    fn span_of_the_past_has_its_slots_and_no_more_than_a_hundred() {
        let document = serde_json::json!({"cron": "@hourly", "run": {"prefix": "a"}});
        let definition = Document::read(&document).unwrap().check(&settings()).unwrap();
        let at = |text: &str| format!("2026-12-{text}:00Z").parse::<Timestamp>().unwrap();
        let of = |from, to| past_slots(&definition, at(from), at(to), at("20T00:00"));
        assert_eq!(of("01T00:00", "01T02:00").unwrap(), [at("01T00:00"), at("01T01:00")]);
        assert_eq!(of("01T00:00", "05T04:00").unwrap().len(), 100);
        for (from, to, said) in [
            ("01T00:00", "05T04:01", "from, to: there are more than 100 slots"),
            ("01T00:01", "01T00:59", "from, to: there is no slot"),
            ("01T00:00", "01T00:00", "from: 2026-12-01T00:00:00Z is not before to"),
            ("01T00:00", "20T00:01", "to: 2026-12-20T00:01:00Z is in the future"),
        ] {
            assert!(of(from, to).unwrap_err().starts_with(said), "{from} {to}");
        }
    }
}
