//! The classes of jobs.

use serde::{Deserialize, Serialize};

/// What a job mostly needs: processor time, or waiting for disks and networks. A worker has separate slots for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    Cpu,
    Io,
}

impl Class {
    /// In lower case, as it is serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Io => "io",
        }
    }
}
