//! Holds the end of a round against its history: nothing acknowledged is lost, nothing published twice, nothing stuck.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::history::{Entry, What};

/// An acknowledged group as it stood when the round was over.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    pub group: String,
    pub finished: bool,
    pub total: usize,
    pub succeeded: usize,
    pub failed: usize,
    pub cancelled: usize,
    pub jobs: Vec<JobEnd>,
    /// Codes of what its status says was refused.
    pub refused: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct JobEnd {
    pub job: String,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// `whole`: every output's file is there to its last byte.
    Succeeded {
        run: String,
        whole: bool,
    },
    Failed {
        code: String,
    },
}

/// What a fault makes of the promises.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Groups whose every job must fail with this code.
    pub failing: HashMap<String, String>,
    /// The broker forgot everything at this instant: what was published before may be published again …
    pub forgotten_at: Option<Timestamp>,
    /// … and these groups had ended by then, and need not be known any more.
    pub over: HashSet<String>,
    /// Nobody can know any more what was to be done for these: they must end without a job, and say so by this code.
    pub unreadable: HashMap<String, String>,
    /// Bits of the queue's own file have changed: a job may fail by a code that says so.
    pub damaged: bool,
    /// No job may be started twice.
    pub no_repeats: bool,
}

/// Codes of jobs whose record in the queue is not what was written.
const DAMAGED: [&str; 2] = ["payload-damaged", "result-damaged"];

#[derive(Debug, Clone, PartialEq)]
pub enum Violation {
    /// An acknowledged job has no end, a wrong one, or not all its files.
    Lost(String),
    /// A job was published twice, or its status names another run than the one that won.
    Doubled(String),
    /// A group has not ended, or what follows it was not enqueued exactly once.
    Stuck(String),
    /// A group's counters are not the truth.
    Miscounted(String),
    /// A job was started twice where nothing had happened to it.
    Repeated(String),
    /// The round could not be carried out.
    Broken(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, detail) = match self {
            Self::Lost(detail) => ("lost", detail),
            Self::Doubled(detail) => ("published twice", detail),
            Self::Stuck(detail) => ("stuck", detail),
            Self::Miscounted(detail) => ("miscounted", detail),
            Self::Repeated(detail) => ("repeated", detail),
            Self::Broken(detail) => ("broken off", detail),
        };
        write!(f, "{word}: {detail}")
    }
}

/// How a round went.
#[derive(Debug, Default)]
pub struct Verdict {
    pub jobs: usize,
    /// Runs begun beyond one a job.
    pub duplicates: usize,
    pub recovery: Option<Recovery>,
    pub violations: Vec<Violation>,
}

/// From the fault, or from its end where it lasts, for the slowest of the jobs that were running when it hit them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recovery {
    /// Until it runs again, or ended by the run that it had.
    pub again: Duration,
    /// Until it ended.
    pub end: Duration,
}

/// Judges a round. `history` is in the order of time; an acknowledged group that is not in `ends` is unknown.
pub fn judge(history: &[Entry], ends: &[End], terms: &Terms) -> Verdict {
    let ends: HashMap<&str, &End> = ends.iter().map(|end| (end.group.as_str(), end)).collect();
    let mut verdict = Verdict { recovery: recovery(history), ..Verdict::default() };
    let mut fired: HashMap<&str, usize> = HashMap::new();
    for entry in history {
        match &entry.what {
            What::Acknowledged { group, jobs } => {
                verdict.jobs += jobs;
                match ends.get(group.as_str()) {
                    Some(end) => verdict.violations.extend(judge_group(end, *jobs, terms)),
                    None if terms.over.contains(group) => {}
                    None => verdict.violations.push(Violation::Lost(format!("group {group} is unknown"))),
                }
            }
            What::Fired { group } => *fired.entry(group).or_default() += 1,
            _ => {}
        }
    }
    for (group, times) in fired.into_iter().filter(|&(_, times)| times > 1) {
        verdict.violations.push(Violation::Stuck(format!("what follows group {group} was enqueued {times} times")));
    }
    let runs = Runs::of(history, terms);
    for job in ends.values().flat_map(|end| &end.jobs) {
        let name = &job.job;
        let published = runs.published.get(name.as_str()).map_or(&[][..], Vec::as_slice);
        let won = match &job.outcome {
            Outcome::Succeeded { run, .. } => Some(run.as_str()),
            Outcome::Failed { .. } => None,
        };
        if published.len() > 1 || published.iter().any(|&run| Some(run) != won) {
            verdict.violations.push(Violation::Doubled(format!(
                "job {name} was published by the runs {published:?}, its status says {:?}",
                job.outcome
            )));
        }
        let begun = runs.started.get(name.as_str()).copied().unwrap_or_default();
        verdict.duplicates += begun.saturating_sub(1);
        if terms.no_repeats && begun > 1 {
            verdict.violations.push(Violation::Repeated(format!("job {name} was begun {begun} times")));
        }
    }
    verdict
}

