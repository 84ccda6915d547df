//! Fuzzing: mutated pictures through every decoder, and mutated JSON through the parser of operations. `scripts/fuzz` runs
//! it for as long as one likes, `scripts/test` a short round of each target.
//!
//! A process of its own computes the cases and says which it is at, so that one that crashes or hangs is known; the next
//! process goes on behind it. A case follows from its seed and number alone and can be had again. What is looked for:
//! a process that dies, a case that takes too long, memory above the estimate, a panic in code of ours, an error that
//! blames us for what a file says.
#![allow(clippy::unwrap_used, reason = "a panic ends the run, and is its violation")]
#![allow(unreachable_pub, reason = "everything here is for this binary alone")]

mod memory;
mod mutate;
mod seeds;
mod targets;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use clap::Parser;

use targets::Target;

/// A case that takes longer is a fault.
const LONGEST: Duration = Duration::from_secs(10);
/// Cases of each target where no time is given.
const SHORT: u64 = 150;

/// Mutates pictures and operations, and looks for what breaks.
///
/// Without options: a short round of each target.
#[derive(Debug, Parser)]
struct Args {
    /// Only targets with one of these in their names.
    filters: Vec<String>,
    /// For so long, shared among the targets.
    #[arg(long, value_name = "N")]
    minutes: Option<f64>,
    /// Only this target; may be given again.
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
    /// What the cases follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes one case to a file instead: with --target and --seed.
    #[arg(long, value_name = "NUMBER")]
    case: Option<u64>,
    /// Computes the cases of one target from this number on, and says so on standard output.
    #[arg(long, hide = true, value_name = "NUMBER")]
    work_from: Option<u64>,
    /// Taken along by `cargo test -- --nocapture`.
    #[arg(long, hide = true)]
    nocapture: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(unknown) = args.target.iter().find(|name| Target::named(name).is_none()) {
        eprintln!("--target: unknown target `{unknown}`; known: {}", Target::names().join(", "));
        return ExitCode::from(2);
    }
    let wanted: Vec<Target> = Target::ALL
        .into_iter()
        .filter(|target| args.target.is_empty() || args.target.iter().any(|name| name == target.name()))
        .filter(|target| args.filters.is_empty() || args.filters.iter().any(|filter| target.name().contains(filter)))
        .collect();
    if let (Some(from), [target]) = (args.work_from, wanted.as_slice()) {
        return targets::work(*target, args.seed, from);
    }
    if let (Some(number), [target]) = (args.case, wanted.as_slice()) {
        let path = save(*target, args.seed, number, "case");
        println!("{}", path.display());
        return ExitCode::SUCCESS;
    }
    let share = args.minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0 / wanted.len().max(1) as f64));
    let mut faults = 0;
    for target in wanted {
        faults += hunt(target, args.seed, share);
    }
    if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a target's cases; the number of faults found.
fn hunt(target: Target, seed: u64, share: Option<Duration>) -> usize {
    let started = Instant::now();
    let over = |number: u64| share.map_or(number >= SHORT, |share| started.elapsed() >= share);
    let (mut number, mut found, mut last) = (0, 0, String::new());
    while !over(number) {
        let worker = Worker::start(target, seed, number);
        loop {
            match worker.lines.recv_timeout(LONGEST) {
                Ok(line) => {
                    if let Some(said) = line.strip_prefix("case ") {
                        number = said.parse().unwrap();
                        if over(number) {
                            break;
                        }
                    } else if let Some(fault) = line.strip_prefix("fault ") {
                        found += 1;
                        tell(target, seed, number, fault);
                    } else {
                        last = line;
                    }
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => tell(target, seed, number, "hang"),
                Err(RecvTimeoutError::Disconnected) => tell(target, seed, number, "crash"),
            }
            found += 1;
            number += 1;
            break;
        }
        worker.end();
    }
    println!(
        "{:<11} {number:>9} cases in {:>6.1} s, {found} faults  {last}",
        target.name(),
        started.elapsed().as_secs_f64()
    );
    found
}

fn tell(target: Target, seed: u64, number: u64, fault: &str) {
    let kind = fault.split([' ', ':']).next().unwrap_or("fault");
    let path = save(target, seed, number, kind);
    println!("FAULT {} seed {seed} case {number}: {fault}\n      {}", target.name(), path.display());
}

fn save(target: Target, seed: u64, number: u64, kind: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{}-{kind}-{seed}-{number}", target.name()));
    std::fs::write(&path, targets::case(&seeds::of(target), target, seed, number)).unwrap();
    path
}

/// A process that computes cases.
struct Worker {
    process: Child,
    lines: mpsc::Receiver<String>,
}

impl Worker {
    fn start(target: Target, seed: u64, from: u64) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--target", target.name(), "--seed", &seed.to_string(), "--work-from", &from.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pipe = process.stdout.take().unwrap();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { process, lines }
    }

    fn end(mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::io::stdout().flush();
    }
}
