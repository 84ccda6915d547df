//! How values are stored in the tables: ids as 16 bytes, states and classes as numbers, instants as milliseconds since
//! 1970.

use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::{FromSqlError, Type};
use uuid::Uuid;

use crate::{Class, State};

pub(super) fn id_bytes(id: impl Into<Uuid>) -> [u8; 16] {
    id.into().into_bytes()
}

pub(super) fn state_code(state: State) -> i64 {
    match state {
        State::Waiting => 0,
        State::Delayed => 1,
        State::Active => 2,
        State::Succeeded => 3,
        State::Failed => 4,
        State::Cancelled => 5,
    }
}

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

pub(super) fn class_code(class: Class) -> i64 {
    match class {
        Class::Cpu => 0,
        Class::Io => 1,
    }
}

pub(super) fn class(row: &Row<'_>, column: usize) -> rusqlite::Result<Class> {
    Ok(if row.get::<_, i64>(column)? == class_code(Class::Cpu) { Class::Cpu } else { Class::Io })
}

pub(super) fn instant(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(row.get(column)?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, error.into()))
}

/// `None` for null.
pub(super) fn optional_instant(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column)?.map(|_| instant(row, column)).transpose()
}

/// `None` for null.
pub(super) fn optional_uuid(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Uuid>> {
    Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(Uuid::from_bytes))
}

/// A number of rows for `LIMIT` or `OFFSET`.
pub(super) fn row_count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
