//! `schedule.run`: makes the group that a schedule's slot asks for.

use jiff::Timestamp;
use queue::GroupId;
use serde::{Deserialize, Serialize};

use super::{Kind, Missing};
use crate::job::{Keep, Terms};

/// Submits what a schedule asks for, once for one slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleRun {
    pub occasion: Occasion,
    /// The id of the group to make.
    pub group: GroupId,
    /// The name of the API key that the group belongs to, as [`Meta::owner`](crate::submission::Meta::owner) has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// As `sources` of `POST /api/groups`. They are looked up when the job runs.
    pub sources: serde_json::Value,
    pub terms: Terms,
    #[serde(default, skip_serializing_if = "Keep::is_empty")]
    pub keep: Keep,
    /// Most pictures, unless they are one prefix.
    pub max_files: usize,
    /// Pictures of a long prefix that are enqueued at a time, and the queue of the job that does it.
    pub chunk: usize,
    pub scan_queue: String,
}

/// The slot of a schedule that something was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occasion {
    pub name: String,
    pub slot: Timestamp,
    /// The period that ends with the slot: from the slot before. `None` if there was no slot before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// It was asked for, and did not come by the clock.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub manual: bool,
}

impl Kind for ScheduleRun {
    const QUEUE: &str = "scheduled";

    fn misses(&self, code: &str) -> Option<Missing> {
        (code == "source-gone").then_some(Missing::OthersOriginals)
    }
}
