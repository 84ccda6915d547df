use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{codes, imaging};

/// Why an attempt failed: a kebab-case code of [`codes::ALL`], shared with HTTP problems, a sentence for people, and
/// whether another attempt may end better.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub code: Cow<'static, str>,
    pub detail: String,
    pub retryable: bool,
    /// The least wait before another attempt, where whoever failed asked for one; it is settled with, not told.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// The input is at fault; no retry will mend it.
    pub fn permanent(code: &'static str, detail: impl Into<String>) -> Self {
        codes::hold(code, None);
        Self { code: code.into(), detail: detail.into(), retryable: false, retry_after: None }
    }

    /// The surroundings are at fault; a later attempt may succeed.
    pub fn transient(code: &'static str, detail: impl Into<String>) -> Self {
        codes::hold(code, None);
        Self { code: code.into(), detail: detail.into(), retryable: true, retry_after: None }
    }

    /// The same, not to be tried again sooner.
    #[must_use]
    pub fn after(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }

    /// What went wrong by what a job was last settled with: the result of one that has failed, the reason of one that
    /// waits for a retry.
    pub fn told_by(settled: &[u8]) -> Option<Self> {
        let mut told: serde_json::Value = serde_json::from_slice(settled).ok()?;
        let failure = told.get_mut("error").map(serde_json::Value::take).unwrap_or(told);
        serde_json::from_value(failure).ok()
    }
}

impl From<imaging::Error> for Failure {
    fn from(error: imaging::Error) -> Self {
        let retryable = error.code == imaging::Code::Storage;
        Self { code: error.code.as_str().into(), detail: error.detail, retryable, retry_after: None }
    }
}
