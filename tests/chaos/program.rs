//! A `pixmill` process whose log is a file; killed when dropped.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::history::{Entry, of_log};
use crate::support::faketime::{self, FakeClock};
use crate::support::until;

/// What a clock is set back by while programs run.
pub const SET_BACK: SignedDuration = SignedDuration::from_hours(1);

pub struct Program {
    pub name: String,
    log: PathBuf,
    /// How far its clock is ahead.
    skew: SignedDuration,
    started: Timestamp,
    child: Child,
}

impl Program {
    /// Starts it with its standard error appended to `logs/<name>.log`.
    pub fn start(
        name: &str,
        logs: &Path,
        command: &mut Command,
        clock: Option<&FakeClock>,
        skew: SignedDuration,
    ) -> Self {
        let log = logs.join(format!("{name}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        if let Some(clock) = clock {
            clock.preload(command);
        } else if !skew.is_zero() {
            // Deadlines and intervals stay real: another machine's clock, not a leap of this one's.
            faketime::preload(command).env("FAKETIME", format!("{:+}", skew.as_secs()));
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Self { name: name.into(), log, skew, started: Timestamp::now(), child }
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    pub fn history(&self) -> Vec<Entry> {
        let mut history = of_log(&self.name, &self.log, self.skew);
        // What it said after its clock was set back happened when the clock said more.
        for entry in history.iter_mut().filter(|entry| entry.at < self.started - SET_BACK / 2) {
            entry.at += SET_BACK;
        }
        history
    }

    pub async fn says(&self, words: &str) {
        until(&format!("{} says `{words}`", self.name), async || self.log().contains(words).then_some(())).await;
    }

    pub fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// As a crash or the kernel's memory killer would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end; answers whether it came in time.
    pub async fn ends(&mut self, patience: Duration) -> bool {
        // One that has been waited for is nobody's child any more.
        if !self.ended() {
            let process = WaitId::Pid(Pid::from_child(&self.child));
            let end = spawn_blocking(move || waitid(process, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT));
            let _ = timeout(patience, end).await;
        }
        self.ended()
    }

    /// The processes that it started.
    pub fn children(&self) -> Vec<Pid> {
        let parent = self.child.id().to_string();
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        ids.filter(|id| {
            // Behind the name, which may have spaces and brackets: state, parent, …
            let about = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            let behind = about.rsplit(')').next().unwrap_or_default();
            behind.split_whitespace().nth(1) == Some(parent.as_str())
        })
        .filter_map(Pid::from_raw)
        .collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        faketime::tidy(Pid::from_child(&self.child));
    }
}
