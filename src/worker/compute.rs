//! The child process: computes pictures for its worker and does nothing else.
//!
//! It can use the worker's files, but has no socket, no broker and no key. A crash affects only the pictures in this
//! process. A rayon pool computes one picture per thread, and none is split: a thread that waited for parts of one
//! would begin another picture, which the worker's budget does not allow. The process ends at once at the end of its
//! pipe, so it never outlives its worker.

use std::collections::HashMap;
use std::io::{self, BufReader, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use rayon::ThreadPoolBuilder;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::execute::{Spec, discard, execute};
use super::wire::{self, Answer, Order};

/// Higher than the 0 of the API and the worker, so that the kernel kills this process first if memory runs out.
const OOM_SCORE: &str = "500";

/// Bytes that this process uses in addition to its pictures: itself, and for each thread the memory that the allocator
/// keeps.
const BESIDE: u64 = 256 << 20;
const BESIDE_A_THREAD: u64 = 256 << 20;

/// The pictures that were ordered and have not ended.
type Runs = Arc<Mutex<HashMap<u64, Run>>>;

struct Run {
    stop: Arc<AtomicBool>,
    /// The folder of its outputs.
    folder: PathBuf,
}

/// Computes the pictures ordered on standard input, on `threads` threads with this nice value, until the input ends.
///
/// # Errors
/// If threads cannot be started, or orders cannot be read.
pub fn compute(threads: usize, niceness: i32) -> Result<()> {
    leave_signals_to_the_worker()?;
    // Some systems have no /proc. That has no other effect.
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("picture-{i}"))
        .start_handler(move |_| {
            // On Linux this sets the value of the thread alone, so orders are still read without delay. It fails only
            // if the process already has a higher nice value.
            let _ = rustix::process::setpriority_process(None, niceness);
        })
        .build()
        .context("cannot start the computing threads")?;
    let runs = Runs::default();
    let mut orders = BufReader::new(io::stdin().lock());
    while let Some(order) = wire::read(&mut orders).context("the worker's orders cannot be read")? {
        match order {
            Order::Run { run, memory, spec } => {
                bound(memory.saturating_add(BESIDE + BESIDE_A_THREAD * threads as u64));
                start(run, spec, &pool, &runs);
            }
            Order::Stop { run } => {
                if let Some(run) = locked(&runs).get(&run) {
                    run.stop.store(true, Ordering::Relaxed);
                }
            }
        }
    }
    // The worker is gone, and nobody else knows of these folders.
    locked(&runs).values().for_each(|run| discard(&run.folder));
    Ok(())
}

/// Ignores Ctrl-C and SIGTERM, which reach all processes. The worker decides when this process ends.
fn leave_signals_to_the_worker() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    // The signal handlers remain after their streams have been dropped.
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        drop(signal(kind)?);
    }
    Ok(())
}

/// Limits the memory of this process, so that a picture that needs far more than its estimate ends this process, not
/// others.
fn bound(bytes: u64) {
    let limit = Rlimit { current: Some(bytes), ..getrlimit(Resource::Data) };
    // This fails if the machine's own limit is lower.
    let _ = setrlimit(Resource::Data, limit);
}

fn start(run: u64, spec: Spec, pool: &rayon::ThreadPool, runs: &Runs) {
    let stop = Arc::new(AtomicBool::new(false));
    locked(runs).insert(run, Run { stop: stop.clone(), folder: spec.folder.clone() });
    let runs = runs.clone();
    pool.spawn_fifo(move || {
        say(&Answer::Started { run });
        let outcome = execute(&spec, &|| stop.load(Ordering::Relaxed));
        locked(&runs).remove(&run);
        say(&Answer::Ended { run, outcome });
    });
}

fn say(answer: &Answer) {
    let frame = wire::frame(answer).expect("an answer holds no path");
    let mut pipe = io::stdout().lock();
    if pipe.write_all(&frame).and_then(|()| pipe.flush()).is_err() {
        // The worker is gone.
        std::process::exit(1);
    }
}

fn locked(runs: &Runs) -> std::sync::MutexGuard<'_, HashMap<u64, Run>> {
    runs.lock().unwrap_or_else(PoisonError::into_inner)
}
