//! Carries workflows out: on the queue, and on what the store keeps of each workflow.
//!
//! A workflow is a group that stays open until the workflow has ended, and so is owed by the outbox until then. Each step is
//! a group of its own, whose id follows from the workflow's. When a step's group has finished, the broker enqueues a
//! `workflow.advance` job; it writes down how the step ended, and begins the steps that are due by then. Any number of these
//! jobs may run at once or twice: they decide by the same facts, and a step that is begun twice is one group.

mod advance;
mod begin;
mod record;
mod results;
mod submit;
mod view;

use queue::GroupId;
use uuid::Uuid;

use super::{Settings, Templates};
use crate::config;
use crate::kinds::{Payload, WorkflowAdvance};
use crate::submission::manifest::Entry;
use crate::submission::routing;

pub use submit::{Refused, Submitted};
pub use view::{StepView, View};

/// Workflows under the settings in force.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    templates: Templates,
    queue: config::Queue,
}

impl Engine {
    pub fn new(settings: Settings, templates: Templates, queue: config::Queue) -> Self {
        Self { settings, templates, queue }
    }

    /// Without templates, by the settings of a test.
    #[cfg(test)]
    pub(crate) fn of_a_test(config: &config::Config) -> Self {
        let settings = Settings {
            queues: config.queue.names.clone(),
            retention: config.retention.clone(),
            presets: config.presets().expect("the defaults are valid"),
            limits: config.limits.imaging(),
            max_files: config.limits.max_files,
            sources: config.sources.guard().expect("the defaults are valid"),
            calls: config.calls.guard().expect("the defaults are valid"),
            timeout: config.calls.timeout,
        };
        Self::new(settings, Templates::default(), config.queue.clone())
    }

    /// The job that carries a workflow on; the same for the same `id`.
    fn advance_job(&self, workflow: GroupId, id: Uuid) -> Entry {
        const PRIORITY: u8 = 5;
        let payload = Payload::WorkflowAdvance(WorkflowAdvance { workflow });
        Entry {
            id: id.into(),
            queue: routing::queue(&self.queue.routes, payload.kind(), payload.default_queue(), PRIORITY).into(),
            priority: PRIORITY,
            max_attempts: self.queue.max_attempts,
            after: None,
            retry_of: None,
            payload,
        }
    }
}
