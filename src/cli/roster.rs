//! The workers that are there: who they are, which of them is meant, and what they answer to a letter.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use jiff::{SignedDuration, Timestamp};

use super::exit::Usage;
use super::table::span;
use crate::queue::{Broker, MAIL_MEMORY};
use crate::worker::control::{Command, Letter, Report};

/// What a shortened session has at least.
const SHORT: usize = 8;

/// One that has reported itself.
pub(super) struct Worker {
    pub(super) seen_at: Timestamp,
    pub(super) report: Report,
}

impl Worker {
    pub(super) fn session(&self) -> &str {
        &self.report.session
    }
}

/// A worker's answer to a letter, and how long it took.
pub(super) struct Answer {
    pub(super) report: Report,
    pub(super) after: Duration,
}

/// The workers that live; `wanted`, a session or how it begins, chooses one.
///
/// # Errors
/// When no session, or more than one, begins like that.
pub(super) async fn workers(broker: &Broker, wanted: Option<&str>) -> Result<Vec<Worker>> {
    let mut workers = Vec::new();
    for entry in broker.workers().await? {
        match serde_json::from_slice(&entry.report) {
            Ok(report) => workers.push(Worker { seen_at: entry.seen_at, report }),
            Err(error) => eprintln!("passed over worker {}, another version's: its report says {error}", entry.session),
        }
    }
    let Some(wanted) = wanted else { return Ok(workers) };
    let all: Vec<String> = workers.iter().map(|worker| worker.session().to_owned()).collect();
    workers.retain(|worker| worker.session().starts_with(wanted));
    match workers.len() {
        1 => Ok(workers),
        0 if all.is_empty() => bail!("{}", none_there(broker)),
        0 => Err(Usage(format!("--worker {wanted}: no session begins like that; there are {}", all.join(", "))).into()),
        _ => {
            let sessions: Vec<&str> = workers.iter().map(Worker::session).collect();
            Err(Usage(format!("--worker {wanted}: that begins several sessions: {}", sessions.join(", "))).into())
        }
    }
}

/// What to say, and to do, where no worker is listed.
pub(super) fn none_there(broker: &Broker) -> String {
    format!("no worker is there on {broker}: start `pixmill worker` with the same flags, or `pixmill serve`")
}

/// How many characters of a session tell these workers apart, so that `--worker` takes them.
pub(super) fn short(workers: &[Worker]) -> usize {
    let mut sessions: Vec<&str> = workers.iter().map(Worker::session).collect();
    sessions.sort_unstable();
    let shared = |pair: &[&str]| pair[0].bytes().zip(pair[1].bytes()).take_while(|(one, other)| one == other).count();
    sessions.windows(2).map(|pair| shared(pair) + 1).max().unwrap_or_default().max(SHORT)
}

/// Sends each worker the command, and gathers their answers by session until all have come or the time is over.
pub(super) async fn ask(
    broker: &Broker,
    workers: &[Worker],
    command: &Command,
    timeout: Duration,
) -> Result<HashMap<String, Answer>> {
    let reply = format!("reply-{}", uuid::Uuid::now_v7().simple());
    let letter = serde_json::to_vec(&Letter { command: command.clone(), reply: reply.clone() })?;
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
            let report: Report = serde_json::from_slice(&answer)?;
            answers.insert(report.session.clone(), Answer { report, after: asked.elapsed() });
        }
    }
    Ok(answers)
}

/// Has the workers say anew what they do; one that stays silent is left as it last reported itself.
pub(super) async fn refresh(broker: &Broker, workers: &mut [Worker], timeout: Duration) -> Result<()> {
    let mut answers = ask(broker, workers, &Command::Ping, timeout).await?;
    for worker in workers {
        match answers.remove(worker.session()) {
            Some(answer) => worker.report = answer.report,
            None => eprintln!(
                "worker {} is silent: this is what it said {} ago",
                worker.session(),
                span(worker.seen_at, Timestamp::now())
            ),
        }
    }
    Ok(())
}

/// Reads `--timeout`.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|_| "write a time such as 2s or 500ms".to_owned())?;
    match Duration::try_from(parsed) {
        Ok(timeout) if !timeout.is_zero() && timeout <= MAIL_MEMORY => Ok(timeout),
        _ => Err(format!("must be above 0 and at most {MAIL_MEMORY:?}, for which answers are kept")),
    }
}
