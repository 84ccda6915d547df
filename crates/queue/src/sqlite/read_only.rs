//! Reads a queue's file without changing anything: creates no table, upgrades none, and leaves no file beside it.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::failure::explain;
use super::{schema, status};
use crate::{Error, Job, JobId, Result};

/// A queue's file, opened for reading only.
pub struct ReadOnlyQueue {
    file: PathBuf,
    db: Connection,
}

impl ReadOnlyQueue {
    /// `None` if there is no such file, or it has no tables yet.
    ///
    /// # Errors
    /// `Incompatible` if it was written by another version or is damaged; `Unavailable` if it cannot be read.
    pub fn open(file: &Path) -> Result<Option<Self>> {
        if !file.exists() {
            return Ok(None);
        }
        let db = schema::immutable_reader(file)?;
        let version = schema::known_version(&db, file)?;
        // Its writer was killed before it had made the tables.
        if version == 0 {
            return Ok(None);
        }
        if version < schema::VERSION {
            let file = file.display();
            return Err(Error::Incompatible(format!(
                "{file} was written by an older pixmill, and nothing is to be changed"
            )));
        }
        Ok(Some(Self { file: file.to_owned(), db }))
    }

    /// A job; `None` if it is unknown.
    pub fn job(&self, id: JobId) -> Result<Option<Job>> {
        status::job(&self.db, id).map_err(|error| explain(&self.file, &error))
    }
}
