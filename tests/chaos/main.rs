//! The chaos suite: real services and workers, real faults in the middle of their work, and a judge over what was
//! said and what is left. `scripts/chaos` runs it in full, `scripts/test` one quick round of each fault.
#![allow(clippy::unwrap_used, reason = "a panic breaks the round off, and is its violation")]
#![allow(unreachable_pub, reason = "everything here is for this binary alone")]

mod check;
mod faults;
mod history;
mod program;
mod report;
mod stage;
#[path = "../it/support/mod.rs"]
#[allow(dead_code, reason = "shared with the integration tests, which use the rest")]
mod support;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use futures::{FutureExt, StreamExt};

use check::{Verdict, Violation};
use faults::{FAULTS, Fault};
use report::Round;
use stage::{Kind, Pace, Stage};

/// Breaks running services in every way that they must survive, and checks that they do.
///
/// Without options: one quick round of each fault.
#[derive(Debug, Parser)]
struct Args {
    /// Only faults with one of these in their names.
    filters: Vec<String>,
    /// Rounds of each fault.
    #[arg(long, value_name = "N")]
    rounds: Option<u64>,
    /// At the settings as they are by default, instead of scaled down.
    #[arg(long)]
    shipped: bool,
    /// Only this fault; may be given again.
    #[arg(long, value_name = "NAME")]
    fault: Vec<String>,
    /// Only on this broker: redis or sqlite.
    #[arg(long, value_name = "BROKER", value_parser = ["redis", "sqlite"])]
    broker: Option<String>,
    /// What the rounds draw their moments from, the round's number added.
    #[arg(long, default_value_t = fastrand::u64(..1_000_000))]
    seed: u64,
    /// Rounds at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Taken along by `cargo test -- --nocapture`, and the way it always is.
    #[arg(long, hide = true)]
    nocapture: bool,
}

impl Args {
    fn pace(&self) -> Pace {
        match (self.shipped, self.rounds) {
            (true, _) => Pace::SHIPPED,
            (false, Some(_)) => Pace::SCALED,
            (false, None) => Pace::SHORT,
        }
    }

    fn wants(&self, fault: &Fault) -> bool {
        let fits = self.filters.is_empty() || self.filters.iter().any(|filter| fault.name.contains(filter));
        fits && (self.fault.is_empty() || self.fault.iter().any(|name| name == fault.name))
    }

    fn plan(&self) -> Vec<(&'static Fault, Kind, u64)> {
        let kinds = |fault: &'static Fault| {
            let wanted = |kind: &&Kind| self.broker.as_ref().is_none_or(|broker| broker == kind.as_str());
            fault.brokers.iter().filter(wanted).map(move |kind| (fault, *kind))
        };
        let each = FAULTS.iter().filter(|fault| self.wants(fault)).flat_map(kinds);
        each.flat_map(|(fault, kind)| (0..self.rounds.unwrap_or(1)).map(move |number| (fault, kind, number))).collect()
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(unknown) = args.fault.iter().find(|name| FAULTS.iter().all(|fault| fault.name != **name)) {
        let known: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
        eprintln!("--fault: unknown fault `{unknown}`; known: {}", known.join(", "));
        return ExitCode::from(2);
    }
    let home = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{}", std::process::id()));
    let rounds: Vec<Round> = futures::stream::iter(args.plan())
        .map(|(fault, kind, number)| play(fault, kind, args.seed + number, &home, args.pace()))
        .buffer_unordered(args.jobs)
        .inspect(|round| println!("{round}"))
        .collect()
        .await;
    // Only the folders of failed rounds are still in it.
    let _ = std::fs::remove_dir(&home);
    println!("\n{}", report::table(&rounds));
    if rounds.iter().all(|round| round.verdict.violations.is_empty()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One round in a folder of its own, which is kept when it fails.
async fn play(fault: &'static Fault, kind: Kind, seed: u64, home: &Path, pace: Pace) -> Round {
    let folder = home.join(format!("{}-{}-{seed}", fault.name, kind.as_str()));
    std::fs::create_dir_all(&folder).unwrap();
    let started = Instant::now();
    let mut stage = Stage::new(&folder, kind, pace, seed);
    let played = AssertUnwindSafe(async move {
        (fault.inject)(&mut stage).await;
        stage.conclude().await
    });
    let verdict = played
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| Verdict { violations: vec![Violation::Broken(said(&*panic))], ..Verdict::default() });
    let kept = if verdict.violations.is_empty() {
        std::fs::remove_dir_all(&folder).unwrap();
        None
    } else {
        Some(folder)
    };
    Round { fault: fault.name, kind, seed, verdict, took: started.elapsed(), kept }
}

/// What a round that broke off panicked with.
fn said(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}
