//! Schedules as documents, for HTTP and the command line alike.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use queue::Broker;
use serde_json::{Value, json};

use super::decide::Position;
use super::definition::{Document, Policy};
use super::record::Record;
use super::shelf::Entry;
use super::sweeps::Sweep;
use super::timing::Timing;
use crate::duration;

/// Slots that are shown before they come.
pub const UPCOMING: usize = 10;
/// Records that are shown.
pub const RECORDS: usize = 100;

/// How much of a schedule is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// One coming slot, and the last record.
    Line,
    /// Ten coming slots, and a hundred records.
    Whole,
}

impl Extent {
    fn bounds(self) -> (usize, usize) {
        match self {
            Self::Line => (1, 1),
            Self::Whole => (UPCOMING, RECORDS),
        }
    }
}

/// A schedule of the configuration or of the store.
///
/// # Errors
/// When the broker fails.
pub async fn of_entry(broker: &Broker, entry: &Entry, extent: Extent, now: Timestamp) -> queue::Result<Value> {
    let (upcoming, records) = extent.bounds();
    let definition = entry.definition.as_ref().ok();
    let next = definition.map_or_else(Vec::new, |definition| {
        definition.upcoming(now, upcoming).iter().map(|slot| shown(*slot, definition.timing.zone())).collect()
    });
    let standing = Standing::read(broker, &entry.cursor(), records).await?;
    Ok(json!({
        "name": entry.name,
        "origin": entry.origin,
        "description": definition.map(|definition| definition.timing.to_string()),
        "schedule": entry.document,
        "etag": entry.tag,
        "owner": entry.owner,
        "paused": entry.paused,
        "fault": entry.definition.as_ref().err(),
        "next": next,
        "last_group_id": standing.position.and_then(|position| position.last),
        "records": standing.records,
        "created_at": entry.created_at,
        "updated_at": entry.updated_at,
    }))
}

/// A schedule of the service itself.
///
/// # Errors
/// When the broker fails.
pub async fn of_sweep(broker: &Broker, sweep: &Sweep, extent: Extent, now: Timestamp) -> queue::Result<Value> {
    let (upcoming, records) = extent.bounds();
    let next: Vec<String> = std::iter::successors(sweep.timing.next(now), |slot| sweep.timing.next(*slot))
        .take(upcoming)
        .map(|slot| shown(slot, sweep.timing.zone()))
        .collect();
    let standing = Standing::read(broker, &sweep.cursor(), records).await?;
    Ok(json!({
        "name": sweep.name,
        "origin": "service",
        "description": sweep.timing.to_string(),
        "schedule": {"every": sweep.timing.interval().map(duration::show), "zone": sweep.timing.zone_name()},
        "etag": null,
        "owner": null,
        "paused": null,
        "fault": null,
        "next": next,
        "last_group_id": standing.position.and_then(|position| position.last),
        "records": standing.records,
        "created_at": null,
        "updated_at": null,
    }))
}

/// When a schedule would fire.
///
/// # Errors
/// A sentence that names the field and its value.
pub fn preview(document: &Document, now: Timestamp) -> Result<Value, String> {
    let (timing, policy) = document.timing()?;
    let upcoming = |timing: &Timing, policy: &Policy| -> Vec<Timestamp> {
        std::iter::successors(policy.next(timing, now), |slot| policy.next(timing, *slot)).take(UPCOMING).collect()
    };
    let slots = upcoming(&timing, &policy);
    if slots.is_empty() {
        return Err(document.never(now));
    }
    Ok(json!({
        "description": timing.to_string(),
        "zone": timing.zone_name(),
        "next": slots.iter().map(|slot| shown(*slot, timing.zone())).collect::<Vec<_>>(),
    }))
}

/// An instant as the schedule's zone has it, with the offset.
fn shown(slot: Timestamp, zone: &TimeZone) -> String {
    slot.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

struct Standing {
    position: Option<Position>,
    /// The latest first.
    records: Vec<Record>,
}

impl Standing {
    async fn read(broker: &Broker, cursor: &str, records: usize) -> queue::Result<Self> {
        let position = broker.cursor(cursor).await?.and_then(|cursor| cursor.at.parse().ok());
        let notes = broker.notes(cursor, records).await?;
        Ok(Self { position, records: notes.iter().filter_map(|note| Record::of_note(note)).collect() })
    }
}
