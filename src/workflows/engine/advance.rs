//! Carries a workflow on: writes down which steps have ended, begins those that are due, and closes the workflow.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use queue::{Broker, GroupId, NewGroup};
use tracing::info;

use super::Engine;
use super::record::{self, End, Ended, Workflow};
use super::results;
use crate::errors::Failure;
use crate::kinds::{Context, Workflows};
use crate::storage::{Storage, manifest_key};
use crate::submission::Error;
use crate::workflows::outcome::{self, Fact, Outcome, Status};
use crate::workflows::{Document, group_of};

impl Workflows for Engine {
    fn advance<'c>(&'c self, context: &'c Context, workflow: GroupId) -> BoxFuture<'c, Result<(), Failure>> {
        self.carry_on(context, workflow).map(|carried| carried.map_err(Failure::from)).boxed()
    }
}

impl Engine {
    async fn carry_on(&self, context: &Context, id: GroupId) -> Result<(), Error> {
        let Context { broker, storage, .. } = context;
        // An erased workflow is not carried on.
        let Some(workflow) = record::read(storage, id).await? else { return Ok(()) };
        loop {
            let (ended, outcome) = look(storage, broker, id, &workflow).await?;
            let mut ended_at_once = false;
            for &place in &outcome.due {
                let step = &workflow.document.steps[place];
                ended_at_once |= self.begin(context, id, &workflow, step, &ended).await?;
                // A cancel that came meanwhile did not see the group.
                if is_cancelled(storage, broker, id).await? {
                    broker.cancel_group(group_of(id.into(), &step.name)).await?;
                }
            }
            if !ended_at_once {
                return close(storage, broker, id, outcome.status).await;
            }
        }
    }
}

/// Writes down the steps that have ended since the last look, and decides what follows.
pub(super) async fn look(
    storage: &Storage,
    broker: &Broker,
    id: GroupId,
    workflow: &Workflow,
) -> Result<(BTreeMap<String, Ended>, Outcome), Error> {
    let document = &workflow.document;
    let mut ended = record::ended(storage, id, document).await?;
    let facts = facts(storage, broker, id, document, &mut ended).await?;
    let cancelled = is_cancelled(storage, broker, id).await?;
    Ok((ended, outcome::decide(&document.steps, &facts, cancelled)))
}

async fn facts(
    storage: &Storage,
    broker: &Broker,
    id: GroupId,
    document: &Document,
    ended: &mut BTreeMap<String, Ended>,
) -> Result<BTreeMap<String, Fact>, Error> {
    let mut facts = BTreeMap::new();
    for step in &document.steps {
        if let Some(ended) = ended.get(&step.name) {
            facts.insert(step.name.clone(), Fact::Ended(ended.counts));
            continue;
        }
        let group = group_of(id.into(), &step.name);
        let fact = match broker.group(group).await? {
            Some(group) if group.finished_at.is_some() => {
                let how = results::of_group(broker, step, &group).await?;
                record::write_ended(storage, id, &step.name, &how).await?;
                let counts = how.counts;
                ended.insert(step.name.clone(), how);
                Fact::Ended(counts)
            }
            Some(_) => Fact::Begun,
            // The broker has lost the group; the outbox gives it back.
            None if storage.has(&manifest_key(group)).await? => Fact::Begun,
            None => continue,
        };
        facts.insert(step.name.clone(), fact);
    }
    Ok(facts)
}

/// Whether the workflow was cancelled, by itself or as a group.
async fn is_cancelled(storage: &Storage, broker: &Broker, id: GroupId) -> Result<bool, Error> {
    Ok(record::is_cancelled(storage, id).await? || broker.group(id).await?.is_some_and(|group| group.cancelling))
}

/// Ends the workflow's own group, if the workflow has ended.
pub(super) async fn close(storage: &Storage, broker: &Broker, id: GroupId, status: Status) -> Result<(), Error> {
    if status == Status::Processing {
        return Ok(());
    }
    if record::end(storage, id).await?.is_none() {
        record::write_end(storage, id, &End { status, at: Timestamp::now() }).await?;
        info!(group.id = %id, "workflow {id} has ended as {}", status.as_str());
    }
    // A group that the broker has lost comes back from the outbox, and is closed then.
    if broker.group(id).await?.is_some_and(|group| !group.sealed) {
        broker.extend(&NewGroup::new(id, Bytes::new()), &[], true).await?;
    }
    Ok(())
}
