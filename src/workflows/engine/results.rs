//! The results of an ended step's group, as later steps may refer to them.

use jiff::Timestamp;
use queue::{Broker, Group, GroupResult, State};
use serde_json::{Map, Value, json};

use super::record::Ended;
use crate::errors::Failure;
use crate::job::seal;
use crate::submission::Meta;
use crate::workflows::outcome::Counts;
use crate::workflows::{Fan, Step, Work};

/// Results of a fan-out that are kept for references; all of them are at `results_url`.
const MOST_RESULTS: usize = 1_000;

/// How a step ended whose group has finished.
pub(super) async fn of_group(broker: &Broker, step: &Step, group: &Group) -> queue::Result<Ended> {
    let found = broker.results(group.id, 0, MOST_RESULTS).await?;
    let rejected = Meta::of(group).rejected;
    let entries: Vec<Value> = found.iter().map(|one| entry(step, group, one)).collect();
    let failed = entries.iter().find_map(|entry| serde_json::from_value(entry.get("error")?.clone()).ok());
    let error: Option<Failure> = failed.or_else(|| rejected.first().map(|rejected| rejected.error.clone()));
    let counts = Counts {
        succeeded: group.succeeded.into(),
        // A source that cannot be taken is no job, but the step has not done what was asked.
        failed: u64::from(group.failed) + rejected.len() as u64,
        cancelled: group.cancelled.into(),
    };
    let (result, results) = match step.fan {
        Fan::One => (entries.into_iter().next(), None),
        Fan::Sources | Fan::Each { .. } | Fan::Shards(_) => (None, Some(entries)),
    };
    let results_url = Some(format!("/api/task_status/{}", group.id));
    let at = group.finished_at.unwrap_or_else(Timestamp::now);
    Ok(Ended { counts, result, results, results_url, error, at })
}

/// A job's result: the JSON that a call answered, or a picture's entry in the status document. Of a job that has not
/// succeeded, an object with its `error`.
fn entry(step: &Step, group: &Group, one: &GroupResult) -> Value {
    let known =
        seal::unseal(&one.result).ok().and_then(|json| serde_json::from_slice::<Map<String, Value>>(&json).ok());
    let mut fields = known.unwrap_or_default();
    if one.state != State::Succeeded {
        let cancelled = || json!(Failure::permanent("cancelled", "The job was cancelled before it was done."));
        let error = fields.remove("error").unwrap_or_else(cancelled);
        return json!({"success": false, "job_id": one.job, "error": error});
    }
    match step.work {
        Work::Call(_) => fields.remove("result").unwrap_or_default(),
        Work::Pictures { .. } => {
            let run = fields.remove("run");
            let run = run.as_ref().and_then(Value::as_str).unwrap_or_default();
            let mut paths = Vec::new();
            for output in fields.get_mut("outputs").and_then(Value::as_array_mut).into_iter().flatten() {
                let file = output.as_object_mut().and_then(|output| output.remove("file"));
                let path = file.as_ref().and_then(Value::as_str);
                let path = path.map(|file| Value::String(format!("/files/{}/{}/{run}/{file}", group.id, one.job)));
                if let Some(path) = &path {
                    output["path"] = path.clone();
                }
                paths.push(path.unwrap_or_default());
            }
            fields.insert("job_id".into(), json!(one.job));
            fields.insert("paths".into(), Value::Array(paths));
            Value::Object(fields)
        }
    }
}
