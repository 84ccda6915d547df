//! A clock that is set back. The file stores the latest instant of a write. If the clock is behind it, everything that
//! counts from an earlier event is moved earlier by the difference: leases, retries, keys and mail. Otherwise a dead
//! worker would hold its jobs until the clock is where it was.

use rusqlite::params;
use tracing::warn;

use super::ledger::Ledger;

/// Milliseconds: the clock may be set back by this much without effect, and the stored instant may be this old.
const SLACK: i64 = 1_000;

impl Ledger<'_> {
    /// Moves instants earlier if the clock was set back since the last transaction.
    pub(super) fn follow_clock_set_back(&self) -> rusqlite::Result<()> {
        let back = self.seen()? - self.now;
        if back <= SLACK {
            return Ok(());
        }
        warn!("the clock was set back by {} s: leases, retries and idempotency keys move with it", back / 1_000);
        let moves = [
            "UPDATE job SET due = due - ?1 WHERE state = 2",
            // The first start of a job that is held for no other was given as a time, which stays.
            "UPDATE job SET due = due - ?1 WHERE state = 1 AND due IS NOT NULL AND (runs > 0 OR delay IS NOT NULL)",
            "UPDATE key SET expires = expires - ?1",
            "UPDATE mailbox SET expires = expires - ?1",
            "UPDATE worker SET seen_at = seen_at - ?1",
        ];
        for instants in moves {
            self.db.prepare_cached(instants)?.execute([back])?;
        }
        self.store_instant()
    }

    /// Stores the instant of a transaction that writes, unless the stored one is recent.
    pub(super) fn note_instant(&self) -> rusqlite::Result<()> {
        if self.now - self.seen()? < SLACK { Ok(()) } else { self.store_instant() }
    }

    fn store_instant(&self) -> rusqlite::Result<()> {
        self.db.prepare_cached("UPDATE line SET seen = ?1")?.execute(params![self.now]).map(drop)
    }

    /// The stored instant.
    fn seen(&self) -> rusqlite::Result<i64> {
        self.db.prepare_cached("SELECT seen FROM line")?.query_row([], |row| row.get(0))
    }
}
