//! Submits, cancels and retries workflows.

use jiff::Timestamp;
use queue::{Broker, GroupId, JobId, Reservation};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tracing::info;

use super::Engine;
use super::advance::{close, look};
use super::record::{self, Workflow};
use crate::job::Labels;
use crate::storage::Storage;
use crate::submission::manifest::{Key, Manifest};
use crate::submission::{Error, Meta, Sender, outbox};
use crate::workflows::outcome::State;
use crate::workflows::{Document, group_of};

/// A workflow that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    pub workflow: GroupId,
}

/// Why a workflow is not accepted.
#[derive(Debug)]
pub enum Refused {
    /// A code, and a sentence that names the step, the field, the value and the limit.
    Document(&'static str, String),
    Submission(Error),
}

impl<E: Into<Error>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Submission(error.into())
    }
}

impl Engine {
    /// Checks a document and accepts it as a workflow. It is durable when this returns. `key` is an idempotency key.
    ///
    /// # Errors
    /// `Document`; `KeyInUse` and `KeyReused`; or when the store or the broker fails, and nothing is left behind.
    pub async fn submit(
        &self,
        storage: &Storage,
        broker: &Broker,
        sender: Sender,
        value: &Value,
        key: Option<String>,
    ) -> Result<Submitted, Refused> {
        let parsed = Document::parse(value, &self.templates, self.settings.rules());
        let document = parsed.map_err(|(code, detail)| Refused::Document(code, detail))?;
        if let Some(step) = document.steps.iter().find(|step| step.concurrency.is_some()) {
            let detail = format!("steps.{}.concurrency: limits by key are not there yet; leave it out", step.name);
            return Err(Refused::Document("invalid-workflow", detail));
        }
        let id = GroupId::new();
        let key = match key {
            None => None,
            Some(name) => {
                let fingerprint = format!("{:x}", bytes::Bytes::copy_from_slice(&Sha256::digest(value.to_string())));
                match broker.reserve(&name, id).await? {
                    Reservation::Granted => Some(Key { name, fingerprint, memory: None }),
                    Reservation::Busy => return Err(Error::KeyInUse.into()),
                    Reservation::Known { group, fingerprint: known } if known == fingerprint => {
                        return Ok(Submitted { workflow: group });
                    }
                    Reservation::Known { group, .. } => return Err(Error::KeyReused(group).into()),
                }
            }
        };
        let labels = serde_json::to_value(&document.labels).expect("strings always serialise");
        let labels = Labels::parse(&labels, "labels").map_err(|wrong| Refused::Document("invalid-workflow", wrong))?;
        let meta = Meta { owner: sender.owner, request_id: sender.request_id, labels, ..Meta::default() };
        let workflow = Workflow { document, meta, created_at: Timestamp::now(), retry_of: None };
        Ok(self.accept(storage, broker, id, &workflow, key).await?)
    }

    async fn accept(
        &self,
        storage: &Storage,
        broker: &Broker,
        id: GroupId,
        workflow: &Workflow,
        key: Option<Key>,
    ) -> Result<Submitted, Error> {
        let held = key.as_ref().map(|key| key.name.clone());
        workflow.write(storage, id).await?;
        let job = self.advance_job(id, JobId::new().into());
        let manifest = Manifest { key, is_workflow: true, ..Manifest::new(id, workflow.meta.clone(), vec![job]) };
        if let Err(error) = outbox::accept(storage, broker, manifest).await {
            if let Some(name) = held {
                broker.unreserve(&name, id).await?;
            }
            return Err(error);
        }
        info!(group.id = %id, "accepted workflow {id} of {} steps", workflow.document.steps.len());
        Ok(Submitted { workflow: id })
    }

    /// Cancels what has not ended, and begins nothing more. `false` if there is no such workflow.
    ///
    /// # Errors
    /// When the store or the broker fails; asked again, it goes on.
    pub async fn cancel(&self, storage: &Storage, broker: &Broker, id: GroupId) -> Result<bool, Error> {
        let Some(workflow) = record::read(storage, id).await? else { return Ok(false) };
        if record::end(storage, id).await?.is_some() {
            return Ok(true);
        }
        record::cancel(storage, id).await?;
        for step in &workflow.document.steps {
            broker.cancel_group(group_of(id.into(), &step.name)).await?;
        }
        let (_, outcome) = look(storage, broker, id, &workflow).await?;
        close(storage, broker, id, outcome.status).await?;
        Ok(true)
    }

    /// Does again what has not succeeded, as a new workflow. `None` if there is no such workflow.
    ///
    /// # Errors
    /// `NotRetryable` if it has not ended, or if every step has succeeded or was skipped; or when the store or the broker
    /// fails.
    pub async fn retry(
        &self,
        storage: &Storage,
        broker: &Broker,
        id: GroupId,
        request_id: Option<String>,
    ) -> Result<Option<Submitted>, Error> {
        let Some(first) = record::read(storage, id).await? else { return Ok(None) };
        if record::end(storage, id).await?.is_none() {
            return Err(Error::NotRetryable(format!("workflow {id} has not ended")));
        }
        let (ended, outcome) = look(storage, broker, id, &first).await?;
        let steps = || first.document.steps.iter().zip(&outcome.states);
        if !steps().any(|(_, state)| matches!(state, State::Failed | State::Cancelled)) {
            return Err(Error::NotRetryable(format!("no step of workflow {id} has failed or was cancelled")));
        }
        let new = GroupId::new();
        for (step, _) in steps().filter(|(_, state)| **state == State::Succeeded) {
            if let Some(how) = ended.get(&step.name) {
                record::write_ended(storage, new, &step.name, how).await?;
            }
        }
        let meta = Meta { request_id, ..first.meta.clone() };
        let again = Workflow { meta, created_at: Timestamp::now(), retry_of: Some(id), ..first };
        self.accept(storage, broker, new, &again, None).await.map(Some)
    }
}
