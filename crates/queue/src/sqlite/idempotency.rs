//! Idempotency keys: reserved while a group is being received, bound by enqueueing it.

use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

use super::columns::bytes;
use super::ledger::Ledger;
use crate::GroupId;
use crate::clock::millis;
use crate::{Key, NewGroup, Reservation};

/// Keys that have lapsed, dropped by one reservation at the most.
const SWEEP: i64 = 100;

struct Held {
    group: [u8; 16],
    /// None while it is only reserved.
    fingerprint: Option<Vec<u8>>,
}

impl Ledger<'_> {
    pub(super) fn reserve(&self, name: &str, group: GroupId) -> rusqlite::Result<Reservation> {
        self.db
            .prepare_cached("DELETE FROM key WHERE name IN (SELECT name FROM key WHERE expires <= ?1 LIMIT ?2)")?
            .execute([self.now, SWEEP])?;
        match self.held(name)? {
            Some(Held { group, fingerprint: Some(fingerprint) }) => {
                Ok(Reservation::Known { group: Uuid::from_bytes(group).into(), fingerprint: fingerprint.into() })
            }
            Some(held) if held.group != bytes(group) => Ok(Reservation::Busy),
            _ => {
                self.hold(name, bytes(group), None, self.now + millis(self.policy.reservation))?;
                Ok(Reservation::Granted)
            }
        }
    }

    pub(super) fn unreserve(&self, name: &str, group: GroupId) -> rusqlite::Result<()> {
        self.db
            .prepare_cached("DELETE FROM key WHERE name = ?1 AND grp = ?2 AND fingerprint IS NULL")?
            .execute(params![name, bytes(group)])
            .map(drop)
    }

    /// The group that the key of this one is bound to, this one itself perhaps.
    pub(super) fn holder(&self, group: &NewGroup) -> rusqlite::Result<Option<GroupId>> {
        let Some(key) = &group.key else { return Ok(None) };
        let held = self.held(&key.name)?.filter(|held| held.fingerprint.is_some());
        Ok(held.map(|held| Uuid::from_bytes(held.group).into()))
    }

    /// Binds a key that is bound to no group.
    pub(super) fn bind(&self, key: &Key, group: [u8; 16]) -> rusqlite::Result<()> {
        self.hold(&key.name, group, Some(&key.fingerprint), self.now + millis(self.policy.key_memory))
    }

    /// Who holds a key that has not lapsed. One that is bound has lapsed where its group's record was removed.
    fn held(&self, name: &str) -> rusqlite::Result<Option<Held>> {
        self.db
            .prepare_cached(
                "SELECT grp, fingerprint FROM key WHERE name = ?1 AND expires > ?2 \
                 AND (fingerprint IS NULL OR EXISTS (SELECT 1 FROM grp WHERE grp.id = key.grp))",
            )?
            .query_row(params![name, self.now], |row| Ok(Held { group: row.get(0)?, fingerprint: row.get(1)? }))
            .optional()
    }

    fn hold(&self, name: &str, group: [u8; 16], fingerprint: Option<&[u8]>, expires: i64) -> rusqlite::Result<()> {
        self.db
            .prepare_cached("REPLACE INTO key VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![name, group, fingerprint, expires])
            .map(drop)
    }
}
