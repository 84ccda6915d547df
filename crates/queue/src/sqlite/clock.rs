//! A clock that is set back. The file notes the latest instant that was written at; where the clock says less, all that was
//! to come so long after something that happened comes so much earlier: leases, retries, keys, mail. Without that a dead
//! worker would hold its jobs until the clock is where it was.

use rusqlite::params;
use tracing::warn;

use super::ledger::Ledger;

/// Milliseconds that the clock may be back by without notice, and that the note may be old.
const SLACK: i64 = 1_000;

impl Ledger<'_> {
    /// Sees whether the clock was set back since the last transaction, and moves with it what counts from then.
    pub(super) fn mind_the_clock(&self) -> rusqlite::Result<()> {
        let back = self.seen()? - self.now;
        if back <= SLACK {
            return Ok(());
        }
        warn!("the clock was set back by {} s: leases, retries and idempotency keys move with it", back / 1_000);
        let moves = [
            "UPDATE job SET due = due - ?1 WHERE state = 2",
            // The first start of a job that waits for nothing has a time of its own, which stays.
            "UPDATE job SET due = due - ?1 WHERE state = 1 AND due IS NOT NULL AND (runs > 0 OR delay IS NOT NULL)",
            "UPDATE key SET expires = expires - ?1",
            "UPDATE mailbox SET expires = expires - ?1",
            "UPDATE worker SET seen_at = seen_at - ?1",
        ];
        for instants in moves {
            self.db.prepare_cached(instants)?.execute([back])?;
        }
        self.note_the_clock()
    }

    /// Notes the clock in a transaction that writes; not in each.
    pub(super) fn note_the_clock_now_and_then(&self) -> rusqlite::Result<()> {
        if self.now - self.seen()? < SLACK { Ok(()) } else { self.note_the_clock() }
    }

    fn note_the_clock(&self) -> rusqlite::Result<()> {
        self.db.prepare_cached("UPDATE line SET seen = ?1")?.execute(params![self.now]).map(drop)
    }

    fn seen(&self) -> rusqlite::Result<i64> {
        self.db.prepare_cached("SELECT seen FROM line")?.query_row([], |row| row.get(0))
    }
}
