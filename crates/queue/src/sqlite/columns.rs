//! How states, ids and instants are written in columns, and read from them.

use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::{FromSqlError, Type};
use uuid::Uuid;

use crate::State;

/// A state as a number.
pub(super) fn code(state: State) -> i64 {
    match state {
        State::Waiting => 0,
        State::Delayed => 1,
        State::Active => 2,
        State::Succeeded => 3,
        State::Failed => 4,
        State::Cancelled => 5,
    }
}

/// An id as a blob.
pub(super) fn bytes(id: impl Into<Uuid>) -> [u8; 16] {
    id.into().into_bytes()
}

/// A number of rows, as a LIMIT.
pub(super) fn most(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Reads what [`code`] wrote.
pub(super) fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<State> {
    Ok(match row.get::<_, i64>(column)? {
        0 => State::Waiting,
        1 => State::Delayed,
        2 => State::Active,
        3 => State::Succeeded,
        4 => State::Failed,
        5 => State::Cancelled,
        other => return Err(FromSqlError::OutOfRange(other).into()),
    })
}

pub(super) fn instant(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(row.get(column)?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, error.into()))
}

pub(super) fn instant_if_any(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column)?.map(|_| instant(row, column)).transpose()
}

pub(super) fn uuid_if_any(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Uuid>> {
    Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(Uuid::from_bytes))
}
