//! The store that the queue's jobs belong to.

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::ledger::Ledger;

impl Ledger<'_> {
    /// The queue's store; if it has none, `mine` becomes it.
    pub(super) fn store_or(&self, mine: Uuid) -> rusqlite::Result<Uuid> {
        if let Some(store) = store(self.db)? {
            return Ok(store);
        }
        self.move_to_store(mine).map(|()| mine)
    }

    pub(super) fn move_to_store(&self, store: Uuid) -> rusqlite::Result<()> {
        self.db.prepare_cached("DELETE FROM store")?.execute([])?;
        self.db.prepare_cached("INSERT INTO store VALUES (?1)")?.execute([store.as_bytes()]).map(drop)
    }
}

/// The queue's store; `None` if it has none yet.
pub(super) fn store(db: &Connection) -> rusqlite::Result<Option<Uuid>> {
    db.prepare_cached("SELECT id FROM store")?.query_row([], |row| row.get(0).map(Uuid::from_bytes)).optional()
}
