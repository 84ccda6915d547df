//! The keys of stored files. Text from a client never becomes part of a key.

/// The key of a group's `index`th original.
use queue::{GroupId, JobId, Run};

pub fn upload_key(group: GroupId, index: usize) -> String {
    format!("uploads/{group}/{index}")
}

/// The key of one output of one run of a job.
pub fn output_key(group: GroupId, job: JobId, run: Run, file: &str) -> String {
    format!("outputs/{group}/{job}/{run}/{file}")
}

/// The key of the file with the name of the API key that submitted the group. It is stored with the outputs, because
/// they may be kept longer than the record.
pub fn owner_key(group: GroupId) -> String {
    format!("outputs/{group}/owner")
}

/// The parts stored of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The manifest of an owed group; see `submission::outbox`.
    Outbox,
    Uploads,
    Outputs,
    /// The mark that the group's files are still to be erased; see `erasure`.
    Erasures,
    /// The mark that the files are erased, or will be soon.
    Erased,
    /// The retention of the other parts, if the submission set one.
    Retention,
    /// The document of a workflow, and how its steps ended.
    Workflow,
}

impl Part {
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Outbox => "outbox",
            Self::Uploads => "uploads",
            Self::Outputs => "outputs",
            Self::Erasures => "erasures",
            Self::Erased => "erased",
            Self::Retention => "retention",
            Self::Workflow => "workflows",
        }
    }

    /// The key of a part that is a single small file.
    pub fn mark(self, group: GroupId) -> String {
        format!("{}/{group}", self.folder())
    }
}

/// The key of an owed group's manifest.
pub fn manifest_key(group: GroupId) -> String {
    format!("outbox/{group}.json")
}

/// The key of the manifest of a group that is no longer owed, but may have begun.
pub fn withdrawn_key(group: GroupId) -> String {
    format!("outbox/{group}.withdrawn")
}

/// The key of a manifest that cannot be read.
pub fn damaged_key(group: GroupId) -> String {
    format!("outbox/{group}.{DAMAGED}")
}

/// The ending of such a key.
pub(super) const DAMAGED: &str = "damaged";

/// The key of the note that a group has a shorter retention.
pub fn keep_key(group: GroupId) -> String {
    format!("retention/{group}.json")
}

/// The key of a file of a workflow.
pub fn workflow_key(workflow: GroupId, file: &str) -> String {
    format!("workflows/{workflow}/{file}")
}

/// The key of how a step of a workflow ended.
pub fn step_key(workflow: GroupId, step: &str) -> String {
    workflow_key(workflow, &format!("steps/{step}.json"))
}
