//! One attempt: from a claimed job to its verdict.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::Settings;
use super::execute::{Outcome, Spec, execute};
use super::heartbeat::Leases;
use crate::imaging::Limits;
use crate::job::{Failure, ImageProcess, ImageResult, Payload, Source};
use crate::metrics::{AttemptLabels, Metrics};
use crate::queue::{ClaimedJob, Lease, Policy, Settled, Settlement, Verdict, policy};
use crate::storage::{self, Storage};

/// The computing threads and what they need to know.
pub(super) struct Attempts {
    pool: rayon::ThreadPool,
    shared: Arc<Shared>,
}

struct Shared {
    storage: Storage,
    limits: Limits,
    policy: Policy,
    soft_time_limit: Duration,
    leases: Arc<Leases>,
    metrics: Metrics,
    ended: mpsc::UnboundedSender<Ended>,
    /// Claimed ahead; no thread has begun with it.
    unstarted: Mutex<HashSet<Lease>>,
}

/// An attempt that waits to be settled.
pub(super) struct Ended {
    job: ClaimedJob,
    verdict: Verdict,
    failure: Option<Failure>,
    folder: PathBuf,
    took: Duration,
}

impl Ended {
    pub(super) fn lease(&self) -> &Lease {
        &self.job.lease
    }

    pub(super) fn settlement(&self) -> Settlement {
        Settlement { lease: self.job.lease.clone(), verdict: self.verdict.clone() }
    }
}

impl Attempts {
    pub(super) fn new(
        storage: Storage,
        settings: &Settings,
        leases: Arc<Leases>,
        metrics: Metrics,
        ended: mpsc::UnboundedSender<Ended>,
    ) -> Result<Self> {
        let niceness = settings.niceness;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(settings.slots)
            .thread_name(|i| format!("picture-{i}"))
            .start_handler(move |_| {
                // On Linux this is the thread's own value; the API's threads stay quick.
                if let Err(error) = rustix::process::setpriority_process(None, niceness) {
                    warn!("worker.niceness: cannot be set to {niceness}: {error}");
                }
            })
            .build()
            .context("cannot start the computing threads")?;
        let shared = Shared {
            storage,
            limits: settings.limits.clone(),
            policy: settings.policy.clone(),
            soft_time_limit: settings.soft_time_limit,
            leases,
            metrics,
            ended,
            unstarted: Mutex::default(),
        };
        Ok(Self { pool, shared: Arc::new(shared) })
    }

    /// Holds the job's lease, has its source read ahead, and queues it for a thread.
    pub(super) fn start(&self, job: ClaimedJob) {
        let stop = self.shared.leases.hold(&job.lease);
        self.shared.unstarted().insert(job.lease.clone());
        let shared = self.shared.clone();
        let runtime = tokio::runtime::Handle::current();
        let request = parse(&job);
        if let Ok(request) = &request {
            read_ahead(shared.source(request));
        }
        self.pool.spawn_fifo(move || {
            if !shared.unstarted().remove(&job.lease) {
                return; // Withdrawn.
            }
            let started = Instant::now();
            let folder = shared.storage.run_folder(job.group, job.lease.job, job.lease.run());
            let outcome = request.as_ref().map_err(Clone::clone).and_then(|request| {
                let spec = Spec {
                    source: shared.source(request),
                    operations: request.operations.clone(),
                    folder: folder.clone(),
                    limits: shared.limits.clone(),
                    time_limit: shared.soft_time_limit,
                };
                execute(&spec, &|| stop.load(Ordering::Relaxed))
            });
            // The disk is waited for on another thread; this one goes on with the next picture.
            runtime.spawn_blocking(move || shared.conclude(job, request.ok(), outcome, &stop, folder, started));
        });
    }

    /// Puts ended attempts back in line to be settled.
    pub(super) fn hold(&self, ended: Vec<Ended>) {
        for one in ended {
            let _ = self.shared.ended.send(one);
        }
    }

    /// Takes back every job that no thread has begun with.
    pub(super) fn withdraw(&self) -> Vec<Lease> {
        self.shared.unstarted().drain().collect()
    }

