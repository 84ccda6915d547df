//! Under which key what lies. What a client sent never becomes part of one.

/// The key of a group's `index`th original.
use queue::{GroupId, JobId, Run};

pub fn upload_key(group: GroupId, index: usize) -> String {
    format!("uploads/{group}/{index}")
}

/// The key of one output of one run of a job.
pub fn output_key(group: GroupId, job: JobId, run: Run, file: &str) -> String {
    format!("outputs/{group}/{job}/{run}/{file}")
}

/// The key of the name of the API key that submitted a group. It lies with the outputs, for they may outlive the record.
pub fn owner_key(group: GroupId) -> String {
    format!("outputs/{group}/owner")
}

/// What is kept of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What is still owed for it; see `submission::outbox`.
    Outbox,
    Uploads,
    Outputs,
    /// That its files are still to be erased; see `erasure`.
    Erasures,
    /// That they are erased, or about to be.
    Erased,
    /// How long the others are kept, where a submission said so.
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

    /// The key of a part that is one small file.
    pub fn mark(self, group: GroupId) -> String {
        format!("{}/{group}", self.folder())
    }
}

/// The key of what is owed for a group.
pub fn manifest_key(group: GroupId) -> String {
    format!("outbox/{group}.json")
}

/// The key of what is not owed any more, but may have been begun.
pub fn withdrawn_key(group: GroupId) -> String {
    format!("outbox/{group}.withdrawn")
}

/// The key of what was owed for a group, and that nobody can read.
pub fn damaged_key(group: GroupId) -> String {
    format!("outbox/{group}.{DAMAGED}")
}

/// How such a key ends.
pub(super) const DAMAGED: &str = "damaged";

/// The key of what says that a group's things are kept for less long.
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
