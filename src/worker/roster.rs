//! The live workers and their answers to letters, for HTTP and for the command line.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use queue::Broker;
use serde_json::{Value, json};

use super::control::{Command, Letter, Report};

/// A live worker with its last report.
#[derive(Debug, Clone)]
pub struct Worker {
    pub seen_at: Timestamp,
    pub report: Report,
}

impl Worker {
    pub fn session(&self) -> &str {
        &self.report.session
    }

    /// Its report with the time of the report.
    pub fn document(&self) -> Value {
        let mut document = json!(self.report);
        document["seen_at"] = json!(self.seen_at);
        document
    }
}

/// The live workers.
#[derive(Debug, Default)]
pub struct Roster {
    pub workers: Vec<Worker>,
    /// Sessions of workers whose reports cannot be read, because they have another version.
    pub strangers: Vec<(String, serde_json::Error)>,
}

/// A worker's answer to a letter, with the time that it took.
#[derive(Debug, Clone)]
pub struct Answer {
    pub report: Report,
    pub after: Duration,
}

pub async fn workers(broker: &Broker) -> queue::Result<Roster> {
    let mut roster = Roster::default();
    for entry in broker.workers().await? {
        match serde_json::from_slice(&entry.report) {
            Ok(report) => roster.workers.push(Worker { seen_at: entry.seen_at, report }),
            Err(error) => roster.strangers.push((entry.session, error)),
        }
    }
    Ok(roster)
}

/// Sends the command to each worker. Returns their answers by session when all have arrived or the time is over.
pub async fn ask(
    broker: &Broker,
    workers: &[Worker],
    command: &Command,
    timeout: Duration,
) -> queue::Result<HashMap<String, Answer>> {
    let reply = format!("reply-{}", uuid::Uuid::now_v7().simple());
    let letter = Letter { command: command.clone(), reply: reply.clone() };
    let letter = serde_json::to_vec(&letter).expect("strings and numbers always serialise");
    let asked = Instant::now();
    for worker in workers {
        broker.post(worker.session(), &letter).await?;
    }
    let mut answers = HashMap::new();
    while answers.len() < workers.len() {
        let left = timeout.saturating_sub(asked.elapsed());
        if left.is_zero() {
            break;
        }
        for answer in broker.collect(&reply, left).await? {
            // A worker of another version may send another report. It counts as silent.
            if let Ok(report) = serde_json::from_slice::<Report>(&answer) {
                answers.insert(report.session.clone(), Answer { report, after: asked.elapsed() });
            }
        }
    }
    Ok(answers)
}
