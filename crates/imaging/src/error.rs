//! The errors of a picture, in one vocabulary that HTTP problems and failed jobs share.

use std::fmt;

/// Why a picture was refused. The kebab-case form is the wire's, in HTTP problems and failed jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    EmptyFile,
    UnsupportedFormat,
    CorruptImage,
    TruncatedImage,
    TooLarge,
    TooManyPixels,
    TooManyFrames,
    InvalidOperation,
    OutputTooLarge,
    MissingGlyph,
    TimeLimit,
    /// The output could not be written; the only code worth a retry.
    Storage,
    /// A decoder panicked or broke its own contract.
    DecoderFailure,
}

impl Code {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EmptyFile => "empty-file",
            Self::UnsupportedFormat => "unsupported-format",
            Self::CorruptImage => "corrupt-image",
            Self::TruncatedImage => "truncated-image",
            Self::TooLarge => "too-large",
            Self::TooManyPixels => "too-many-pixels",
            Self::TooManyFrames => "too-many-frames",
            Self::InvalidOperation => "invalid-operation",
            Self::OutputTooLarge => "output-too-large",
            Self::MissingGlyph => "missing-glyph",
            Self::TimeLimit => "time-limit",
            Self::Storage => "storage",
            Self::DecoderFailure => "decoder-failure",
        }
    }
}

/// A refusal: its code and one sentence that names the fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub code: Code,
    pub detail: String,
}

impl Error {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl std::error::Error for Error {}

pub type Result<T> = std::result::Result<T, Error>;

/// A value for a message, cut if the client sent a long one.
pub(crate) fn shown(value: &serde_json::Value) -> String {
    clipped(&value.to_string())
}

pub(crate) fn clipped(text: &str) -> String {
    if text.chars().count() <= 60 { text.to_owned() } else { text.chars().take(57).chain("...".chars()).collect() }
}
