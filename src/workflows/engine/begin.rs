//! Begins a step: resolves its references, and makes its group.

use std::collections::BTreeMap;

use queue::{GroupId, JobId, On as When};
use serde_json::{Map, Value};
use tracing::info;
use uuid::Uuid;

use super::Engine;
use super::record::{self, Ended, Workflow};
use crate::errors::Failure;
use crate::kinds::{Context, HttpCall, Payload};
use crate::storage::manifest_key;
use crate::submission::manifest::{Entry, Manifest, Then};
use crate::submission::{Asked, Begun, Error, Meta, PictureStep, StepOf, outbox, routing};
use crate::workflows::reference::Scope;
use crate::workflows::{Step, Work, group_of};

impl Engine {
    /// Begins a step, unless it has a group already. Returns whether it has ended at once.
    pub(super) async fn begin(
        &self,
        context: &Context,
        id: GroupId,
        workflow: &Workflow,
        step: &Step,
        ended: &BTreeMap<String, Ended>,
    ) -> Result<bool, Error> {
        let group = group_of(id.into(), &step.name);
        if context.broker.group(group).await?.is_some() || context.storage.has(&manifest_key(group)).await? {
            return Ok(false);
        }
        let parts: Map<String, Value> = ended.iter().map(|(name, ended)| (name.clone(), ended.parts())).collect();
        let scope = Scope { input: Some(&workflow.document.input), steps: Some(&parts), ..Scope::default() };
        let meta = Meta { step: Some(StepOf { workflow: id, name: step.name.clone() }), ..workflow.meta.clone() };
        let then = self.then(id, group);
        let at_once = match &step.work {
            Work::Call(_) => self.begin_calls(context, (group, meta, then), step, &scope).await?,
            Work::Pictures { .. } => self.begin_pictures(context, (group, meta, then), step, &scope).await?,
        };
        if let Some(ended) = &at_once {
            record::write_ended(&context.storage, id, &step.name, ended).await?;
        } else {
            info!(group.id = %group, "step {} of workflow {id} has begun as group {group}", step.name);
        }
        Ok(at_once.is_some())
    }

    /// What the broker enqueues when a step's group has finished.
    fn then(&self, workflow: GroupId, group: GroupId) -> Then {
        let id = |what: &str| Uuid::new_v5(&group.into(), what.as_bytes());
        Then { on: When::Always, group: id("advance").into(), job: self.advance_job(workflow, id("advance job")) }
    }

    async fn begin_calls(
        &self,
        context: &Context,
        (group, meta, then): (GroupId, Meta, Then),
        step: &Step,
        scope: &Scope<'_>,
    ) -> Result<Option<Ended>, Error> {
        let failed = |detail: String| Ok(Some(Ended::at_once(Some(Failure::permanent("invalid-workflow", detail)))));
        let calls = match step.calls(scope) {
            Ok(calls) => calls,
            Err(detail) => return failed(detail),
        };
        if calls.is_empty() {
            return Ok(Some(Ended::at_once(None)));
        }
        let options = Value::Object(step.options.clone());
        let asked = match Asked::parse(None, Some(&options), self.settings.rules().pictures) {
            Ok(asked) => asked.options,
            Err((_, detail)) => return failed(detail),
        };
        let priority = asked.priority.unwrap_or(5);
        let job = |(index, call): (usize, HttpCall)| {
            let payload = Payload::HttpCall(call);
            let wanted = asked.queue.as_deref().unwrap_or(payload.default_queue());
            Entry {
                // The same whenever the step is begun: it is the call's idempotency key.
                id: JobId::from(Uuid::new_v5(&group.into(), index.to_string().as_bytes())),
                queue: routing::queue(&self.queue.routes, payload.kind(), wanted, priority).into(),
                priority,
                max_attempts: asked.retries.map_or(self.queue.max_attempts, |retries| retries + 1),
                after: None,
                retry_of: None,
                payload,
            }
        };
        let jobs = calls.into_iter().map(|(call, _)| call).enumerate().map(job).collect();
        let manifest = Manifest { eta: asked.eta, then: Some(then), ..Manifest::new(group, meta, jobs) };
        outbox::accept(&context.storage, &context.broker, manifest).await?;
        Ok(None)
    }

    async fn begin_pictures(
        &self,
        context: &Context,
        (group, meta, then): (GroupId, Meta, Then),
        step: &Step,
        scope: &Scope<'_>,
    ) -> Result<Option<Ended>, Error> {
        let rules = self.settings.rules();
        let (wanted, asked) = match step.pictures(scope, rules) {
            Ok(Some(pictures)) => pictures,
            Ok(None) => return Ok(Some(Ended::at_once(None))),
            Err((code, detail)) => return Ok(Some(Ended::at_once(Some(Failure::permanent(code, detail))))),
        };
        if wanted.is_empty() {
            return Ok(Some(Ended::at_once(None)));
        }
        let made = PictureStep { group, meta, wanted, asked, then };
        match made.begin(context, &self.queue, rules.max_files).await {
            Ok(Begun::Enqueued) => Ok(None),
            Ok(Begun::Rejected(rejected)) => {
                Ok(Some(Ended::at_once(rejected.into_iter().next().map(|rejected| rejected.error))))
            }
            Err(Error::TooMany(detail)) => Ok(Some(Ended::at_once(Some(Failure::permanent("too-many-files", detail))))),
            Err(error) => Err(error),
        }
    }
}
