//! The work of a `source.scan` job.

use super::outbox::{self, Owed};
use crate::errors::Failure;
use crate::kinds::{Context, Done, Run, SourceScan};

impl Run for SourceScan {
    /// Enqueues the rest of a listed group. If the store or the broker fails, the rest is still owed.
    async fn run(&self, context: &Context) -> Result<Done, Failure> {
        match outbox::read(&context.storage, self.group).await? {
            Some(Owed::Work(manifest)) => manifest.complete(&context.broker).await?,
            // The group has ended or was withdrawn, or its manifest is damaged, which the sweep of the outbox reports.
            Some(Owed::Withdrawn(_) | Owed::Damaged(_)) | None => {}
        }
        Ok(Done::plain())
    }
}
