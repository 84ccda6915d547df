//! The kinds of jobs: a file per kind, and one list of them all.
//!
//! A kind's file has its payload, its class, the queue that it goes to unless asked otherwise, its results, and its work,
//! `Run`. Where the work is another module's (`submission`, `maintenance`), the `impl Run` is in that module, which imports
//! this one. The worker knows no kind by name: it asks the `Payload`.

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

/// Makes the enum of all kinds, which asks the kind that it holds.
macro_rules! kinds {
    ($($(#[$attribute:meta])* $kind:ident = $name:literal,)+) => {
        /// What a job is to do: one of the kinds.
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

            /// Whether jobs of a kind are maintenance of the service itself, which people see only when it fails or when they ask for it.
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

            /// The queue that jobs of the kind go to unless another one is asked for.
            pub fn default_queue(&self) -> &'static str {
                match self { $($(#[$attribute])* Self::$kind(_) => <$kind as Kind>::QUEUE,)+ }
            }

            /// The picture that the job is about, if it is about one.
            pub fn picture(&self) -> Option<&ImageProcess> {
                match self { $($(#[$attribute])* Self::$kind(job) => job.picture(),)+ }
            }

            pub fn picture_mut(&mut self) -> Option<&mut ImageProcess> {
                match self { $($(#[$attribute])* Self::$kind(job) => job.picture_mut(),)+ }
            }

            /// Whether a failure with this code means that files which must be in the store are missing from it.
            pub(crate) fn misses(&self, code: &str) -> Option<Missing> {
                match self { $($(#[$attribute])* Self::$kind(job) => job.misses(code),)+ }
            }

            /// The result of an attempt that failed, as the broker keeps it.
            pub(crate) fn failed(&self, attempt: &Ended, error: &Failure) -> Bytes {
                match self { $($(#[$attribute])* Self::$kind(job) => job.failed(attempt, error),)+ }
            }

            /// Does the work of a job of class io. The caller may drop this halfway.
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

/// What all kinds have. What a kind leaves out is as it is for most.
pub trait Kind {
    /// The queue that jobs of the kind go to unless another one is asked for.
    const QUEUE: &str;
    /// `Cpu` is for pictures, which are computed in a child process; all others run in the worker's own.
    const CLASS: Class = Class::Io;
    /// Maintenance of the service itself: shown only when it fails, or to those who ask for it.
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

    /// Whether a failure with this code means that files which must be in the store are missing from it.
    fn misses(&self, _code: &str) -> Option<Missing> {
        None
    }

    /// The result of an attempt that failed, as the broker keeps it.
    fn failed(&self, attempt: &Ended, error: &Failure) -> Bytes {
        failed(attempt, error)
    }
}

/// The work of a kind.
pub(crate) trait Run {
    /// Does the work. The caller may drop the future halfway: each step must leave what the next attempt can go on from.
    fn run(&self, context: &Context) -> impl Future<Output = Result<Done, Failure>> + Send;
}

/// What the work of a job may use.
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

/// How the work of a job ended well.
#[derive(Debug)]
pub(crate) enum Done {
    /// The job is finished; this is its result.
    Result(Bytes),
    /// The job goes on with its next stage.
    Stage(Stage),
}

/// An attempt that has ended, in numbers.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// Attempts so far, this one included.
    pub attempts: u32,
    /// The run that the claim gave it.
    pub run: RunId,
    pub duration_ms: u64,
}

/// Files that must be in the store, and that a job did not find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The original of the job's own group: it must be there as long as the group is in the outbox.
    Original,
    /// Originals of another group, which may have been removed rightly.
    OthersOriginals,
}

impl Done {
    /// A result of `success: true` and these fields.
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

    /// A result that says no more than `success: true`.
    pub(crate) fn plain() -> Self {
        Self::Result(Bytes::from_static(br#"{"success":true}"#))
    }
}

/// The result of an attempt that failed, of a job that is about no picture or whose payload cannot be read.
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
