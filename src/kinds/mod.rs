//! The kinds of jobs: a file per kind, and one list of all.
//!
//! A kind's file has its payload, class, default queue, results and work, `Run`. If the work belongs to another module
//! (`submission`, `maintenance`), that module has the `impl Run` and imports this one. The worker knows no kind by
//! name: it asks the `Payload`.

mod group_follow;
pub mod http_call;
mod image_process;
mod image_result;
mod outbox_sweep;
mod payload;
mod schedule_run;
mod source_fetch;
mod source_scan;
mod storage_sweep;
#[cfg(test)]
mod test_echo;
#[cfg(test)]
mod tests;
mod workflow_advance;

use bytes::Bytes;
use imaging::Limits;
use queue::{Broker, Class, JobId, Run as RunId, Stage};
use serde::Serialize;

use crate::errors::Failure;
use crate::job::seal;
use crate::metrics::Metrics;
use crate::net::Calls;
use crate::sources::Places;
use crate::storage::Storage;

pub use group_follow::GroupFollow;
pub use http_call::HttpCall;
pub use image_process::{ImageProcess, Source};
pub use image_result::{Answer, ImageResult, Output, OutputFile};
pub use outbox_sweep::OutboxSweep;
pub use payload::{Unread, image_name, request_id};
pub use schedule_run::{Occasion, ScheduleRun};
pub use source_fetch::{Origin, SourceFetch};
pub use source_scan::SourceScan;
pub use storage_sweep::StorageSweep;
#[cfg(test)]
pub use test_echo::TestEcho;
pub use workflow_advance::WorkflowAdvance;
pub(crate) use workflow_advance::{WorkflowRunner, Workflows};

