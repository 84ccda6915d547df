//! Lifecycle events: gathered while a transaction runs and kept in few rows, so that they cost little beside the moves
//! that they tell of.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::columns::instant;
use super::ledger::Ledger;
use super::packed::{KINDS, PACKED};
use crate::{Error, Event, EventKind, Result};

/// Events in one row.
const ROW: usize = 1_000;
impl Ledger<'_> {
    /// Keeps what has happened, as the last statements of a transaction.
    pub(super) fn write_events(&self) -> rusqlite::Result<()> {
        let gathered = self.events.take().0;
        if gathered.is_empty() {
            return Ok(());
        }
        self.events_were_written();
        let before: i64 = self
            .db
            .prepare_cached("SELECT upto FROM event ORDER BY seq DESC LIMIT 1")?
            .query_row([], |row| row.get(0))
            .optional()?
            .unwrap_or(0);
        let mut insert = self.db.prepare_cached("INSERT INTO event (at, upto, packed) VALUES (?1, ?2, ?3)")?;
        let mut upto = before;
        for packed in gathered.chunks(ROW * PACKED) {
            upto += (packed.len() / PACKED) as i64;
            insert.execute(params![self.now, upto, packed])?;
        }
        self.trim_events(before, upto)
    }

    /// Drops old events, whenever an eighth of those that are kept has come in.
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

/// Row and place in the row, as an event's id says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    row: i64,
    at: usize,
}

impl Place {
    /// # Errors
    /// `Invalid` for an id that is not an event's.
    pub(super) fn parse(id: &str) -> Result<Self> {
        let place =
            id.split_once('.').and_then(|(row, at)| Some(Self { row: row.parse().ok()?, at: at.parse().ok()? }));
        place.ok_or_else(|| Error::Invalid(format!("`{id}` is no event's id: <row>.<number>")))
    }

    /// Padded, so that ids sort as texts, too.
    fn id(self) -> String {
        format!("{:012}.{:03}", self.row, self.at)
    }
}

pub(super) fn events(db: &Connection, after: Option<Place>, limit: usize) -> rusqlite::Result<Vec<Event>> {
    let mut events = Vec::new();
    let mut kept = db.prepare_cached("SELECT seq, at, packed FROM event WHERE seq >= ?1 ORDER BY seq")?;
    let mut rows = kept.query([after.map_or(0, |place| place.row)])?;
    while let Some(row) = rows.next()? {
        let (seq, at, packed) = (row.get(0)?, instant(row, 1)?, row.get_ref(2)?.as_blob()?);
        let first = after.filter(|place| place.row == seq).map_or(0, |place| place.at + 1);
        for (number, event) in packed.chunks_exact(PACKED).enumerate().skip(first) {
            if events.len() == limit {
                return Ok(events);
            }
            events.extend(unpacked(event, Place { row: seq, at: number }, at));
        }
    }
    Ok(events)
}

/// The id of the last event.
pub(super) fn last(db: &Connection) -> rusqlite::Result<Option<String>> {
    db.prepare_cached("SELECT seq, length(packed) FROM event ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok(Place { row: row.get(0)?, at: row.get::<_, i64>(1)? as usize / PACKED - 1 }.id()))
        .optional()
}

/// Whether something has happened after another event.
pub(super) fn is_news(db: &Connection, after: Option<Place>) -> rusqlite::Result<bool> {
    let after = after.map(Place::id);
    last(db).map(|last| last > after)
}

/// None where its kind is not one of ours: a bit of it has changed, and the events behind it are told all the same.
fn unpacked(packed: &[u8], place: Place, at: Timestamp) -> Option<Event> {
    let kind = *KINDS.get(usize::from(packed[0]))?;
    let uuid = |from: usize| Uuid::from_slice(&packed[from..from + 16]).expect("sixteen bytes");
    let of_group = matches!(kind, EventKind::Enqueued | EventKind::Finished | EventKind::Fired);
    Some(Event { id: place.id(), at, kind, group: uuid(1).into(), job: (!of_group).then(|| uuid(17).into()) })
}
