//! A picture of a batch.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use url::Url;

/// One picture to be processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) origin: Origin,
    /// Below the output folder: the results' folder and the beginning of their names.
    pub(super) target: PathBuf,
    /// What a result in the source's own format is called, where the source has a name of its own.
    pub(super) own: Option<Own>,
}

/// The name of a picture: `cat` and `JPG`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) stem: OsString,
    /// As it is written.
    pub(super) ending: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// Absolute.
    File(PathBuf),
    Url(Url),
}

impl Picture {
    /// A picture without an origin, to try patterns of names on.
    pub(super) fn named(name: &str) -> Self {
        Self { origin: Origin::File(PathBuf::new()), target: name.into(), own: None }
    }

    /// The origin for people: a path below `here` is relative to it.
    pub(super) fn name(&self, here: &Path) -> String {
        self.origin.name(here)
    }
}

impl Origin {
    pub(super) fn name(&self, here: &Path) -> String {
        match self {
            Self::File(file) => shown(file, here),
            Self::Url(url) => {
                let mut url = url.clone();
                if url.password().is_some() {
                    let _ = url.set_password(Some("***"));
                }
                url.into()
            }
        }
    }
}

/// The path for people: relative to `here` where it is below it.
pub(super) fn shown(path: &Path, here: &Path) -> String {
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
