//! `group.follow`: makes the group that follows another one.

use queue::GroupId;
use serde::{Deserialize, Serialize};

use super::{Kind, Missing};
use crate::job::{Keep, Terms};

/// Makes a new group of the originals of one that has finished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupFollow {
    pub of: GroupId,
    /// The new one's id.
    pub group: GroupId,
    pub terms: Terms,
    #[serde(default, skip_serializing_if = "Keep::is_empty")]
    pub keep: Keep,
}

impl Kind for GroupFollow {
    const QUEUE: &str = "io_intensive";

    fn misses(&self, code: &str) -> Option<Missing> {
        (code == "source-gone").then_some(Missing::OthersOriginals)
    }
}
