//! What the store keeps of a workflow: its document, how each ended step ended, and whether it was cancelled.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use queue::GroupId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::errors::Failure;
use crate::job::seal;
use crate::storage::{self, Storage, step_key, workflow_key};
use crate::submission::Meta;
use crate::workflows::Document;
use crate::workflows::outcome::{Counts, Status};

const DOCUMENT: &str = "document.json";
const CANCELLED: &str = "cancelled";
const END: &str = "end.json";

/// A workflow as it was submitted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::workflows) struct Workflow {
    pub(super) document: Document,
    /// Of its groups.
    pub(super) meta: Meta,
    pub(super) created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retry_of: Option<GroupId>,
}

/// How a step ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) counts: Counts,
    /// The result of a step that is one job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) result: Option<Value>,
    /// The results of a fan-out, by index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) results: Option<Vec<Value>>,
    /// The path of all results; `None` if the step has no group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) results_url: Option<String>,
    /// Why the step failed, or the first of its jobs that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Failure>,
    pub(super) at: Timestamp,
}

/// How a workflow ended.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) status: Status,
    pub(super) at: Timestamp,
}

impl Ended {
    /// A step that ended without a group.
    pub(super) fn at_once(error: Option<Failure>) -> Self {
        let counts = Counts { failed: u64::from(error.is_some()), ..Counts::default() };
        let result = error.as_ref().map(|error| json!({"success": false, "error": error}));
        Self { counts, result, results: Some(Vec::new()), results_url: None, error, at: Timestamp::now() }
    }

    /// The values that references of later steps lead to.
    pub(super) fn parts(&self) -> Value {
        let Counts { succeeded, failed, cancelled } = self.counts;
        let mut parts = Map::new();
        parts.insert("counts".into(), json!({"succeeded": succeeded, "failed": failed, "cancelled": cancelled}));
        for (name, value) in [
            ("result", self.result.clone()),
            ("results", self.results.clone().map(Value::Array)),
            ("results_url", self.results_url.clone().map(Value::String)),
        ] {
            parts.extend(value.map(|value| (name.to_owned(), value)));
        }
        Value::Object(parts)
    }
}

impl Workflow {
    pub(super) async fn write(&self, storage: &Storage, id: GroupId) -> storage::Result<()> {
        write(storage, &workflow_key(id, DOCUMENT), self).await
    }
}

/// `None` if there is no such workflow.
pub(super) async fn read(storage: &Storage, id: GroupId) -> storage::Result<Option<Workflow>> {
    read_file(storage, &workflow_key(id, DOCUMENT)).await
}

pub(super) async fn write_ended(storage: &Storage, id: GroupId, step: &str, ended: &Ended) -> storage::Result<()> {
    write(storage, &step_key(id, step), ended).await
}

/// How the steps ended that have ended, by name.
pub(super) async fn ended(
    storage: &Storage,
    id: GroupId,
    document: &Document,
) -> storage::Result<BTreeMap<String, Ended>> {
    let mut all = BTreeMap::new();
    for step in &document.steps {
        if let Some(ended) = read_file(storage, &step_key(id, &step.name)).await? {
            all.insert(step.name.clone(), ended);
        }
    }
    Ok(all)
}

pub(super) async fn cancel(storage: &Storage, id: GroupId) -> storage::Result<()> {
    storage.put_pressing(&workflow_key(id, CANCELLED), Bytes::new()).await
}

pub(super) async fn is_cancelled(storage: &Storage, id: GroupId) -> storage::Result<bool> {
    storage.has(&workflow_key(id, CANCELLED)).await
}

pub(super) async fn write_end(storage: &Storage, id: GroupId, end: &End) -> storage::Result<()> {
    write(storage, &workflow_key(id, END), end).await
}

pub(super) async fn end(storage: &Storage, id: GroupId) -> storage::Result<Option<End>> {
    read_file(storage, &workflow_key(id, END)).await
}

async fn write<T: Serialize>(storage: &Storage, key: &str, value: &T) -> storage::Result<()> {
    let sealed = seal::seal(serde_json::to_vec(value).expect("a workflow always serialises"));
    storage.put_pressing(key, sealed.into()).await
}

/// A file that cannot be read is an error of the store, which names it.
async fn read_file<T: for<'de> Deserialize<'de>>(storage: &Storage, key: &str) -> storage::Result<Option<T>> {
    let Some(bytes) = storage.read(key).await? else { return Ok(None) };
    let damaged = |why: String| storage::Error::at(key, &std::io::Error::new(std::io::ErrorKind::InvalidData, why));
    let json = seal::unseal(&bytes).map_err(|why| damaged(why.to_string()))?;
    serde_json::from_slice(&json).map(Some).map_err(|why| damaged(why.to_string()))
}
