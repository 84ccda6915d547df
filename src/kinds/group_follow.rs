//! `group.follow`: makes the follow-up of another group.

use queue::GroupId;
use serde::{Deserialize, Serialize};

use super::{Kind, Missing};
use crate::job::{Keep, Terms};

/// Makes a new group from the originals of a finished one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupFollow {
    pub of: GroupId,
    /// Id of the new group.
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
