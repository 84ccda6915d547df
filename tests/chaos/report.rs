//! A line for each round, and the table over all of them.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::check::{Recovery, Verdict, Violation};
use crate::stage::Kind;

pub struct Round {
    pub fault: &'static str,
    pub kind: Kind,
    pub seed: u64,
    pub verdict: Verdict,
    pub took: Duration,
    /// The folder with its logs and history, where something went wrong.
    pub kept: Option<PathBuf>,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, kind, seed, verdict, took, kept } = self;
        let word = if kept.is_some() { "FAILED" } else { "ok" };
        write!(f, "{word:<6} {fault} on {} (seed {seed}): ", kind.as_str())?;
        write!(f, "{} jobs, {} duplicate executions", verdict.jobs, verdict.duplicates)?;
        if let Some(Recovery { again, end }) = verdict.recovery {
            write!(f, ", running again after {again:.2?}, done after {end:.2?}")?;
        }
        write!(f, " [{:.1} s]", took.as_secs_f64())?;
        for violation in &verdict.violations {
            write!(f, "\n       {violation}")?;
        }
        kept.iter().try_for_each(|folder| write!(f, "\n       kept: {}", folder.display()))
    }
}

/// In Markdown, a row for each fault and broker.
pub fn table(rounds: &[Round]) -> String {
    let mut rows: Vec<(&str, &str)> = rounds.iter().map(|round| (round.fault, round.kind.as_str())).collect();
    rows.sort_unstable();
    rows.dedup();
    let head = "| fault | broker | rounds | jobs | lost | published twice | stuck groups | other violations \
                | duplicate executions | runs again: p50 / p99 / max | done: p50 / p99 / max |\n\
                |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n";
    let lines = rows.into_iter().map(|(fault, broker)| {
        let those = || {
            let of = move |round: &&Round| (round.fault, round.kind.as_str()) == (fault, broker);
            rounds.iter().filter(of).map(|round| &round.verdict)
        };
        let count = |wanted: fn(&Violation) -> bool| {
            those().flat_map(|verdict| &verdict.violations).filter(|violation| wanted(violation)).count()
        };
        let lost = count(|violation| matches!(violation, Violation::Lost(_)));
        let doubled = count(|violation| matches!(violation, Violation::Doubled(_)));
        let stuck = count(|violation| matches!(violation, Violation::Stuck(_)));
        let others = count(|_| true) - lost - doubled - stuck;
        let jobs: usize = those().map(|verdict| verdict.jobs).sum();
        let duplicates: usize = those().map(|verdict| verdict.duplicates).sum();
        let recoveries: Vec<Recovery> = those().filter_map(|verdict| verdict.recovery).collect();
        let again = quantiles(recoveries.iter().map(|recovery| recovery.again));
        let end = quantiles(recoveries.iter().map(|recovery| recovery.end));
        format!(
            "| {fault} | {broker} | {} | {jobs} | {lost} | {doubled} | {stuck} | {others} | {duplicates} | {again} | {end} |\n",
            those().count()
        )
    });
    head.to_owned() + &lines.collect::<String>()
}

fn quantiles(times: impl Iterator<Item = Duration>) -> String {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    let Some(&max) = times.last() else { return "–".into() };
    // The nearest rank.
    let quantile = |share: f64| times[((times.len() as f64 * share).ceil() as usize).max(1) - 1].as_secs_f64();
    format!("{:.2} / {:.2} / {:.2} s", quantile(0.5), quantile(0.99), max.as_secs_f64())
}
