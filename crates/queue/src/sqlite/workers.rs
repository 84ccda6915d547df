//! Workers that report themselves, and the mailboxes for letters to them and from them.

use rusqlite::{Connection, params};

use super::encoding::instant;
use super::ledger::Ledger;
use crate::clock::millis;
use crate::{MAIL_MEMORY, Worker};

/// Largest number of letters in a mailbox; older ones are removed.
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
        self.empty_expired_mailboxes()?;
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
        self.wake_mailboxes();
        Ok(())
    }

    /// Takes all letters out of a mailbox, the earliest first.
    pub(super) fn collect(&self, mailbox: &str) -> rusqlite::Result<Vec<bytes::Bytes>> {
        self.empty_expired_mailboxes()?;
        let letters = self
            .db
            .prepare_cached("SELECT bytes FROM letter WHERE mailbox = ?1 ORDER BY seq")?
            .query_map([mailbox], |row| Ok(row.get::<_, Vec<u8>>(0)?.into()))?
            .collect::<rusqlite::Result<_>>()?;
        self.db.prepare_cached("DELETE FROM letter WHERE mailbox = ?1")?.execute([mailbox])?;
        self.db.prepare_cached("DELETE FROM mailbox WHERE name = ?1")?.execute([mailbox])?;
        Ok(letters)
    }

    fn empty_expired_mailboxes(&self) -> rusqlite::Result<()> {
        self.db
            .prepare_cached("DELETE FROM letter WHERE mailbox IN (SELECT name FROM mailbox WHERE expires <= ?1)")?
            .execute([self.now])?;
        self.db.prepare_cached("DELETE FROM mailbox WHERE expires <= ?1")?.execute([self.now]).map(drop)
    }
}

/// Whether the mailbox holds letters that have not expired at the instant `now`.
pub(super) fn has_letters(db: &Connection, mailbox: &str, now: i64) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM mailbox WHERE name = ?1 AND expires > ?2")?.exists(params![mailbox, now])
}

/// The workers that have reported themselves after the instant `since`, by session.
pub(super) fn workers(db: &Connection, since: i64) -> rusqlite::Result<Vec<Worker>> {
    db.prepare_cached("SELECT session, seen_at, report FROM worker WHERE seen_at > ?1 ORDER BY session")?
        .query_map([since], |row| {
            Ok(Worker { session: row.get(0)?, seen_at: instant(row, 1)?, report: row.get::<_, Vec<u8>>(2)?.into() })
        })?
        .collect()
}
