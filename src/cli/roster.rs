//! Which of the workers that are there is meant, and what is said of those that are silent.

use std::time::Duration;

use anyhow::{Result, bail};
use jiff::{SignedDuration, Timestamp};
use queue::{Broker, MAIL_MEMORY};

use super::exit::Usage;
use super::table::span;
use crate::worker::control::Command;
use crate::worker::roster::{self, Roster};

pub(super) use crate::worker::roster::{Worker, ask};

/// What a shortened session has at least.
const SHORT: usize = 8;

/// The workers that live; `wanted`, a session or how it begins, chooses one.
///
/// # Errors
/// When no session, or more than one, begins like that.
pub(super) async fn workers(broker: &Broker, wanted: Option<&str>) -> Result<Vec<Worker>> {
    let Roster { mut workers, strangers } = roster::workers(broker).await?;
    for (session, error) in strangers {
        eprintln!("passed over worker {session}, another version's: its report says {error}");
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