fn judge_group(end: &End, acknowledged: usize, terms: &Terms) -> Vec<Violation> {
    let group = &end.group;
    if !end.finished {
        return vec![Violation::Stuck(format!("group {group} has not ended"))];
    }
    if let Some(code) = terms.unreadable.get(group) {
        let by_name = end.total == 0 && end.jobs.is_empty() && end.refused == [code.as_str()];
        let detail = || format!("group {group} should have failed as {code}, and is {end:?}");
        return if by_name { Vec::new() } else { vec![Violation::Lost(detail())] };
    }
    let mut violations = Vec::new();
    let jobs: HashSet<&str> = end.jobs.iter().map(|job| job.job.as_str()).collect();
    if jobs.len() != acknowledged || end.jobs.len() != acknowledged {
        let (found, listed) = (jobs.len(), end.jobs.len());
        let detail = format!(
            "group {group} was acknowledged with {acknowledged} jobs and lists {listed}, {found} of them different"
        );
        violations.push(Violation::Lost(detail));
    }
    let succeeded = end.jobs.iter().filter(|job| matches!(job.outcome, Outcome::Succeeded { .. })).count();
    let said = (end.total, end.succeeded, end.failed, end.cancelled);
    let truth = (end.jobs.len(), succeeded, end.jobs.len() - succeeded, 0);
    if said != truth {
        let detail = format!("group {group} says (total, succeeded, failed, cancelled) {said:?}, its jobs {truth:?}");
        violations.push(Violation::Miscounted(detail));
    }
    for JobEnd { job, outcome } in &end.jobs {
        let lost = match (outcome, terms.failing.get(group)) {
            (Outcome::Failed { code }, _) if terms.damaged && DAMAGED.contains(&code.as_str()) => None,
            (Outcome::Succeeded { whole, .. }, None) => (!whole).then(|| "its files are not all there".to_owned()),
            (Outcome::Failed { code }, None) => Some(format!("it failed as {code}")),
            (Outcome::Succeeded { .. }, Some(code)) => Some(format!("it succeeded and should have failed as {code}")),
            (Outcome::Failed { code }, Some(right)) => {
                (code != right).then(|| format!("it failed as {code} and should have as {right}"))
            }
        };
        violations.extend(lost.map(|detail| Violation::Lost(format!("job {job} of group {group}: {detail}"))));
    }
    violations
}

/// Which runs of each job were begun and which published.
struct Runs<'a> {
    started: HashMap<&'a str, usize>,
    published: HashMap<&'a str, Vec<&'a str>>,
}

impl<'a> Runs<'a> {
    fn of(history: &'a [Entry], terms: &Terms) -> Self {
        let mut runs = Self { started: HashMap::new(), published: HashMap::new() };
        for entry in history {
            match &entry.what {
                What::Started { job, .. } => *runs.started.entry(job).or_default() += 1,
                What::Settled { job, run, outcome }
                    if outcome == "succeeded" && terms.forgotten_at.is_none_or(|forgotten| entry.at > forgotten) =>
                {
                    runs.published.entry(job).or_default().push(run);
                }
                _ => {}
            }
        }
        runs
    }
}

/// The jobs that run at the first fault in the programs it hits.
pub fn disturbed(history: &[Entry]) -> HashSet<&str> {
    let mut running: HashMap<(&str, &str), &str> = HashMap::new();
    for entry in history {
        match &entry.what {
            What::Started { job, run, .. } => {
                running.insert((job, run), &entry.by);
            }
            What::Settled { job, run, .. } => {
                running.remove(&(job.as_str(), run.as_str()));
            }
            What::Injected { hit } => {
                running.retain(|_, program| hit.is_empty() || hit.iter().any(|hit| hit == program));
                return running.into_keys().map(|(job, _)| job).collect();
            }
            _ => {}
        }
    }
    HashSet::new()
}

/// None while a disturbed job does not run again, and where none was disturbed.
pub fn recovery(history: &[Entry]) -> Option<Recovery> {
    let jobs = disturbed(history);
    let injected = history.iter().find(|entry| matches!(entry.what, What::Injected { .. }))?.at;
    let whole = history.iter().rfind(|entry| entry.what == What::Healed).map_or(injected, |entry| entry.at);
    let since = |at: Timestamp| Duration::try_from(at.duration_since(whole)).unwrap_or_default();
    let mut slowest: Option<Recovery> = None;
    for job in jobs {
        let mut after = history.iter().filter(|entry| entry.at > injected && of(entry, job));
        let again = since(after.next()?.at);
        let end = after.next_back().map_or(again, |entry| since(entry.at));
        let sofar = slowest.unwrap_or(Recovery { again, end });
        slowest = Some(Recovery { again: sofar.again.max(again), end: sofar.end.max(end) });
    }
    slowest
}

fn of(entry: &Entry, wanted: &str) -> bool {
    match &entry.what {
        What::Started { job, .. } => job == wanted,
        What::Settled { job, outcome, .. } => job == wanted && outcome != "lost",
        _ => false,
    }
}
