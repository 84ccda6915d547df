//! What a submission asks for in addition to its pictures.

use std::time::Duration;

use imaging::Operation;
use serde::{Deserialize, Serialize};

use crate::duration;

/// What is done with each picture of a submission.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    pub operations: Vec<Operation>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lenient: bool,
    /// The queue in which it is processed.
    pub queue: String,
    /// The queue in which it is fetched.
    pub fetch_queue: String,
    pub priority: u8,
    pub max_attempts: u32,
}

/// How long a submission's files and record are kept after its group has ended; `None` for the times of the settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub records: Option<Duration>,
    /// Originals are removed together with the record at the latest.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub originals: Option<Duration>,
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Duration>,
}

impl Keep {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
