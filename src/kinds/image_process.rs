//! `image.process`: one picture and its operations.

use std::path::PathBuf;

use bytes::Bytes;
use imaging::Operation;
use queue::Class;
use serde::{Deserialize, Serialize};

use super::{Context, Done, Ended, ImageResult, Kind, Missing, Output, Run};
use crate::errors::Failure;

/// One picture and its operations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageProcess {
    pub source: Source,
    /// The client's name for the picture. It is only shown, never used as a path.
    pub image: String,
    pub operations: Vec<Operation>,
    /// Uses the readable part of a truncated file, with a warning, instead of refusing it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lenient: bool,
    /// Estimate of the largest number of bytes that computing it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<u64>,
    /// CRC-32 of the original as it was received; `None` if the file may change, or if an older version received it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<u32>,
}

/// Where a job's picture is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A key of the store.
    Stored(String),
    /// A file on the worker's machine. Only `pixmill batch` without a server uses this.
    File(#[serde(with = "crate::job::path")] PathBuf),
    /// A key below `sources.folder`.
    Shared(String),
}

impl Kind for ImageProcess {
    const QUEUE: &str = "cpu_intensive";
    const CLASS: Class = Class::Cpu;
    const IS_PICTURE: bool = true;

    fn picture(&self) -> Option<&ImageProcess> {
        Some(self)
    }

    fn picture_mut(&mut self) -> Option<&mut ImageProcess> {
        Some(self)
    }

    fn misses(&self, code: &str) -> Option<Missing> {
        let is_stored = matches!(self.source, Source::Stored(_));
        (code == "source-missing" && is_stored).then_some(Missing::Original)
    }

    fn failed(&self, attempt: &Ended, error: &Failure) -> Bytes {
        ImageResult { success: false, error: Some(error.clone()), ..self.result(attempt) }.to_bytes()
    }
}

impl ImageProcess {
    /// The result of an attempt that made these outputs, as stored in the broker.
    pub(crate) fn succeeded(&self, attempt: &Ended, outputs: Vec<Output>) -> Bytes {
        ImageResult { outputs, ..self.result(attempt) }.to_bytes()
    }

    fn result(&self, attempt: &Ended) -> ImageResult {
        let Ended { attempts, run, duration_ms } = *attempt;
        ImageResult {
            success: true,
            image: Some(self.image.clone()),
            attempts,
            run,
            duration_ms: Some(duration_ms),
            outputs: Vec::new(),
            error: None,
        }
    }
}

impl Run for ImageProcess {
    /// Pictures are computed in a child process and never run here. The class is derived from the payload, so this
    /// job's record has been damaged.
    async fn run(&self, _: &Context) -> Result<Done, Failure> {
        let detail = format!("{} is no io job, as its record says", Self::NAME);
        Err(Failure::permanent("payload-damaged", detail))
    }
}
