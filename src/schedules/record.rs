//! What became of a slot, as it is kept with the schedule's cursor.

use bytes::Bytes;
use jiff::Timestamp;
use queue::GroupId;
use serde::{Deserialize, Serialize};

use super::decide::{Fire, LATE, Reason, Skip};

/// What became of a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub slot: Timestamp,
    /// The last slot that the record is about, if it is about several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Timestamp>,
    pub outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<GroupId>,
    /// Seconds between the instant at which the slot was due and the one at which it was decided.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub late_s: u64,
    pub recorded_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Fired,
    /// Fired, more than a minute after it was due.
    Late,
    Skipped,
    /// Somebody asked for it; see `run` and `backfill`.
    Manual,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Record {
    pub(super) fn fired(fire: &Fire, group: GroupId, now: Timestamp) -> Self {
        let outcome = if fire.late_by > LATE { Outcome::Late } else { Outcome::Fired };
        let late_s = if fire.late_by > LATE { fire.late_by.as_secs() } else { 0 };
        Self { group_id: Some(group), late_s, ..Self::of(fire.slot, outcome, now) }
    }

    pub(super) fn skipped(skip: &Skip, now: Timestamp) -> Self {
        let through = (skip.through != skip.slot).then_some(skip.through);
        Self { through, reason: Some(skip.reason), ..Self::of(skip.slot, Outcome::Skipped, now) }
    }

    pub(super) fn manual(slot: Timestamp, group: GroupId, now: Timestamp) -> Self {
        Self { group_id: Some(group), ..Self::of(slot, Outcome::Manual, now) }
    }

    pub(super) fn of(slot: Timestamp, outcome: Outcome, now: Timestamp) -> Self {
        let (through, reason, group_id, late_s) = (None, None, None, 0);
        Self { slot, through, outcome, reason, group_id, late_s, recorded_at: now }
    }

    pub(super) fn to_note(&self) -> Bytes {
        serde_json::to_vec(self).expect("strings and numbers always serialise").into()
    }

    /// `None` if a newer version wrote it in a form that this one does not know.
    pub(super) fn of_note(note: &[u8]) -> Option<Self> {
        serde_json::from_slice(note).ok()
    }
}
