//! The status of a workflow, as documents show it.

use jiff::Timestamp;
use queue::{Broker, GroupId};

use super::Engine;
use super::advance::look;
use super::record;
use crate::errors::Failure;
use crate::storage::Storage;
use crate::submission::{Error, Meta};
use crate::workflows::group_of;
use crate::workflows::outcome::{Counts, State, Status};

/// A workflow at one instant.
#[derive(Debug, Clone)]
pub struct View {
    pub id: GroupId,
    pub name: Option<String>,
    pub status: Status,
    pub meta: Meta,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    pub retry_of: Option<GroupId>,
    /// In an order in which each is behind those that it comes after.
    pub steps: Vec<StepView>,
}

/// A step at one instant.
#[derive(Debug, Clone)]
pub struct StepView {
    pub name: String,
    pub kind: &'static str,
    pub after: Vec<String>,
    pub on: &'static str,
    pub state: State,
    /// Its group; `None` if it has not begun, or ended without one.
    pub group: Option<GroupId>,
    /// The number of jobs; 0 before it has begun.
    pub total: u64,
    pub counts: Counts,
    pub error: Option<Failure>,
    pub finished_at: Option<Timestamp>,
}

impl Engine {
    /// `None` if there is no such workflow.
    ///
    /// # Errors
    /// When the store or the broker fails.
    pub async fn view(&self, storage: &Storage, broker: &Broker, id: GroupId) -> Result<Option<View>, Error> {
        let Some(workflow) = record::read(storage, id).await? else { return Ok(None) };
        let (mut ended, outcome) = look(storage, broker, id, &workflow).await?;
        let end = record::end(storage, id).await?;
        let mut steps = Vec::with_capacity(workflow.document.steps.len());
        for (step, state) in workflow.document.steps.into_iter().zip(outcome.states) {
            let group = group_of(id.into(), &step.name);
            let mut view = StepView {
                kind: step.work.kind(),
                after: step.after,
                on: step.on.as_str(),
                state,
                group: None,
                total: 0,
                counts: Counts::default(),
                error: None,
                finished_at: None,
                name: step.name,
            };
            if let Some(how) = ended.remove(&view.name) {
                let Counts { succeeded, failed, cancelled } = how.counts;
                view.total = succeeded + failed + cancelled;
                (view.counts, view.error, view.finished_at) = (how.counts, how.error, Some(how.at));
                view.group = how.results_url.is_some().then_some(group);
            } else if view.state == State::Running {
                view.group = Some(group);
                if let Some(group) = broker.group(group).await? {
                    view.total = group.total.into();
                    view.counts = Counts {
                        succeeded: group.succeeded.into(),
                        failed: group.failed.into(),
                        cancelled: group.cancelled.into(),
                    };
                }
            }
            steps.push(view);
        }
        // Until it is closed, the next look may find more to do.
        let status = end.map_or(Status::Processing, |end| end.status);
        Ok(Some(View {
            id,
            name: workflow.document.name,
            status,
            meta: workflow.meta,
            created_at: workflow.created_at,
            finished_at: end.map(|end| end.at),
            retry_of: workflow.retry_of,
            steps,
        }))
    }

    /// The status of a workflow alone.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn status(&self, storage: &Storage, id: GroupId) -> Result<Status, Error> {
        Ok(record::end(storage, id).await?.map_or(Status::Processing, |end| end.status))
    }
}