    /// Counts and logs a settled attempt, and removes what it wrote if it does not count.
    pub(super) fn close(&self, ended: Ended, answer: Settled) {
        let Ended { job, verdict, failure, folder, took } = ended;
        let outcome = match (answer, &verdict) {
            (Settled::LeaseLost, _) => "lost",
            (_, Verdict::Succeed { .. }) => "succeeded",
            (_, Verdict::Fail { .. }) => "failed",
            (_, Verdict::Retry { .. }) => "retried",
        };
        let labels = AttemptLabels { kind: job.kind.clone(), outcome };
        self.shared.metrics.attempts.get_or_create(&labels).inc();
        self.shared.metrics.attempt_seconds.observe(took.as_secs_f64());
        let (id, attempt, duration_ms) = (job.lease.job, job.attempt, took.as_millis() as u64);
        match failure {
            None => info!(job.id = %id, attempt, duration_ms, "{outcome}: job {id} in {duration_ms} ms"),
            Some(failure) => {
                let Failure { code, detail, .. } = failure;
                info!(job.id = %id, attempt, duration_ms, %code, "{outcome}: job {id}: {code}: {detail}");
            }
        }
        if outcome != "succeeded" {
            let storage = self.shared.storage.clone();
            tokio::task::spawn_blocking(move || {
                if let Err(error) = storage.remove_run(&folder) {
                    warn!("an attempt's outputs stay behind: {error}");
                }
            });
        }
    }
}

impl Shared {
    fn unstarted(&self) -> std::sync::MutexGuard<'_, HashSet<Lease>> {
        self.unstarted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn source(&self, request: &ImageProcess) -> PathBuf {
        match &request.source {
            Source::Stored(key) => self.storage.path(key),
            Source::File(path) => path.clone(),
        }
    }

    /// Makes the outputs durable and reaches the verdict.
    fn conclude(
        &self,
        job: ClaimedJob,
        request: Option<ImageProcess>,
        outcome: Outcome,
        stop: &AtomicBool,
        folder: PathBuf,
        started: Instant,
    ) {
        let outcome = outcome.and_then(|outputs| {
            self.storage
                .publish(&folder)
                .map_err(|error| Failure::transient(storage_code(&error), error.to_string()))?;
            Ok(outputs)
        });
        let outcome = match outcome {
            // Stopped from outside: the lease is gone, and so is the verdict's weight.
            Err(failure) if stop.load(Ordering::Relaxed) => Err(Failure { retryable: true, ..failure }),
            outcome => outcome,
        };
        let took = started.elapsed();
        let mut result = ImageResult {
            success: outcome.is_ok(),
            image: request.map(|request| request.image),
            attempts: job.attempt,
            run: job.lease.run(),
            duration_ms: Some(took.as_millis() as u64),
            outputs: Vec::new(),
            error: None,
        };
        let (verdict, failure) = match outcome {
            Ok(outputs) => {
                result.outputs = outputs;
                (Verdict::Succeed { result: result.to_bytes() }, None)
            }
            Err(failure) => {
                result.error = Some(failure.clone());
                let reason = result.to_bytes();
                let verdict = if failure.retryable && job.attempt < job.max_attempts {
                    Verdict::Retry { after: policy::backoff(&self.policy, job.attempt, fastrand::f64()), reason }
                } else {
                    Verdict::Fail { result: reason }
                };
                (verdict, Some(failure))
            }
        };
        // Nobody receives once the worker has ended; the lease says the rest.
        let _ = self.ended.send(Ended { job, verdict, failure, folder, took });
    }
}

fn parse(job: &ClaimedJob) -> Result<ImageProcess, Failure> {
    match serde_json::from_slice(&job.payload) {
        Ok(Payload::ImageProcess(request)) => Ok(request),
        // Another version may know it.
        Err(error) => Err(Failure::transient("unknown-job", format!("a job of kind `{}`: {error}", job.kind))),
    }
}

/// Asks the kernel to read the source into its cache while it waits for a thread.
fn read_ahead(source: PathBuf) {
    tokio::task::spawn_blocking(move || {
        if let Ok(file) = std::fs::File::open(source) {
            // Advice: without it the picture is read when its turn comes.
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::WillNeed);
        }
    });
}

fn storage_code(error: &storage::Error) -> &'static str {
    match error {
        storage::Error::Full(_) => "storage-full",
        storage::Error::Failed(_) => "storage",
    }
}
