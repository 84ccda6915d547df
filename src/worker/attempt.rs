//! One attempt: what it is to do, and the verdict on how it ended.

use std::path::PathBuf;
use std::time::Duration;

use queue::{ClaimedJob, Class, Lease, Policy, Run, Settlement, Verdict, policy};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::errors::Failure;
use crate::kinds::{self, Done, ImageProcess, Output, Payload};
use crate::storage::{LocalFile, RunFolder};

/// A claimed job on its way to its verdict.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) job: ClaimedJob,
    pub(super) class: Class,
    /// The id of the request that enqueued the job, for the log.
    pub(super) request_id: Option<String>,
    /// `None` where it is damaged.
    pub(super) payload: Option<Payload>,
    /// What computing a picture needs beyond the payload.
    pub(super) picture: Option<Picture>,
    /// When its work began; its claim, before that.
    pub(super) since: Instant,
    pub(super) stopped: Option<Stop>,
}

#[derive(Debug)]
pub(super) struct Picture {
    /// `None` until it is on this machine.
    pub(super) source: Option<Whereabouts>,
    /// The outputs go there.
    pub(super) folder: RunFolder,
    /// Bytes that it takes in memory, by estimate.
    pub(super) peak: u64,
    /// The original as it was fetched from the store. It stays on this machine until the attempt has ended.
    pub(super) original: Option<LocalFile>,
}

/// Where a picture's file is, for the process that computes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Whereabouts {
    File(#[serde(with = "crate::job::path")] PathBuf),
    /// A key below a folder that it must not lead out of.
    Beneath(#[serde(with = "crate::job::path")] PathBuf, String),
}

/// Why an attempt is stopped from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Cancelled,
    LeaseLost,
}

/// How an attempt ended well.
#[derive(Debug)]
pub(super) enum Yield {
    /// The outputs of a picture, published.
    Outputs(Vec<Output>),
    /// The work of a job of class io is done.
    Done(Done),
}

/// An attempt that waits to be settled.
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

    /// Names the folder where a picture's outputs go.
    pub(super) fn run(&self) -> Run {
        self.job.lease.run()
    }

    /// The client's name for the picture that the job is about, if it is about one.
    pub(super) fn image(&self) -> Option<&str> {
        Some(&self.payload.as_ref()?.picture()?.image)
    }

    /// The picture to be computed. Panics for an attempt of another kind.
    pub(super) fn to_compute(&self) -> (&ImageProcess, &Picture) {
        let request = self.payload.as_ref().and_then(Payload::picture);
        request.zip(self.picture.as_ref()).expect("only pictures are computed")
    }

    /// Ends the attempt with the verdict on what it yielded, or on why it failed.
    pub(super) fn conclude(self, outcome: Result<Yield, Failure>, policy: &Policy) -> Ended {
        let ended = kinds::Ended {
            attempts: self.job.attempt,
            run: self.run(),
            duration_ms: self.since.elapsed().as_millis() as u64,
        };
        let (verdict, failure) = match outcome {
            // Whoever cancelled the job was told that it is cancelled, even if it was just done.
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
                    // Added to the wait that was asked for, or all jobs that were turned away together would come back together.
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
