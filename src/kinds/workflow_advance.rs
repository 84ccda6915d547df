//! `workflow.advance`: looks which steps of a workflow have ended, and begins those that are due.

use std::sync::Arc;

use futures::future::BoxFuture;
use queue::GroupId;
use serde::{Deserialize, Serialize};

use super::{Context, Done, Kind, Run};
use crate::errors::Failure;

/// Carries a workflow on. It is enqueued when the workflow begins, and whenever a step of it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowAdvance {
    pub workflow: GroupId,
}

/// Does the work of `workflow.advance`. The module `workflows` implements it, because it needs settings that this module
/// does not know.
pub(crate) trait Workflows: std::fmt::Debug + Send + Sync {
    fn advance<'c>(&'c self, context: &'c Context, workflow: GroupId) -> BoxFuture<'c, Result<(), Failure>>;
}

/// Who carries workflows on; `None` in a process that has none, such as `pixmill batch`.
pub(crate) type WorkflowRunner = Option<Arc<dyn Workflows>>;

impl Kind for WorkflowAdvance {
    const QUEUE: &str = "io_intensive";
    const IS_MAINTENANCE: bool = true;
}

impl Run for WorkflowAdvance {
    async fn run(&self, context: &Context) -> Result<Done, Failure> {
        let Some(workflows) = &context.workflows else {
            return Err(Failure::transient("internal", "this worker carries no workflows on"));
        };
        workflows.advance(context, self.workflow).await?;
        Ok(Done::plain())
    }
}
