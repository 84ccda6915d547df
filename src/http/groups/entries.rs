//! The entries of a status document: jobs that have ended, with their results.

use imaging::Format;
use queue::{GroupId, JobId, State};
use serde::Serialize;
use serde_json::{Map, Value};

use super::pictures::Picture;
use crate::errors::Failure;
use crate::http::access::links::Signer;
use crate::job::seal;
use crate::kinds::{Answer, ImageResult, Output};

/// A job that has ended. Its kind determines the fields.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(in crate::http) enum Entry {
    Picture(PictureEntry),
    Job(JobEntry),
}

/// A finished job that is about no picture: the fields of its kind's result.
#[derive(Debug, Serialize)]
pub(in crate::http) struct JobEntry {
    success: bool,
    job_id: JobId,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

/// One finished picture, with its paths on this server.
#[derive(Debug, Serialize)]
pub(in crate::http) struct PictureEntry {
    success: bool,
    job_id: JobId,
    image: Option<String>,
    #[serde(flatten)]
    cost: Option<Cost>,
    #[serde(flatten)]
    outcome: Outcome,
}

/// The time that a picture took.
#[derive(Debug, Serialize)]
struct Cost {
    attempts: u32,
    duration_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outcome {
    /// A path is null if the output has no file.
    Done {
        paths: Vec<Option<String>>,
        outputs: Vec<Made>,
    },
    Failed {
        error: Failure,
    },
}

/// The output of one operation.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Made {
    File(Box<Written>),
    Answer(Box<Answer>),
}

#[derive(Debug, Serialize)]
struct Written {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    format: Format,
    width: u32,
    height: u32,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    frames: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// The file's name in an archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

impl JobEntry {
    /// The entry of a job that ended in `state` with `result`, as the broker keeps it.
    pub(super) fn of(job_id: JobId, state: State, result: &[u8]) -> Self {
        let known = seal::unseal(result).ok().and_then(|json| serde_json::from_slice::<Map<String, Value>>(&json).ok());
        let is_damaged = known.is_none() && !result.is_empty();
        let failed = |code, detail: &str| {
            let error = serde_json::to_value(Failure::permanent(code, detail)).expect("strings always serialise");
            Map::from_iter([("error".to_owned(), error)])
        };
        let mut fields = match (state, known) {
            // Its result says that it expired.
            (State::Cancelled, Some(known)) if known.contains_key("error") => known,
            (State::Cancelled, _) => failed("cancelled", "The job was cancelled before it was done."),
            (_, Some(known)) => known,
            (_, None) if is_damaged => failed("result-damaged", "The record of the job's end cannot be read."),
            (_, None) => failed("internal", "The job ended without a result."),
        };
        fields.remove("success");
        Self { success: state == State::Succeeded && !is_damaged, job_id, fields }
    }
}

impl PictureEntry {
    pub(in crate::http) fn of(group: GroupId, picture: Picture, signer: &Signer<'_>) -> Self {
        let Picture { job, state, image, known, damaged } = picture;
        let success = state == State::Succeeded && !damaged;
        let failed = |code, detail: &str| Outcome::Failed { error: Failure::permanent(code, detail) };
        let (cost, outcome) = match (state, known) {
            // Its result says that it expired.
            (State::Cancelled, Some(ImageResult { error: Some(error), .. })) => (None, Outcome::Failed { error }),
            (State::Cancelled, _) => (None, failed("cancelled", "The picture was cancelled before it was done.")),
            (_, None) if damaged => (None, failed("result-damaged", "The record of the picture's end cannot be read.")),
            (_, None) => (None, failed("internal", "The job ended without a result.")),
            (_, Some(known)) => {
                let cost = Cost { attempts: known.attempts, duration_ms: known.duration_ms };
                let outcome = if let Some(error) = known.error {
                    Outcome::Failed { error }
                } else {
                    let folder = format!("/files/{group}/{job}/{}/", known.run);
                    Outcome::of(known.outputs, |file| signer.link([folder.as_str(), file].concat()))
                };
                (Some(cost), outcome)
            }
        };
        Self { success, job_id: job, image, cost, outcome }
    }

    /// Gives the files these names, in their order.
    pub(in crate::http) fn name_files(&mut self, names: impl IntoIterator<Item = String>) {
        let Outcome::Done { outputs, .. } = &mut self.outcome else { return };
        let files = outputs.iter_mut().filter_map(|made| match made {
            Made::File(file) => Some(file),
            Made::Answer(_) => None,
        });
        for (file, name) in files.zip(names) {
            file.file = Some(name);
        }
    }
}

impl Outcome {
    fn of(outputs: Vec<Output>, link: impl Fn(&str) -> String) -> Self {
        let made = outputs.into_iter().map(|output| match output {
            Output::Answer(answer) => (None, Made::Answer(answer)),
            Output::File(output) => {
                let link = link(&output.file);
                let file = Written {
                    kind: output.kind,
                    path: link.clone(),
                    format: output.format,
                    width: output.width,
                    height: output.height,
                    bytes: output.bytes,
                    frames: output.frames,
                    duration_ms: output.duration_ms,
                    warnings: output.warnings,
                    file: None,
                };
                (Some(link), Made::File(Box::new(file)))
            }
        });
        let (paths, outputs) = made.unzip();
        Self::Done { paths, outputs }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entry_of_a_job_has_the_fields_of_its_kind() {
        let entry = |state, result: &str| {
            let mut entry = serde_json::to_value(JobEntry::of(JobId::new(), state, result.as_bytes())).unwrap();
            entry.as_object_mut().unwrap().remove("job_id");
            entry
        };
        let done = entry(State::Succeeded, r#"{"success": true, "status": 201, "result": {"payment_id": "p-1"}}"#);
        assert_eq!(done, json!({"success": true, "status": 201, "result": {"payment_id": "p-1"}}));
        let failed = entry(State::Failed, r#"{"success": false, "attempts": 3, "error": {"code": "call-failed"}}"#);
        assert_eq!(failed, json!({"success": false, "attempts": 3, "error": {"code": "call-failed"}}));
        for (state, result, code) in [
            (State::Cancelled, "", "cancelled"),
            (State::Cancelled, r#"{"success": true}"#, "cancelled"),
            (State::Cancelled, r#"{"success": false, "error": {"code": "expired"}}"#, "expired"),
            (State::Failed, "", "internal"),
            (State::Succeeded, "no JSON", "result-damaged"),
        ] {
            let entry = entry(state, result);
            assert_eq!((&entry["success"], &entry["error"]["code"]), (&json!(false), &json!(code)), "{result}");
        }
    }
}
