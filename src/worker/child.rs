//! A child process, as its worker sees it.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child as Process, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tracing::warn;

use super::event::Event;
use super::wire::{self, Answer};

/// glibc's malloc returns large blocks to the kernel at once and gets them again, page by page, for the next picture.
/// If it keeps up to 128 MiB per thread instead, the default job takes a tenth less processor time, and an adjustment a
/// third less.
const ALLOCATOR: [(&str, &str); 2] =
    [("MALLOC_MMAP_THRESHOLD_", "1073741824"), ("MALLOC_TRIM_THRESHOLD_", "134217728")];

/// Environment variables that a program may need to start and to report a panic. No others are passed, because settings
/// hold secrets.
const ENVIRONMENT: [&str; 4] = ["LD_LIBRARY_PATH", "PATH", "RUST_BACKTRACE", "TMPDIR"];

/// A child process. If this is dropped, the end of its pipe makes it end.
pub(super) struct Child {
    process: Arc<Mutex<Process>>,
    orders: mpsc::UnboundedSender<Vec<u8>>,
    pub(super) pid: u32,
}

impl Child {
    /// Starts `program compute` with these arguments. Its answers and its end are sent to `events` with this `id`.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub(super) fn start(
        id: u64,
        (program, arguments): (&Path, &[OsString]),
        (threads, niceness): (usize, i32),
        events: mpsc::UnboundedSender<Event>,
    ) -> io::Result<Self> {
        let kept = ENVIRONMENT.iter().filter_map(|name| std::env::var_os(name).map(|value| (name, value)));
        let mut process = Command::new(program)
            .arg0("pixmill")
            .args(["compute", "--threads", &threads.to_string(), "--niceness", &niceness.to_string()])
            .args(arguments)
            .env_clear()
            .envs(kept)
            .envs(ALLOCATOR)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pid = process.id();
        let input = OwnedFd::from(process.stdin.take().expect("it was asked for"));
        let output = OwnedFd::from(process.stdout.take().expect("it was asked for"));
        let (orders, pending) = mpsc::unbounded_channel();
        tokio::spawn(write(pipe::Sender::from_owned_fd(input)?, pending));
        let process = Arc::new(Mutex::new(process));
        tokio::spawn(listen(id, pipe::Receiver::from_owned_fd(output)?, process.clone(), events));
        Ok(Self { process, orders, pid })
    }

    /// Sends an order. An order to a dead child is lost; its end is reported as an event.
    pub(super) fn send(&self, frame: Vec<u8>) {
        let _ = self.orders.send(frame);
    }

    pub(super) fn kill(&self) {
        // This fails only if the process is dead.
        let _ = self.process.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }
}

async fn write(mut pipe: pipe::Sender, mut orders: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(frame) = orders.recv().await {
        if pipe.write_all(&frame).await.is_err() {
            return;
        }
    }
}

/// Reads up to the pipe's end, even after a kill, because pictures finished before it count.
async fn listen(id: u64, pipe: pipe::Receiver, process: Arc<Mutex<Process>>, events: mpsc::UnboundedSender<Event>) {
    let mut pipe = BufReader::new(pipe);
    loop {
        let event = match wire::receive(&mut pipe).await {
            Ok(Some(Answer::Started { run })) => Event::Started { run },
            Ok(Some(Answer::Ended { run, outcome })) => Event::Computed { run, outcome },
            Ok(None) => break,
            Err(error) => {
                warn!("a computing process cannot be understood: {error}");
                break;
            }
        };
        let _ = events.send(event);
    }
    let reaped = tokio::task::spawn_blocking(move || {
        let mut process = process.lock().unwrap_or_else(PoisonError::into_inner);
        // The child has closed its pipe. If it still runs, nobody receives its results.
        let _ = process.kill();
        process.wait()
    });
    let how = match reaped.await {
        Ok(Ok(status)) => status.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    let _ = events.send(Event::Died { child: id, how });
}
