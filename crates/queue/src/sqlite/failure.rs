//! What errors of SQLite mean: a full disk, a damaged file, a file that another process holds.

use std::path::Path;

use rusqlite::{ErrorCode, ffi};

use super::disk;
use crate::Error;

/// What SQLite reports if a statement names a table or a column that does not exist.
const MISSING: [&str; 3] = ["no such table", "no such column", "has no column named"];

/// The error for the caller of a call that failed on `file`.
pub(super) fn explain(file: &Path, error: &rusqlite::Error) -> Error {
    let name = file.display();
    if is_disk_full(file, error) {
        return Error::StorageFull(format!("no space left on the disk of {name}; free some"));
    }
    match error.sqlite_error_code() {
        _ if is_damage(error) => damaged(file, &error.to_string()),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::Unavailable(format!("another process has held {name} for too long"))
        }
        _ => Error::Unavailable(format!("{name}: {error}")),
    }
}

/// The error for a file that no longer holds what was written, with `what` is wrong and what to do.
pub(super) fn damaged(file: &Path, what: &str) -> Error {
    let name = file.display();
    Error::Incompatible(format!(
        "{name} is damaged ({what}): end what uses it, move {name}, {name}-wal and {name}-shm away, and start again. What is \
         owed comes back from the outbox; records of what had ended are in the moved file alone"
    ))
}

/// Whether the disk of `file` has no room for what SQLite had to write.
pub(super) fn is_disk_full(file: &Path, error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => true,
        // A `-wal` that cannot be created, a `-shm` that cannot grow.
        Some(ErrorCode::CannotOpen | ErrorCode::SystemIoFailure) => disk::is_full(file),
        _ => false,
    }
}

/// Whether an error shows a page, table, row or value that pixmill never wrote. Its statements and types never change,
/// so a statement that does not fit the tables is such an error too.
fn is_damage(error: &rusqlite::Error) -> bool {
    let names_missing = |text: &str| MISSING.iter().any(|words| text.contains(*words));
    match error {
        rusqlite::Error::SqliteFailure(failure, text) => match failure.code {
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => true,
            ErrorCode::ConstraintViolation => failure.extended_code == ffi::SQLITE_CONSTRAINT_DATATYPE,
            _ => text.as_deref().is_some_and(names_missing),
        },
        rusqlite::Error::SqlInputError { msg, .. } => names_missing(msg),
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..)
        | rusqlite::Error::QueryReturnedNoRows => true,
        _ => false,
    }
}
