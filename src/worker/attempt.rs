//! One attempt: what it is to do, and the verdict on how it ended.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use queue::{ClaimedJob, Class, Lease, Policy, Run, Settlement, Stage, Verdict, policy};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::job::{Failure, ImageProcess, ImageResult, Output};

/// A claimed job on its way to its verdict.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) job: ClaimedJob,
    pub(super) class: Class,
    /// The request that it comes from, for the log.
    pub(super) request_id: Option<String>,
    /// The client's name for the picture that it is about.
    pub(super) image: Option<String>,
    /// What a picture needs beyond its job.
    pub(super) picture: Option<Picture>,
    /// When its work began; its claim, before that.
    pub(super) since: Instant,
    pub(super) stopped: Option<Stop>,
}

#[derive(Debug)]
pub(super) struct Picture {
    pub(super) request: ImageProcess,
    pub(super) source: Whereabouts,
    /// Where its outputs go.
    pub(super) folder: PathBuf,
    /// Bytes that it takes in memory, by estimate.
    pub(super) peak: u64,
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

/// What an attempt yields, or why it does not.
#[derive(Debug)]
pub(super) enum Yield {
    Outputs(Vec<Output>),
    /// An io job's own result.
    Result(Bytes),
    /// The next stage of a job.
    Stage(Stage),
}

/// An attempt that waits to be settled.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) job: ClaimedJob,
    pub(super) class: Class,
    pub(super) request_id: Option<String>,
    pub(super) verdict: Verdict,
    pub(super) failure: Option<Failure>,
    pub(super) folder: Option<PathBuf>,
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

    /// Reaches the verdict on what it yielded.
    pub(super) fn conclude(self, outcome: Result<Yield, Failure>, policy: &Policy) -> Ended {
        let took = self.since.elapsed();
        let mut result = ImageResult {
            success: outcome.is_ok(),
            image: self.image.clone(),
            attempts: self.job.attempt,
            run: if self.picture.is_some() { self.run() } else { Run::default() },
            duration_ms: Some(took.as_millis() as u64),
            outputs: Vec::new(),
            error: None,
        };
        let (verdict, failure) = match outcome {
            // Whoever cancelled it was answered that it is; it may have ended before it looked.
            _ if self.stopped == Some(Stop::Cancelled) => (Verdict::Cancel, None),
            Ok(Yield::Result(result)) => (Verdict::Succeed { result }, None),
            Ok(Yield::Stage(stage)) => (Verdict::Continue(stage), None),
            Ok(Yield::Outputs(outputs)) => {
                result.outputs = outputs;
                (Verdict::Succeed { result: result.to_bytes() }, None)
            }
            Err(failure) => {
                result.error = Some(failure.clone());
                let reason = result.to_bytes();
                let verdict = if failure.retryable && self.job.attempt < self.job.max_attempts {
                    // Behind what was asked for, or all that were turned away together would come back together.
                    let backoff = policy::backoff(policy, self.job.attempt, fastrand::f64());
                    Verdict::Retry { after: failure.retry_after.unwrap_or_default() + backoff, reason }
                } else {
                    Verdict::Fail { result: reason }
                };
                (verdict, Some(failure))
            }
        };
        self.end(verdict, failure)
    }

    /// Ends with a verdict that nothing was yielded for.
    pub(super) fn end(self, verdict: Verdict, failure: Option<Failure>) -> Ended {
        let Self { job, class, request_id, picture, since, .. } = self;
        let folder = picture.map(|picture| picture.folder);
        Ended { job, class, request_id, verdict, failure, folder, took: since.elapsed() }
    }
}
