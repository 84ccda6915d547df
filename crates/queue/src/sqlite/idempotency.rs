//! Idempotency keys: reserved while a group is being received, bound when it is enqueued.

use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

use super::encoding::id_bytes;
use super::ledger::Ledger;
use crate::clock::millis;
use crate::{GroupId, IdempotencyKey, NewGroup, Reservation};

/// Largest number of expired keys that one reservation removes.
const SWEEP: i64 = 100;

/// A key in use.
struct KeyRow {
    group: [u8; 16],
    /// `None` while the key is only reserved.
    fingerprint: Option<Vec<u8>>,
}

impl Ledger<'_> {
    pub(super) fn reserve(&self, name: &str, group: GroupId) -> rusqlite::Result<Reservation> {
        self.db
            .prepare_cached("DELETE FROM key WHERE name IN (SELECT name FROM key WHERE expires <= ?1 LIMIT ?2)")?
            .execute([self.now, SWEEP])?;
        match self.key_row(name)? {
            Some(KeyRow { group, fingerprint: Some(fingerprint) }) => {
                Ok(Reservation::Known { group: Uuid::from_bytes(group).into(), fingerprint: fingerprint.into() })
            }
            Some(key) if key.group != id_bytes(group) => Ok(Reservation::Busy),
            _ => {
                self.write_key(name, id_bytes(group), None, self.now + millis(self.policy.reservation))?;
                Ok(Reservation::Granted)
            }
        }
    }

    pub(super) fn unreserve(&self, name: &str, group: GroupId) -> rusqlite::Result<()> {
        self.db
            .prepare_cached("DELETE FROM key WHERE name = ?1 AND grp = ?2 AND fingerprint IS NULL")?
            .execute(params![name, id_bytes(group)])
            .map(drop)
    }

    /// The group that the key of `group` is bound to, which may be `group` itself.
    pub(super) fn group_of_key(&self, group: &NewGroup) -> rusqlite::Result<Option<GroupId>> {
        let Some(key) = &group.key else { return Ok(None) };
        let bound = self.key_row(&key.name)?.filter(|key| key.fingerprint.is_some());
        Ok(bound.map(|key| Uuid::from_bytes(key.group).into()))
    }

    /// Binds a key to a group. The key must not be bound.
    pub(super) fn bind(&self, key: &IdempotencyKey, group: [u8; 16]) -> rusqlite::Result<()> {
        let memory = key.memory.unwrap_or(self.policy.key_memory);
        self.write_key(&key.name, group, Some(&key.fingerprint), self.now + millis(memory))
    }

    /// A key that has not expired. A bound key also expires when its group's record is removed.
    fn key_row(&self, name: &str) -> rusqlite::Result<Option<KeyRow>> {
        self.db
            .prepare_cached(
                "SELECT grp, fingerprint FROM key WHERE name = ?1 AND expires > ?2 \
                 AND (fingerprint IS NULL OR EXISTS (SELECT 1 FROM grp WHERE grp.id = key.grp))",
            )?
            .query_row(params![name, self.now], |row| Ok(KeyRow { group: row.get(0)?, fingerprint: row.get(1)? }))
            .optional()
    }

    fn write_key(&self, name: &str, group: [u8; 16], fingerprint: Option<&[u8]>, expires: i64) -> rusqlite::Result<()> {
        self.db
            .prepare_cached("REPLACE INTO key VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![name, group, fingerprint, expires])
            .map(drop)
    }
}
