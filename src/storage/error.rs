//! Errors of the store.

use std::fmt;
use std::io;
use std::path::Path;

use crate::errors::{Failure, Lack};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the disk under the store is full: {0}")]
    Full(String),
    #[error("the process has no file descriptors or memory left: {0}")]
    Overloaded(String),
    #[error("the store failed: {0}")]
    Failed(String),
}

pub type Result<T> = std::result::Result<T, Error>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::of_store(error.lack(), error.to_string())
    }
}

impl Error {
    /// The error's code.
    pub fn code(&self) -> &'static str {
        self.lack().map_or("storage", Lack::code)
    }

    /// The lack that is the reason, if any.
    pub fn lack(&self) -> Option<Lack> {
        match self {
            Self::Full(_) => Some(Lack::Room),
            Self::Overloaded(_) => Some(Lack::Means),
            Self::Failed(_) => None,
        }
    }

    /// A call failed on the file or folder `at`.
    pub fn at(at: impl fmt::Display, error: &io::Error) -> Self {
        Self::of(Lack::of(error), format!("{at}: {error}"))
    }

    pub fn lacking(lack: Lack, said: String) -> Self {
        match lack {
            Lack::Room => Self::Full(said),
            Lack::Means => Self::Overloaded(said),
        }
    }

    pub(super) fn of(lack: Option<Lack>, said: String) -> Self {
        match lack {
            Some(lack) => Self::lacking(lack, said),
            None => Self::Failed(said),
        }
    }
}

pub(super) fn at(path: &Path, error: &io::Error) -> Error {
    Error::at(path.display(), error)
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
pub(super) fn failed(error: object_store::Error) -> Error {
    Error::of(Lack::behind(&error), error.to_string())
}
