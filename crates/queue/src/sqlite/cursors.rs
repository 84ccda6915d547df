//! Cursors and their notes.

use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::encoding::{instant, row_count};
use super::enqueue::Part;
use super::ledger::{Ledger, Outcome};
use crate::{Advance, Advanced, CURSOR_NOTES, Cursor, NewGroup, NewJob};

impl Ledger<'_> {
    pub(super) fn advance(&self, advance: &Advance, work: Option<(&NewGroup, &[NewJob])>) -> Outcome<Advanced> {
        let at = cursor(self.db, &advance.cursor)?.map(|cursor| cursor.at);
        if at != advance.expected {
            return Ok(Ok(Advanced::Elsewhere { at }));
        }
        let early = advance.not_before.map_or(0, |time| time.as_millisecond() - self.now);
        if early > 0 {
            return Ok(Ok(Advanced::Early { wait: Duration::from_millis(early as u64) }));
        }
        if let Some((group, jobs)) = work
            && let Err(refusal) = self.enqueue(group, jobs, Part::Last)?
        {
            return Ok(Err(refusal));
        }
        self.db.prepare_cached("REPLACE INTO cursor VALUES (?1, ?2, ?3)")?.execute(params![
            advance.cursor,
            advance.next,
            self.now
        ])?;
        for note in &advance.notes {
            self.add_note(&advance.cursor, note)?;
        }
        Ok(Ok(Advanced::Moved))
    }

    pub(super) fn note(&self, cursor: &str, note: &Bytes) -> rusqlite::Result<()> {
        if notes(self.db, cursor, 1)?.first() == Some(note) { Ok(()) } else { self.add_note(cursor, note) }
    }

    pub(super) fn remove_cursor(&self, name: &str) -> rusqlite::Result<()> {
        self.db.prepare_cached("DELETE FROM note WHERE cursor = ?1")?.execute([name])?;
        self.db.prepare_cached("DELETE FROM cursor WHERE name = ?1")?.execute([name]).map(drop)
    }

    fn add_note(&self, cursor: &str, note: &Bytes) -> rusqlite::Result<()> {
        self.db
            .prepare_cached("INSERT INTO note (cursor, bytes) VALUES (?1, ?2)")?
            .execute(params![cursor, note.as_ref()])?;
        self.db
            .prepare_cached(
                "DELETE FROM note WHERE cursor = ?1 AND seq <= \
                 (SELECT seq FROM note WHERE cursor = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
            )?
            .execute(params![cursor, row_count(CURSOR_NOTES)])
            .map(drop)
    }
}

/// `None` if there is no such cursor.
pub(super) fn cursor(db: &Connection, name: &str) -> rusqlite::Result<Option<Cursor>> {
    db.prepare_cached("SELECT at, moved_at FROM cursor WHERE name = ?1")?
        .query_row([name], |row| Ok(Cursor { at: row.get(0)?, moved_at: instant(row, 1)? }))
        .optional()
}

/// The newest notes of a cursor, the newest first.
pub(super) fn notes(db: &Connection, cursor: &str, limit: usize) -> rusqlite::Result<Vec<Bytes>> {
    db.prepare_cached("SELECT bytes FROM note WHERE cursor = ?1 ORDER BY seq DESC LIMIT ?2")?
        .query_map(params![cursor, row_count(limit)], |row| Ok(row.get::<_, Vec<u8>>(0)?.into()))?
        .collect()
}
