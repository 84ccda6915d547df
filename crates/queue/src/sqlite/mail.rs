//! Workers that say what they do, and letters to them and from them.

use rusqlite::{Connection, params};

use super::columns::instant;
use super::ledger::Ledger;
use crate::clock::millis;
use crate::{MAIL_MEMORY, WorkerEntry};

/// Letters that a mailbox keeps.
const LETTERS: i64 = 1_000;

impl Ledger<'_> {
    pub(super) fn report(&self, session: &str, report: &[u8]) -> rusqlite::Result<()> {
        self.db
            .prepare_cached("DELETE FROM worker WHERE seen_at <= ?1")?
            .execute([self.now - millis(self.policy.worker_memory())])?;
        self.db
            .prepare_cached("REPLACE INTO worker VALUES (?1, ?2, ?3)")?
            .execute(params![session, self.now, report])
            .map(drop)
    }

    pub(super) fn sign_off(&self, session: &str) -> rusqlite::Result<()> {
        self.db.prepare_cached("DELETE FROM worker WHERE session = ?1")?.execute([session]).map(drop)
    }

    pub(super) fn post(&self, mailbox: &str, letter: &[u8]) -> rusqlite::Result<()> {
        self.empty_lapsed_mailboxes()?;
        self.db
            .prepare_cached("REPLACE INTO mailbox VALUES (?1, ?2)")?
            .execute(params![mailbox, self.now + millis(MAIL_MEMORY)])?;
        self.db
            .prepare_cached("INSERT INTO letter (mailbox, bytes) VALUES (?1, ?2)")?
            .execute(params![mailbox, letter])?;
        self.db
            .prepare_cached(
                "DELETE FROM letter WHERE mailbox = ?1 AND seq <= \
                 (SELECT seq FROM letter WHERE mailbox = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
            )?
            .execute(params![mailbox, LETTERS])?;
        self.mail_was_posted();
        Ok(())
    }

    /// Takes all the letters out of a mailbox, the oldest first.
    pub(super) fn collect(&self, mailbox: &str) -> rusqlite::Result<Vec<bytes::Bytes>> {
        self.empty_lapsed_mailboxes()?;
        let letters = self
            .db
            .prepare_cached("SELECT bytes FROM letter WHERE mailbox = ?1 ORDER BY seq")?
            .query_map([mailbox], |row| Ok(row.get::<_, Vec<u8>>(0)?.into()))?
            .collect::<rusqlite::Result<_>>()?;
        self.db.prepare_cached("DELETE FROM letter WHERE mailbox = ?1")?.execute([mailbox])?;
        self.db.prepare_cached("DELETE FROM mailbox WHERE name = ?1")?.execute([mailbox])?;
        Ok(letters)
    }

    fn empty_lapsed_mailboxes(&self) -> rusqlite::Result<()> {
        self.db
            .prepare_cached("DELETE FROM letter WHERE mailbox IN (SELECT name FROM mailbox WHERE expires <= ?1)")?
            .execute([self.now])?;
        self.db.prepare_cached("DELETE FROM mailbox WHERE expires <= ?1")?.execute([self.now]).map(drop)
    }
}

/// Whether there is something to collect at the instant `now`.
pub(super) fn has_letters(db: &Connection, mailbox: &str, now: i64) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM mailbox WHERE name = ?1 AND expires > ?2")?.exists(params![mailbox, now])
}

/// The workers that have reported themselves after the instant `since`.
pub(super) fn workers(db: &Connection, since: i64) -> rusqlite::Result<Vec<WorkerEntry>> {
    db.prepare_cached("SELECT session, seen_at, report FROM worker WHERE seen_at > ?1 ORDER BY session")?
        .query_map([since], |row| {
            Ok(WorkerEntry {
                session: row.get(0)?,
                seen_at: instant(row, 1)?,
                report: row.get::<_, Vec<u8>>(2)?.into(),
            })
        })?
        .collect()
}
