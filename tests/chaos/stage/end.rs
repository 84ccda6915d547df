//! The end of a round: everything comes to its end, and all of it is looked at.

use std::time::Instant;

use queue::EventKind;
use rustix::process::Signal;
use serde_json::Value;

use super::client::{Uploads, status};
use super::{BROKER, LOOK, Stage};
use crate::check::{self, End, JobEnd, Outcome, Verdict, Violation};
use crate::history::{Entry, What};

impl Stage {
    /// Lets everything come to its end, looks at all of it, and judges.
    pub async fn conclude(mut self) -> Verdict {
        if self.uploads.is_some() {
            self.acknowledged().await;
        }
        if let Some(Uploads { stop, task, .. }) = self.uploads.take() {
            drop(stop);
            task.await.unwrap();
        }
        let mut violations = Vec::new();
        let ends = self.ends().await;
        if ends.iter().all(|end| end.finished)
            && let Err(open) = self.is_drained().await
        {
            violations.push(Violation::Miscounted(open));
        }
        self.collect_fired().await;
        violations.extend(self.terminate().await);
        let history = self.seen();
        for entry in history.iter().filter(|entry| entry.by != "driver" && entry.by != BROKER) {
            self.history.append(entry);
        }
        let mut verdict = check::judge(&history, &ends, &self.terms);
        verdict.violations.extend(violations);
        verdict
    }

    /// Every acknowledged group that is known, once it has ended or patience has.
    pub(super) async fn ends(&self) -> Vec<End> {
        let client = self.client();
        let deadline = Instant::now() + self.pace.patience;
        let mut ends = Vec::new();
        for entry in self.history.entries() {
            let What::Acknowledged { group, .. } = entry.what else { continue };
            let status = loop {
                let status = status(&client, &group).await;
                let over = match &status {
                    Ok(status) => status["status"] != "processing",
                    Err(code) => *code == Some(404) && self.terms.over.contains(&group),
                };
                if over || Instant::now() > deadline {
                    break status;
                }
                tokio::time::sleep(LOOK).await;
            };
            if let Ok(status) = status {
                ends.push(self.end(group, &status));
            }
        }
        ends
    }

    fn end(&self, group: String, status: &Value) -> End {
        let code = |one: &Value| one["error"]["code"].as_str().expect("a code").to_owned();
        let count = |name: &str| status[name].as_u64().expect("a counter") as usize;
        let jobs = status["result"].as_array().expect("results").iter().map(|entry| {
            let outcome = if entry["success"] == true {
                self.success(entry)
            } else {
                Outcome::Failed { code: entry["error"]["code"].as_str().expect("a code").into() }
            };
            JobEnd { job: entry["job_id"].as_str().expect("an id").into(), outcome }
        });
        End {
            jobs: jobs.collect(),
            finished: status["status"] != "processing",
            total: count("total_images"),
            succeeded: count("succeeded"),
            failed: count("failed"),
            cancelled: count("cancelled"),
            refused: status["rejected"].as_array().map_or_else(Vec::new, |refused| refused.iter().map(code).collect()),
            group,
        }
    }

    fn success(&self, entry: &Value) -> Outcome {
        let outputs = entry["outputs"].as_array().expect("outputs");
        let path = |output: &Value| output["path"].as_str().expect("a path").to_owned();
        // /files/<group>/<job>/<run>/<file>
        let runs: Vec<String> =
            outputs.iter().filter_map(|output| Some(path(output).split('/').nth(4)?.to_owned())).collect();
        let whole = outputs.iter().all(|output| {
            let file = self.data.join(path(output).replacen("/files/", "outputs/", 1));
            std::fs::read(file).is_ok_and(|bytes| bytes.len() as u64 == output["bytes"] && is_whole(&bytes))
        });
        let run = runs[0].clone();
        Outcome::Succeeded { whole: whole && runs.iter().all(|other| *other == run), run }
    }

    /// No job is open any more, not even of an upload that was never acknowledged.
    async fn is_drained(&self) -> Result<(), String> {
        let client = self.client();
        let deadline = Instant::now() + self.pace.patience;
        loop {
            let metrics = client.get("/metrics").await.text();
            let depths: Vec<&str> = metrics.lines().filter(|line| line.starts_with("pixmill_jobs{")).collect();
            if !depths.is_empty() && depths.iter().all(|line| line.ends_with(" 0")) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("all groups have ended, but the queue holds {depths:?}"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Adds to the history what the broker says it enqueued after a group.
    async fn collect_fired(&self) {
        let broker = self.broker().await;
        let mut after: Option<String> = None;
        loop {
            let events = broker.events(after.as_deref(), 1_000).await.unwrap();
            let Some(last) = events.last() else { break };
            after = Some(last.id.clone());
            for event in events.into_iter().filter(|event| event.kind == EventKind::Fired) {
                let what = What::Fired { group: event.group.to_string() };
                self.history.append(&Entry { at: event.at, by: BROKER.into(), what });
            }
        }
    }

    /// Ends every program as an operator would, so that each has said its last.
    async fn terminate(&mut self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for program in self.programs.iter_mut().filter_map(|program| (!program.ended()).then_some(program)) {
            program.signal(Signal::TERM);
        }
        for program in &mut self.programs {
            if !program.ends(self.pace.patience).await {
                violations.push(Violation::Stuck(format!("{} does not end on SIGTERM", program.name)));
            }
        }
        violations
    }
}

/// A file of one of the formats that the rounds ask for, to its last byte.
fn is_whole(bytes: &[u8]) -> bool {
    match bytes {
        [b'R', b'I', b'F', b'F', a, b, c, d, ..] => u32::from_le_bytes([*a, *b, *c, *d]) as usize + 8 == bytes.len(),
        [0x89, b'P', b'N', b'G', ..] => bytes.ends_with(b"IEND\xaeB\x60\x82"),
        _ => false,
    }
}
