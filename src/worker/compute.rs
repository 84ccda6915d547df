//! The child process: computes pictures for its worker and knows nothing else.
//!
//! It has the worker's files and no more: no socket, no broker, no key. What breaks it breaks only what it computes.
//! A rayon pool takes the pictures as they come, one a thread and none of them split: a thread that waited inside one
//! would steal another whole one, against the worker's budget. The pipe's end ends it at once, so it never outlives its
//! worker, however that one ended.

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

/// Above the API's and the worker's own 0: where memory runs out, the kernel takes the process that costs least.
const OOM_SCORE: &str = "500";

/// What this process takes beside its pictures: itself, and for each thread what the allocator keeps at hand, and the holes
/// between.
const BESIDE: u64 = 256 << 20;
const BESIDE_A_THREAD: u64 = 256 << 20;

/// The pictures that are ordered and have not ended.
type Runs = Arc<Mutex<HashMap<u64, Run>>>;

struct Run {
    stop: Arc<AtomicBool>,
    /// Where its outputs go.
    folder: PathBuf,
}

/// Computes what standard input orders, on so many threads of this nice value, until the input ends.
///
/// # Errors
/// When there are no threads to be had, or the orders cannot be read.
pub fn compute(threads: usize, niceness: i32) -> Result<()> {
    leave_signals_to_the_worker()?;
    // Not everywhere is there a /proc, and where it is missing nothing else is wrong.
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("picture-{i}"))
        .start_handler(move |_| {
            // On Linux this is the thread's own value: orders are still read at once. It fails only where the process
            // is nicer already.
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
    // The worker is gone, and nobody else knows of these.
    locked(&runs).values().for_each(|run| discard(&run.folder));
    Ok(())
}

/// A Ctrl-C or a service manager's SIGTERM reaches all processes; the worker decides what becomes of this one.
fn leave_signals_to_the_worker() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    // The handlers stay when their streams are gone.
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        drop(signal(kind)?);
    }
    Ok(())
}

/// Allocates no more from so many bytes on: a picture that takes far more than its estimate ends this process, not others.
fn bound(bytes: u64) {
    let limit = Rlimit { current: Some(bytes), ..getrlimit(Resource::Data) };
    // It fails where the machine's own limit is lower.
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
