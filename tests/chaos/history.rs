//! What happened in a round, in the order of time: appended by the driver as it happens, and by the programs to
//! their logs. Nothing in it is ever rewritten.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub at: Timestamp,
    /// The program that says so, or `driver`.
    pub by: String,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
pub enum What {
    /// The client was told that these jobs will be done.
    Acknowledged { group: String, jobs: usize },
    /// The client was told to come again; no status where nobody answered.
    Refused { status: Option<u16> },
    /// A run was begun, in the process with this id.
    Started { job: String, run: String, process: Option<i32> },
    /// A run was settled: `succeeded` publishes its outputs.
    Settled { job: String, run: String, outcome: String },
    /// The broker enqueued what follows a group.
    Fired { group: String },
    /// The fault; with the programs it hit, or none where it hit all.
    Injected { hit: Vec<String> },
    /// The world is whole again.
    Healed,
}

/// The driver's part of the history.
pub struct History {
    path: PathBuf,
    file: Mutex<File>,
}

impl History {
    pub fn begin(path: PathBuf) -> Self {
        let file = OpenOptions::new().append(true).create_new(true).open(&path).unwrap();
        Self { path, file: Mutex::new(file) }
    }

    pub fn add(&self, what: What) {
        self.append(&Entry { at: Timestamp::now(), by: "driver".into(), what });
    }

    pub fn append(&self, entry: &Entry) {
        let line = serde_json::to_string(entry).unwrap() + "\n";
        self.file.lock().unwrap().write_all(line.as_bytes()).unwrap();
    }

    pub fn entries(&self) -> Vec<Entry> {
        let lines = std::fs::read_to_string(&self.path).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// What a program's log says, with the times of a clock that is `skew` ahead put right.
pub fn of_log(program: &str, log: &Path, skew: SignedDuration) -> Vec<Entry> {
    let said = std::fs::read(log).unwrap();
    // A program that was killed in the middle of a line has not said it.
    let lines = String::from_utf8_lossy(&said);
    lines.lines().filter_map(|line| entry(program, &serde_json::from_str(line).ok()?, skew)).collect()
}

fn entry(program: &str, line: &Value, skew: SignedDuration) -> Option<Entry> {
    let fields = &line["fields"];
    let job = fields["job.id"].as_str()?.to_owned();
    let run = fields["run"].as_str()?.to_owned();
    let what = match fields["outcome"].as_str() {
        Some(outcome) => What::Settled { job, run, outcome: outcome.into() },
        None if fields["message"].as_str()?.starts_with("started job") => {
            let process = fields["child.pid"].as_i64().and_then(|id| i32::try_from(id).ok());
            What::Started { job, run, process }
        }
        None => return None,
    };
    let at = line["timestamp"].as_str()?.parse::<Timestamp>().ok()? - skew;
    Some(Entry { at, by: program.into(), what })
}
