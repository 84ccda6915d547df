//! One attempt: its work, and the verdict on its outcome.

use std::path::PathBuf;
use std::time::Duration;

use queue::{ClaimedJob, Class, Lease, Policy, Run, Settlement, Verdict, policy};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::errors::Failure;
use crate::kinds::{self, Done, ImageProcess, Output, Payload};
use crate::storage::{LocalFile, RunFolder};

/// A claimed job from its claim to its verdict.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) job: ClaimedJob,
    pub(super) class: Class,
    /// The id of the request that enqueued the job, for log lines.
    pub(super) request_id: Option<String>,
    /// `None` if the payload is damaged.
    pub(super) payload: Option<Payload>,
    /// What computing a picture needs in addition to the payload.
    pub(super) picture: Option<Picture>,
    /// When its work began; before that, when it was claimed.
    pub(super) since: Instant,
    pub(super) stopped: Option<Stop>,
}

#[derive(Debug)]
pub(super) struct Picture {
    /// `None` until the file is on this machine.
    pub(super) source: Option<Whereabouts>,
    /// The folder of its outputs.
    pub(super) folder: RunFolder,
    /// Estimate of the bytes of memory that it needs.
    pub(super) peak: u64,
    /// The original, fetched from the store. It remains on this machine until the attempt has ended.
    pub(super) original: Option<LocalFile>,
}

/// The place of a picture's file, for the process that computes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Whereabouts {
    File(#[serde(with = "crate::job::path")] PathBuf),
    /// A folder and a key below it. The key must not lead out of the folder.
    Beneath(#[serde(with = "crate::job::path")] PathBuf, String),
}

/// Why an attempt is stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Cancelled,
    LeaseLost,
}

/// The outcome of a successful attempt.
#[derive(Debug)]
pub(super) enum Yield {
    /// The published outputs of a picture.
    Outputs(Vec<Output>),
    /// The work of a job of class io is done.
    Done(Done),
}

/// An ended attempt that has not been settled.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) job: ClaimedJob,
    pub(super) class: Class,
    pub(super) request_id: Option<String>,
    pub(super) verdict: Verdict,
    pub(super) failure: Option<Failure>,
    pub(super) folder: Option<RunFolder>,
    pub(super) took: Duration,
}

impl Ended {
    pub(super) fn settlement(&self) -> Settlement {
        Settlement { lease: self.job.lease.clone(), verdict: self.verdict.clone() }
    }
}

impl Attempt {
    pub(super) fn lease(&self) -> &Lease {
        &self.job.lease
    }

    /// The run, which names the folder of the outputs.
    pub(super) fn run(&self) -> Run {
        self.job.lease.run()
    }

    /// The client's name for the job's picture; `None` if the job has no picture.
    pub(super) fn image(&self) -> Option<&str> {
        Some(&self.payload.as_ref()?.picture()?.image)
    }

    /// The picture to compute. Panics if the attempt is not that of a picture.
    pub(super) fn to_compute(&self) -> (&ImageProcess, &Picture) {
        let request = self.payload.as_ref().and_then(Payload::picture);
        request.zip(self.picture.as_ref()).expect("only pictures are computed")
    }

    /// Ends the attempt with the verdict on its outcome.
    pub(super) fn conclude(self, outcome: Result<Yield, Failure>, policy: &Policy) -> Ended {
        let ended = kinds::Ended {
            attempts: self.job.attempt,
            run: self.run(),
            duration_ms: self.since.elapsed().as_millis() as u64,
        };
        let (verdict, failure) = match outcome {
            // Clients were told that the job is cancelled, so it is, even if its work has just been done.
            _ if self.stopped == Some(Stop::Cancelled) => (Verdict::Cancel, None),
            Ok(Yield::Done(Done::Result(result))) => (Verdict::Succeed { result }, None),
            Ok(Yield::Done(Done::Stage(stage))) => (Verdict::Continue(stage), None),
            Ok(Yield::Outputs(outputs)) => {
                (Verdict::Succeed { result: self.to_compute().0.succeeded(&ended, outputs) }, None)
            }
            Err(failure) => {
                let result = match &self.payload {
                    Some(payload) => payload.failed(&ended, &failure),
                    None => kinds::failed(&ended, &failure),
                };
                let verdict = if failure.retryable && self.job.attempt < self.job.max_attempts {
                    // Added to the requested wait, because otherwise all jobs refused together would return together.
                    let backoff = policy::backoff(policy, self.job.attempt, fastrand::f64());
                    Verdict::Retry { after: failure.retry_after.unwrap_or_default() + backoff, reason: result }
                } else {
                    Verdict::Fail { result }
                };
                (verdict, Some(failure))
            }
        };
        self.end(verdict, failure)
    }

    /// Ends the attempt with this verdict and no result.
    pub(super) fn end(self, verdict: Verdict, failure: Option<Failure>) -> Ended {
        let Self { job, class, request_id, picture, since, .. } = self;
        let folder = picture.map(|picture| picture.folder);
        Ended { job, class, request_id, verdict, failure, folder, took: since.elapsed() }
    }
}
