//! The command line as people meet it: the real binary, its output, its exit codes, its files.

mod batch;
mod batch_errors;
mod batch_resume;
mod batch_sources;
mod control;
mod inspect;
mod keys;
mod manual;
mod post;
mod process;
mod remote;
mod workflow;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes on a slow machine.
const DEADLINE: Duration = Duration::from_mins(2);

/// A folder of its own, and the binary run in it.
pub struct Desk {
    home: TempDir,
}

impl Desk {
    pub fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Puts one of the drawn pictures here under another name.
    pub fn put(&self, fixture: &str, name: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::copy(fixture_path(fixture), self.path(name)).unwrap();
    }

    /// Half of a JPEG.
    pub fn put_broken(&self, name: &str) {
        let whole = std::fs::read(fixture_path("photo.jpg")).unwrap();
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), &whole[..whole.len() / 2]).unwrap();
    }

    pub fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pixmill"));
        command.args(line).current_dir(self.home.path()).stdin(Stdio::null()).env_remove("PIXMILL_API_KEY");
        command
    }

    pub fn run(&self, line: &[&str]) -> Output {
        self.command(line).output().unwrap()
    }

    /// Width and height of a picture here.
    pub fn size(&self, name: &str) -> (u32, u32) {
        let file = std::io::BufReader::new(std::fs::File::open(self.path(name)).unwrap());
        let header = imaging::probe(file, &imaging::Limits::default());
        let header = header.unwrap_or_else(|error| panic!("{name}: {error}"));
        (header.width, header.height)
    }
}

pub fn fixture_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What `--json` printed: a value a line, the summary last.
pub fn json_lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A running binary whose stdout is read line by line; killed when dropped.
pub struct Running {
    pub child: Child,
    lines: Receiver<String>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (said, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).all(|line| said.send(line).is_ok()));
        Self { child, lines }
    }

    pub fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("the binary says something in time")
    }

    /// What it still says until it ends.
    pub fn rest(&self) -> Vec<String> {
        self.lines.iter().collect()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
