//! What a batch tells people and programs: the progress bar, plain lines where there is no terminal,
//! a JSON line a picture with `--json`, and the summary.
//!
//! People are told on stderr; stdout is for `--json` alone.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};

use crate::job::Failure;

/// Failures that are kept for the summary; the rest is counted.
const KEPT_FAILURES: usize = 1_000;
/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// One result file where it is to stay.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Made {
    pub(super) path: PathBuf,
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// Absent where nobody has looked into the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) height: Option<u32>,
    /// Of an animation; so is the time of one round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) frames: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration_ms: Option<u64>,
    pub(super) bytes: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<String>,
}

/// How a picture ended.
#[derive(Debug, Clone)]
pub(super) enum Ending {
    Done {
        outputs: Vec<Made>,
        duration_ms: Option<u64>,
    },
    /// In an earlier run.
    AlreadyDone {
        outputs: Vec<Made>,
    },
    Failed(Failure),
}

#[derive(Debug)]
pub(super) struct Report {
    bar: ProgressBar,
    json: bool,
    counts: Counts,
    failures: Vec<(String, Failure)>,
    started: Instant,
    next_line: Option<Instant>,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Counts {
    pub(super) total: u64,
    pub(super) done: u64,
    pub(super) already_done: u64,
    pub(super) failed: u64,
}

impl Counts {
    pub(super) fn ended(&self) -> u64 {
        self.done + self.already_done + self.failed
    }
}

impl Report {
    pub(super) fn new(total: usize, json: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{spinner} {wide_bar:.green/dim} {percent:>3}%  {msg}")
            .expect("the template is well formed");
        let bar = ProgressBar::with_draw_target(Some(total as u64), target).with_style(style.progress_chars("━━─"));
        if terminal {
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        let started = Instant::now();
        let report = Self {
            bar,
            json,
            counts: Counts { total: total as u64, ..Counts::default() },
            failures: Vec::new(),
            started,
            next_line: (!terminal).then_some(started + LINE_EVERY),
        };
        report.bar.set_message(report.line());
        report
    }

    /// Counts a picture that has ended.
    pub(super) fn ended(&mut self, name: &str, ending: Ending) {
        let line = match ending {
            Ending::Done { outputs, duration_ms } => {
                self.counts.done += 1;
                // One for all: they are of the source.
                if let Some(warning) = outputs.iter().flat_map(|made| &made.warnings).next() {
                    self.bar.suspend(|| eprintln!("{name}: {warning}"));
                }
                json!({"image": name, "status": "done", "outputs": outputs, "duration_ms": duration_ms})
            }
            Ending::AlreadyDone { outputs } => {
                self.counts.already_done += 1;
                json!({"image": name, "status": "already-done", "outputs": outputs})
            }
            Ending::Failed(failure) => {
                self.counts.failed += 1;
                let line = json!({"image": name, "status": "failed", "error": failure});
                if self.failures.len() < KEPT_FAILURES {
                    self.failures.push((name.to_owned(), failure));
                }
                line
            }
        };
        self.json_line(&line);
        self.bar.set_position(self.counts.ended());
        self.bar.set_message(self.line());
        if self.next_line.is_some_and(|due| due <= Instant::now()) {
            self.next_line = Some(Instant::now() + LINE_EVERY);
            eprintln!("{}", self.line());
        }
    }

    /// A remark between two states of the bar.
    pub(super) fn say(&self, remark: impl Display) {
        self.bar.suspend(|| eprintln!("{remark}"));
    }

    /// Writes the summary; `resume` says how a stopped run goes on.
    pub(super) fn finish(self, out: &Path, resume: Option<&str>) -> Counts {
        self.bar.finish_and_clear();
        let counts = self.counts;
        let seconds = self.started.elapsed().as_secs_f64();
        let mut line = json!(counts);
        line["summary"] = true.into();
        line["stopped"] = resume.is_some().into();
        line["seconds"] = ((seconds * 1e3).round() / 1e3).into();
        line["images_per_second"] = ((self.rate() * 10.0).round() / 10.0).into();
        self.json_line(&line);
        for (name, failure) in &self.failures {
            eprintln!("failed: {name}: {}: {}", failure.code, failure.detail);
        }
        if counts.failed as usize > self.failures.len() {
            eprintln!("… and {} more failed; --json lists them all", counts.failed as usize - self.failures.len());
        }
        let already = match counts.already_done {
            0 => String::new(),
            already => format!("{} already done before, ", HumanCount(already)),
        };
        eprintln!(
            "{} done, {already}{} failed of {} in {seconds:.1} s ({:.1} pictures/s); results in {}",
            HumanCount(counts.done),
            HumanCount(counts.failed),
            HumanCount(counts.total),
            self.rate(),
            out.display()
        );
        if let Some(resume) = resume {
            eprintln!("{resume}");
        }
        counts
    }

    /// Pictures that this run itself has ended, a second.
    fn rate(&self) -> f64 {
        (self.counts.done + self.counts.failed) as f64 / self.started.elapsed().as_secs_f64().max(1e-3)
    }

    fn line(&self) -> String {
        let Counts { total, failed, .. } = self.counts;
        let (ended, rate) = (self.counts.ended(), self.rate());
        let left = match rate {
            rate if rate > 0.0 => {
                let left = Duration::from_secs_f64((total - ended) as f64 / rate);
                format!("{} left", HumanDuration(left))
            }
            _ => "…".into(),
        };
        format!("{}/{} · {failed} failed · {rate:.1}/s · {left}", HumanCount(ended), HumanCount(total))
    }

    fn json_line(&self, line: &Value) {
        if self.json {
            // Whoever reads may have gone; the pictures are wanted all the same.
            self.bar.suspend(|| drop(writeln!(io::stdout(), "{line}")));
        }
    }
}
