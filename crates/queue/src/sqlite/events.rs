//! Events: written at the end of a transaction, read by the id of the one before.

use rusqlite::{Connection, OptionalExtension, params};

use super::encoding::instant;
use super::ledger::Ledger;
use super::packed_events::{EVENT_BYTES, unpack};
use crate::{Error, Event, Result};

/// Largest number of events in one row.
const ROW: usize = 1_000;

impl Ledger<'_> {
    /// Stores the events of the transaction. Called after all its other statements.
    pub(super) fn write_events(&self) -> rusqlite::Result<()> {
        let gathered = self.events.take().0;
        if gathered.is_empty() {
            return Ok(());
        }
        self.wake_event_readers();
        let before: i64 = self
            .db
            .prepare_cached("SELECT upto FROM event ORDER BY seq DESC LIMIT 1")?
            .query_row([], |row| row.get(0))
            .optional()?
            .unwrap_or(0);
        let mut insert = self.db.prepare_cached("INSERT INTO event (at, upto, packed) VALUES (?1, ?2, ?3)")?;
        let mut upto = before;
        for packed in gathered.chunks(ROW * EVENT_BYTES) {
            upto += (packed.len() / EVENT_BYTES) as i64;
            insert.execute(params![self.now, upto, packed])?;
        }
        self.trim_events(before, upto)
    }

    /// Removes old events, each time that an eighth of the number to keep has been added.
    fn trim_events(&self, before: i64, upto: i64) -> rusqlite::Result<()> {
        let kept = i64::try_from(self.policy.events).unwrap_or(i64::MAX);
        let stride = kept / 8 + 1;
        if before / stride == upto / stride {
            return Ok(());
        }
        self.db
            .prepare_cached(
                "DELETE FROM event WHERE seq < (SELECT seq FROM event WHERE upto > ?1 ORDER BY seq LIMIT 1)",
            )?
            .execute([upto - kept.max(1)])
            .map(drop)
    }
}

/// An event's id: its row, and its number in the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventId {
    row: i64,
    number: usize,
}

impl EventId {
    /// # Errors
    /// `Invalid` for a text that is not an event's id.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let id = text
            .split_once('.')
            .and_then(|(row, number)| Some(Self { row: row.parse().ok()?, number: number.parse().ok()? }));
        id.ok_or_else(|| Error::Invalid(format!("`{text}` is no event's id: <row>.<number>")))
    }

    /// Padded, so that ids compared as texts are in the order of time.
    fn text(self) -> String {
        format!("{:012}.{:03}", self.row, self.number)
    }
}

/// See [`Broker::events`](crate::Broker::events).
pub(super) fn events(db: &Connection, after: Option<EventId>, limit: usize) -> rusqlite::Result<Vec<Event>> {
    let mut events = Vec::new();
    let mut stored = db.prepare_cached("SELECT seq, at, packed FROM event WHERE seq >= ?1 ORDER BY seq")?;
    let mut rows = stored.query([after.map_or(0, |id| id.row)])?;
    while let Some(row) = rows.next()? {
        let (seq, at, packed) = (row.get(0)?, instant(row, 1)?, row.get_ref(2)?.as_blob()?);
        let first = after.filter(|id| id.row == seq).map_or(0, |id| id.number + 1);
        for (number, event) in packed.chunks_exact(EVENT_BYTES).enumerate().skip(first) {
            if events.len() == limit {
                return Ok(events);
            }
            let id = EventId { row: seq, number }.text();
            events.extend(unpack(event).map(|(kind, group, job)| Event { id, at, kind, group, job }));
        }
    }
    Ok(events)
}

/// The id of the last event.
pub(super) fn last(db: &Connection) -> rusqlite::Result<Option<String>> {
    db.prepare_cached("SELECT seq, length(packed) FROM event ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| {
            let number = row.get::<_, i64>(1)? as usize / EVENT_BYTES - 1;
            Ok(EventId { row: row.get(0)?, number }.text())
        })
        .optional()
}

/// Whether there is an event after this one.
pub(super) fn has_later(db: &Connection, after: Option<EventId>) -> rusqlite::Result<bool> {
    let after = after.map(EventId::text);
    last(db).map(|last| last > after)
}
