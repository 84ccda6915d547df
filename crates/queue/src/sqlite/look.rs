//! A look into a queue's file by somebody who may change nothing: no table is made, none is brought up to date.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::failure::unavailable;
use super::{reads, schema};
use crate::JobId;
use crate::{Error, Job, Result};

/// A queue's file, opened for reading alone.
pub struct Look {
    file: PathBuf,
    db: Connection,
}

impl Look {
    /// None where there is no such file, or nothing in it yet.
    ///
    /// # Errors
    /// When it cannot be read, or is of another version.
    pub fn at(file: &Path) -> Result<Option<Self>> {
        if !file.exists() {
            return Ok(None);
        }
        let db = schema::onlooker(file)?;
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

    pub fn job(&self, id: JobId) -> Result<Option<Job>> {
        reads::job(&self.db, id).map_err(|error| unavailable(&self.file, &error))
    }
}