/// Makes the enum of all kinds, whose methods call the kind that it holds.
macro_rules! kinds {
    ($($(#[$attribute:meta])* $kind:ident = $name:literal,)+) => {
        /// The task of a job: one of the kinds.
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(tag = "kind")]
        pub enum Payload {
            $($(#[$attribute])* #[serde(rename = $name)] $kind($kind),)+
        }

        $($(#[$attribute])* impl $kind {
            /// The kind's name in queues, settings and documents.
            pub const NAME: &str = $name;
        })+

        impl Payload {
            /// The kind's name in queues, settings and documents.
            pub fn kind(&self) -> &'static str {
                match self { $($(#[$attribute])* Self::$kind(_) => $name,)+ }
            }

            /// Whether jobs of a kind are maintenance of the service. They are shown only when they fail, or on
            /// request.
            pub fn is_maintenance(kind: &str) -> bool {
                match kind { $($(#[$attribute])* $name => <$kind as Kind>::IS_MAINTENANCE,)+ _ => false }
            }

            /// Whether jobs of a kind are about a picture each. `true` for an unknown kind, of which another version of pixmill may know
            /// more.
            pub fn is_picture(kind: &str) -> bool {
                match kind { $($(#[$attribute])* $name => <$kind as Kind>::IS_PICTURE,)+ _ => true }
            }

            pub fn class(&self) -> Class {
                match self { $($(#[$attribute])* Self::$kind(_) => <$kind as Kind>::CLASS,)+ }
            }

            /// The queue for jobs of the kind, unless a submission names another.
            pub fn default_queue(&self) -> &'static str {
                match self { $($(#[$attribute])* Self::$kind(_) => <$kind as Kind>::QUEUE,)+ }
            }

            /// The picture of the job; `None` if the job has no picture.
            pub fn picture(&self) -> Option<&ImageProcess> {
                match self { $($(#[$attribute])* Self::$kind(job) => job.picture(),)+ }
            }

            pub fn picture_mut(&mut self) -> Option<&mut ImageProcess> {
                match self { $($(#[$attribute])* Self::$kind(job) => job.picture_mut(),)+ }
            }

            /// The files that a failure with this code reports as missing from the store, if it does.
            pub(crate) fn misses(&self, code: &str) -> Option<Missing> {
                match self { $($(#[$attribute])* Self::$kind(job) => job.misses(code),)+ }
            }

            /// The result of a failed attempt, as stored in the broker.
            pub(crate) fn failed(&self, attempt: &Ended, error: &Failure) -> Bytes {
                match self { $($(#[$attribute])* Self::$kind(job) => job.failed(attempt, error),)+ }
            }

            /// Does the work of a job of class io. The caller may drop the future at any point.
            ///
            /// # Errors
            /// Why the attempt failed, and whether another one may succeed.
            pub(crate) async fn run(&self, context: &Context) -> Result<Done, Failure> {
                match self { $($(#[$attribute])* Self::$kind(job) => job.run(context).await,)+ }
            }
        }
    };
}

kinds! {
    ImageProcess = "image.process",
    SourceFetch = "source.fetch",
    SourceScan = "source.scan",
    GroupFollow = "group.follow",
    HttpCall = "http.call",
    WorkflowAdvance = "workflow.advance",
    ScheduleRun = "schedule.run",
    StorageSweep = "storage.sweep",
    OutboxSweep = "outbox.sweep",
    #[cfg(test)]
    TestEcho = "test.echo",
}

/// Properties of a kind. The defaults are those of most kinds.
pub trait Kind {
    /// The queue for jobs of the kind, unless a submission names another.
    const QUEUE: &str;
    /// `Cpu` is for pictures, which are computed in a child process. All other kinds run in the worker's process.
    const CLASS: Class = Class::Io;
    /// Whether it is maintenance of the service, which is shown only when it fails, or on request.
    const IS_MAINTENANCE: bool = false;

    /// Each job is about a picture, and its result is an `ImageResult`.
    const IS_PICTURE: bool = false;

    /// The picture that the job is about.
    fn picture(&self) -> Option<&ImageProcess> {
        None
    }

    fn picture_mut(&mut self) -> Option<&mut ImageProcess> {
        None
    }

    /// The files that a failure with this code reports as missing from the store, if it does.
    fn misses(&self, _code: &str) -> Option<Missing> {
        None
    }

    /// The result of a failed attempt, as stored in the broker.
    fn failed(&self, attempt: &Ended, error: &Failure) -> Bytes {
        failed(attempt, error)
    }
}

/// The work of a kind.
pub(crate) trait Run {
    /// Does the work. The caller may drop the future at any point, so after each step the next attempt must be able to
    /// continue.
    fn run(&self, context: &Context) -> impl Future<Output = Result<Done, Failure>> + Send;
}

/// The resources that a job's work may use.
pub(crate) struct Context {
    pub(crate) broker: Broker,
    pub(crate) storage: Storage,
    pub(crate) sources: Places,
    pub(crate) limits: Limits,
    pub(crate) calls: Calls,
    pub(crate) workflows: WorkflowRunner,
    pub(crate) metrics: Metrics,
    pub(crate) job: JobId,
    /// The id of the request that enqueued the job.
    pub(crate) request_id: Option<String>,
}

/// The success of a job's work.
#[derive(Debug)]
pub(crate) enum Done {
    /// The job has ended with this result.
    Result(Bytes),
    /// The job continues with its next stage.
    Stage(Stage),
}

/// The numbers of an ended attempt.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// Number of attempts so far, including this one.
    pub attempts: u32,
    /// The run of the attempt's claim.
    pub run: RunId,
    pub duration_ms: u64,
}

/// Files that should be in the store and were not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The original of the job's own group. It must exist as long as the group is in the outbox.
    Original,
    /// Originals of another group, whose retention may have ended.
    OthersOriginals,
}

impl Done {
    /// A result with `success: true` and these fields.
    pub(crate) fn with<T: Serialize>(fields: &T) -> Self {
        #[derive(Serialize)]
        struct Success<'a, T> {
            success: bool,
            #[serde(flatten)]
            fields: &'a T,
        }
        let result = serde_json::to_vec(&Success { success: true, fields }).expect("numbers always serialise");
        Self::Result(result.into())
    }

    /// A result with `success: true` only.
    pub(crate) fn plain() -> Self {
        Self::Result(Bytes::from_static(br#"{"success":true}"#))
    }
}

/// The result of a failed attempt of a job without a picture, or with an unreadable payload.
pub(crate) fn failed(attempt: &Ended, error: &Failure) -> Bytes {
    #[derive(Serialize)]
    struct Failed<'a> {
        success: bool,
        attempts: u32,
        duration_ms: u64,
        error: &'a Failure,
    }
    let Ended { attempts, duration_ms, .. } = *attempt;
    let result = Failed { success: false, attempts, duration_ms, error };
    seal::seal(serde_json::to_vec(&result).expect("strings and numbers always serialise")).into()
}
