//! What an error of SQLite means to the caller.

use std::path::Path;

use rusqlite::{ErrorCode, ffi};

use super::disk;
use crate::Error;

/// What SQLite says of tables and columns that a statement names and that are not there.
const LOST: [&str; 3] = ["no such table", "no such column", "has no column named"];

/// A file that does not hold any more what was written; what is wrong with it, and what to do.
pub(super) fn damaged(file: &Path, what: &str) -> Error {
    let name = file.display();
    Error::Incompatible(format!(
        "{name} is damaged ({what}): end what uses it, move {name}, {name}-wal and {name}-shm away, and start again. What is \
         owed comes back from the outbox; records of what had ended are in the moved file alone"
    ))
}

/// Whether an error says that the file holds what nobody has written: a page, a table, a row or a value. Statements and types
/// are the same at all times.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    let lost = |said: &str| LOST.iter().any(|words| said.contains(*words));
    match error {
        rusqlite::Error::SqliteFailure(failure, said) => match failure.code {
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => true,
            ErrorCode::ConstraintViolation => failure.extended_code == ffi::SQLITE_CONSTRAINT_DATATYPE,
            _ => said.as_deref().is_some_and(lost),
        },
        rusqlite::Error::SqlInputError { msg, .. } => lost(msg),
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..)
        | rusqlite::Error::QueryReturnedNoRows => true,
        _ => false,
    }
}

/// What an error of SQLite means to the caller.
pub(super) fn unavailable(path: &Path, error: &rusqlite::Error) -> Error {
    let file = path.display();
    if says_full(path, error) {
        return Error::StorageFull(format!("no space left on the disk of {file}; free some"));
    }
    match error.sqlite_error_code() {
        _ if is_damage(error) => damaged(path, &error.to_string()),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::Unavailable(format!("another process has held {file} for too long"))
        }
        _ => Error::Unavailable(format!("{file}: {error}")),
    }
}

/// Whether the disk has no room for what failed.
pub(super) fn says_full(file: &Path, error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => true,
        // A `-wal` that cannot be made, a `-shm` that cannot grow.
        Some(ErrorCode::CannotOpen | ErrorCode::SystemIoFailure) => disk::is_full(file),
        _ => false,
    }
}
