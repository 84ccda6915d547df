use std::borrow::Cow;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::codes;
use super::lack::Lack;

/// Why an attempt failed: a kebab-case code of [`codes::ALL`], which HTTP problems use as well, a sentence for people,
/// and whether another attempt may succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub code: Cow<'static, str>,
    pub detail: String,
    pub retryable: bool,
    /// Least wait before another attempt, if a server asked for one. It is used in the settlement and not shown.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
    /// The process or its disk lacked something, or a turn was not to be had: the attempt is given back and does not count. It is for the worker, and
    /// never settled with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacking: Option<Lacking>,
}

/// What an attempt lacked that the job is not to blame for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lacking {
    /// Space on the disk, for this number of bytes; 0 if the number is unknown.
    Room(u64),
    /// File descriptors or memory.
    Means,
    /// A turn at something that only so many jobs may use at a time.
    Turn,
}

impl Failure {
    /// The input is at fault, so no retry can succeed.
    pub fn permanent(code: &'static str, detail: impl Into<String>) -> Self {
        codes::hold(code, None);
        Self { code: code.into(), detail: detail.into(), retryable: false, retry_after: None, lacking: None }
    }

    /// The environment is at fault, so a later attempt may succeed.
    pub fn transient(code: &'static str, detail: impl Into<String>) -> Self {
        codes::hold(code, None);
        Self { code: code.into(), detail: detail.into(), retryable: true, retry_after: None, lacking: None }
    }

    /// A file could not be read or written. The code is `storage` or that of the lack.
    pub fn of_io(error: &io::Error, detail: impl Into<String>) -> Self {
        Self::of_store(Lack::of(error), detail)
    }

    /// As [`of_io`](Self::of_io), if the lack is already known.
    pub fn of_store(lack: Option<Lack>, detail: impl Into<String>) -> Self {
        let lacking = lack.map(|lack| match lack {
            Lack::Room => Lacking::Room(0),
            Lack::Means => Lacking::Means,
        });
        Self { lacking, ..Self::transient(lack.map_or("storage", Lack::code), detail) }
    }

    /// The same failure for this number of bytes, if space was lacking.
    #[must_use]
    pub fn of_bytes(self, bytes: u64) -> Self {
        let lacking = self.lacking.map(|lacking| match lacking {
            Lacking::Room(_) => Lacking::Room(bytes),
            other => other,
        });
        Self { lacking, ..self }
    }

    /// The same failure with a least wait before the next attempt.
    #[must_use]
    pub fn after(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }

    /// The failure in a job's last settlement: in the result of a failed job, or in the reason of a job that waits for
    /// a retry.
    pub fn told_by(settled: &[u8]) -> Option<Self> {
        let mut told: serde_json::Value = serde_json::from_slice(settled).ok()?;
        let failure = told.get_mut("error").map(serde_json::Value::take).unwrap_or(told);
        serde_json::from_value(failure).ok()
    }
}

impl From<queue::Error> for Failure {
    fn from(error: queue::Error) -> Self {
        match &error {
            queue::Error::StorageFull(_) => Self::of_store(Some(Lack::Room), error.to_string()),
            queue::Error::Full(_) => Self::transient("queue-full", error.to_string()),
            _ => Self::transient("broker-unavailable", error.to_string()),
        }
    }
}

impl From<imaging::Error> for Failure {
    fn from(error: imaging::Error) -> Self {
        let retryable = error.code == imaging::Code::Storage;
        Self { code: error.code.as_str().into(), detail: error.detail, retryable, retry_after: None, lacking: None }
    }
}
