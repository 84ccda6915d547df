//! Files that are sent: single outputs, and all outputs of a group as an archive.

mod archive;
mod file;

pub(super) use archive::{archive, archive_docs};
pub(super) use file::{file, file_docs};
