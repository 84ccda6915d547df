use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{codes, imaging};

/// Why an attempt failed: a kebab-case code of [`codes::ALL`], shared with HTTP problems, a sentence for people, and
/// whether another attempt may end better.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub code: Cow<'static, str>,
    pub detail: String,
    pub retryable: bool,
}

impl Failure {
    /// The input is at fault; no retry will mend it.
    pub fn permanent(code: &'static str, detail: impl Into<String>) -> Self {
        codes::hold(code, None);
        Self { code: code.into(), detail: detail.into(), retryable: false }
    }

    /// The surroundings are at fault; a later attempt may succeed.
    pub fn transient(code: &'static str, detail: impl Into<String>) -> Self {
        codes::hold(code, None);
        Self { code: code.into(), detail: detail.into(), retryable: true }
    }
}

impl From<imaging::Error> for Failure {
    fn from(error: imaging::Error) -> Self {
        Self { code: error.code.as_str().into(), retryable: error.code == imaging::Code::Storage, detail: error.detail }
    }
}
