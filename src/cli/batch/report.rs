//! What a batch tells people and programs: the progress bar, plain lines where there is no terminal,
//! a JSON line a picture with `--json`, and the summary.
//!
//! People are told on stderr; stdout is for `--json` alone.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::picture::Picture;
use super::sources::Progress;
use crate::errors::Failure;

/// Most failures that are listed again at the end. Every failure is reported when it happens.
const KEPT_FAILURES: usize = 100;
/// Pictures that wait for another round of `--on-error retry`.
const KEPT_AGAIN: usize = 10_000;
/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// One result file where it is to stay.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Made {
    #[serde(skip)]
    pub(super) path: PathBuf,
    /// The end of its name: `0-resize.jpg`.
    pub(super) file: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// Absent for an answer; so is the height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) height: Option<u32>,
    /// Of an animation; so is the time of one round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) frames: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) duration_ms: Option<u64>,
    pub(super) bytes: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<String>,
}

/// How a picture ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

/// What is done about a picture that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum OnError {
    Continue,
    // Begins nothing more.
    Stop,
    // Goes on, and at the end takes those again whose failure may pass.
    Retry,
}

/// What is told, and to whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Voice {
    pub(super) json: bool,
    pub(super) quiet: bool,
}

pub(super) struct Report {
    bar: ProgressBar,
    voice: Voice,
    on_error: OnError,
    progress: Arc<Progress>,
    counts: Counts,
    failed_by: BTreeMap<String, u64>,
    failures: Vec<(String, Failure)>,
    /// For the next round.
    again: Vec<Picture>,
    rounds_left: u32,
    /// The pictures at hand have failed before in this run.
    again_now: bool,
    started: Instant,
    next_line: Option<Instant>,
    /// Other lines were written after the first failure.
    said_since: bool,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Counts {
    pub(super) done: u64,
    pub(super) already_done: u64,
    pub(super) failed: u64,
    /// Of the sources that were done in this run, and of their results.
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) results: u64,
}

impl Counts {
    pub(super) fn ended(self) -> u64 {
        self.done + self.already_done + self.failed
    }
}

