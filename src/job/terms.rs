//! What a submission asks for beside its pictures.

use std::time::Duration;

use imaging::Operation;
use serde::{Deserialize, Serialize};

use crate::duration;

/// What becomes of each picture of a submission.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    pub operations: Vec<Operation>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lenient: bool,
    /// Where it is processed.
    pub queue: String,
    /// Where it is fetched.
    pub fetch_queue: String,
    pub priority: u8,
    pub max_attempts: u32,
}

/// How long a submission's things are kept from the end of its group, where not as the settings say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub records: Option<Duration>,
    /// They go with the record at the latest.
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