impl Report {
    pub(super) fn new(progress: Arc<Progress>, voice: Voice, on_error: OnError, rounds: u32) -> Self {
        let terminal = io::stderr().is_terminal() && !voice.quiet;
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{spinner} {wide_bar:.green/dim} {percent:>3}%  {msg}")
            .expect("the template is well formed");
        let bar = ProgressBar::with_draw_target(Some(1), target).with_style(style.progress_chars("━━─"));
        if terminal {
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        let started = Instant::now();
        let mut report = Self {
            bar,
            voice,
            on_error,
            progress,
            counts: Counts::default(),
            failed_by: BTreeMap::new(),
            failures: Vec::new(),
            again: Vec::new(),
            rounds_left: if on_error == OnError::Retry { rounds } else { 0 },
            again_now: false,
            started,
            next_line: (!terminal && !voice.quiet).then_some(started + LINE_EVERY),
            said_since: false,
        };
        report.tick();
        report
    }

    /// Counts a picture that has ended, or keeps it for the next round. Answers whether to go on.
    pub(super) fn ended(&mut self, picture: Picture, here: &Path, bytes: u64, ending: Ending) -> bool {
        match &ending {
            Ending::Failed(failure) if failure.retryable && self.rounds_left > 0 && self.again.len() < KEPT_AGAIN => {
                self.again.push(picture);
                true
            }
            // Its results were made before, and only now found their place.
            Ending::AlreadyDone { outputs } if self.again_now => {
                let ending = Ending::Done { outputs: outputs.clone(), duration_ms: None };
                self.told(&picture.name(here), bytes, ending)
            }
            _ => self.told(&picture.name(here), bytes, ending),
        }
    }

    /// The same for what never became a picture.
    pub(super) fn told(&mut self, name: &str, bytes: u64, ending: Ending) -> bool {
        let goes_on = !matches!(ending, Ending::Failed(_)) || self.on_error != OnError::Stop;
        let line = match ending {
            Ending::Done { outputs, duration_ms } => {
                self.counts.done += 1;
                self.counts.bytes_in += bytes;
                self.counts.bytes_out += outputs.iter().map(|made| made.bytes).sum::<u64>();
                self.counts.results += outputs.len() as u64;
                // One for all: they are of the source.
                if let Some(warning) = outputs.iter().flat_map(|made| &made.warnings).next() {
                    self.say(format_args!("{}: {warning}", visible(name)));
                }
                let outputs = outputs.iter().map(output).collect::<Vec<_>>();
                json!({"image": name, "status": "done", "outputs": outputs, "duration_ms": duration_ms})
            }
            Ending::AlreadyDone { outputs } => {
                self.counts.already_done += 1;
                let outputs = outputs.iter().map(output).collect::<Vec<_>>();
                json!({"image": name, "status": "already-done", "outputs": outputs})
            }
            Ending::Failed(failure) => {
                self.counts.failed += 1;
                *self.failed_by.entry(failure.code.to_string()).or_default() += 1;
                let line = json!({"image": name, "status": "failed", "error": failure});
                self.bar.suspend(|| eprintln!("{}", failed(name, &failure)));
                if self.failures.len() < KEPT_FAILURES {
                    self.failures.push((name.to_owned(), failure));
                }
                line
            }
        };
        self.json_line(&line);
        self.tick();
        goes_on
    }

    /// Has the bar, or a line when one is due, say how things stand.
    pub(super) fn tick(&mut self) {
        let (total, _) = self.progress.total();
        self.bar.set_length(total.max(1));
        self.bar.set_position(self.counts.ended());
        self.bar.set_message(self.line());
        if self.next_line.is_some_and(|due| due <= Instant::now()) {
            self.next_line = Some(Instant::now() + LINE_EVERY);
            self.said_since |= !self.failures.is_empty();
            eprintln!("{}", self.line());
        }
    }

    /// A remark between two states of the bar.
    pub(super) fn say(&mut self, remark: impl Display) {
        if !self.voice.quiet {
            self.said_since |= !self.failures.is_empty();
            self.bar.suspend(|| eprintln!("{remark}"));
        }
    }

    /// The pictures of the next round, which has begun herewith.
    pub(super) fn another_round(&mut self) -> Vec<Picture> {
        self.rounds_left = self.rounds_left.saturating_sub(1);
        self.again_now = true;
        std::mem::take(&mut self.again)
    }

    /// Whether every picture there is has ended.
    pub(super) fn is_whole(&self) -> bool {
        self.progress.is_walked() && self.counts.ended() == self.progress.total().0
    }

    /// Writes the summary; `remark` says how a stopped run goes on.
    pub(super) fn finish(self, out: &Path, remark: Option<&str>) -> Counts {
        self.bar.finish_and_clear();
        self.json_line(&self.summary(remark.is_some()));
        // Other lines have moved them out of sight.
        if self.said_since {
            for (name, failure) in &self.failures {
                eprintln!("{}", failed(name, failure));
            }
            let kept = self.failures.len() as u64;
            if self.counts.failed > kept {
                eprintln!("… and {} more, listed above when they failed", HumanCount(self.counts.failed - kept));
            }
        }
        if !self.voice.quiet {
            eprint!("{}", self.table(out));
        }
        if let Some(remark) = remark {
            eprintln!("{remark}");
        }
        self.counts
    }

    /// The summary of a run that found nothing to do.
    pub(super) fn finish_empty(self, out: &Path) -> std::process::ExitCode {
        self.finish(out, None);
        std::process::ExitCode::SUCCESS
    }

    fn summary(&self, stopped: bool) -> Value {
        let (total, whole) = self.progress.total();
        let mut line = json!({"summary": true, "stopped": stopped, "total": total, "total_is_known": whole});
        let passed: serde_json::Map<String, Value> =
            self.progress.passed_over().into_iter().map(|(why, count)| (why.code().into(), count.into())).collect();
        let rounded = |number: f64, to: f64| (number * to).round() / to;
        let fields = line.as_object_mut().expect("it was written as one");
        if let Value::Object(counts) = json!(self.counts) {
            fields.extend(counts);
        }
        fields.insert("failed_by".into(), json!(self.failed_by));
        fields.insert("passed_over".into(), passed.into());
        fields.insert("seconds".into(), rounded(self.started.elapsed().as_secs_f64(), 1e3).into());
        fields.insert("images_per_second".into(), rounded(self.rate(), 10.0).into());
        line
    }

    fn table(&self, out: &Path) -> String {
        let counts = self.counts;
        let reasons = |reasons: Vec<(String, u64)>| {
            let told: Vec<String> =
                reasons.into_iter().map(|(reason, count)| format!("{} {reason}", HumanCount(count))).collect();
            told.join(", ")
        };
        let made = match counts.results {
            0 => String::new(),
            1 => format!("1 result, {} from {}", DecimalBytes(counts.bytes_out), DecimalBytes(counts.bytes_in)),
            results => format!(
                "{} results, {} from {}",
                HumanCount(results),
                DecimalBytes(counts.bytes_out),
                DecimalBytes(counts.bytes_in)
            ),
        };
        let failed = reasons(self.failed_by.clone().into_iter().collect());
        let over = self.progress.passed_over();
        let left_out = over.iter().map(|(_, count)| count).sum();
        let over = reasons(over.into_iter().map(|(why, count)| (why.words().to_owned(), count)).collect());
        let (total, whole) = self.progress.total();
        let time = format!("in {}, {:.1} pictures/s", clock(self.started.elapsed()), self.rate());
        let in_all = if whole { "of" } else { "of at least" };
        let mut table = String::new();
        for (what, count, more, always) in [
            ("done", counts.done, made, true),
            ("already done", counts.already_done, String::new(), false),
            ("failed", counts.failed, failed, true),
            ("passed over", left_out, over, false),
            (in_all, total, time, true),
        ] {
            if always || count > 0 {
                let line = format!("{what:<12} {:>9}  {more}", HumanCount(count).to_string());
                let _ = writeln!(table, "{}", line.trim_end());
            }
        }
        let _ = writeln!(table, "results in {}", visible(&out.display().to_string()));
        table
    }

    /// Pictures that this run itself has ended, a second.
    fn rate(&self) -> f64 {
        (self.counts.done + self.counts.failed) as f64 / self.started.elapsed().as_secs_f64().max(1e-3)
    }

    fn line(&self) -> String {
        let (ended, rate, failed) = (self.counts.ended(), self.rate(), self.counts.failed);
        let (total, whole) = self.progress.total();
        let left = match total.saturating_sub(ended) {
            _ if !whole => "still counting".into(),
            0 => "nothing left".into(),
            left if rate > 0.0 => {
                format!("{} left", HumanDuration(Duration::from_secs_f64((left as f64 / rate).min(1e9))))
            }
            _ => "…".into(),
        };
        let more = if whole { "" } else { "+" };
        format!("{}/{}{more} · {failed} failed · {rate:.1}/s · {left}", HumanCount(ended), HumanCount(total))
    }

    fn json_line(&self, line: &Value) {
        if self.voice.json {
            // Whoever reads may have gone; the pictures are wanted all the same.
            self.bar.suspend(|| drop(writeln!(io::stdout(), "{line}")));
        }
    }
}

/// A result as `--json` tells it.
fn output(made: &Made) -> Value {
    let mut line = serde_json::Map::from_iter([("path".to_owned(), made.path.to_string_lossy().into())]);
    if let Value::Object(fields) = json!(made) {
        line.extend(fields.into_iter().filter(|(name, _)| name != "file"));
    }
    line.into()
}

fn failed(name: &str, failure: &Failure) -> String {
    format!("failed: {}: {}: {}", visible(name), failure.code, visible(&failure.detail))
}

/// A file's name shall not steer the terminal.
pub(super) fn visible(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3_600, seconds / 60 % 60) {
        (0, 0) => format!("{:.1} s", time.as_secs_f64()),
        (0, minutes) => format!("{minutes}m {}s", seconds % 60),
        (hours, minutes) => format!("{hours}h {minutes}m"),
    }
}
