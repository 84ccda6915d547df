//! Reads the answers of commands and scripts. A value that the scripts do not write is damage.

use std::str::FromStr;

use jiff::Timestamp;
use redis::{FromRedisValue, Value};

use crate::{Error, Result};

/// An answer as a type of its own.
pub(super) fn parsed<T: FromRedisValue>(value: Value) -> Result<T> {
    T::from_redis_value(value).map_err(|_| damaged())
}

/// An id written as text.
pub(super) fn parsed_id<T: FromStr>(id: &[u8]) -> Result<T> {
    std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()).ok_or_else(damaged)
}

pub(super) fn id_of<T: FromStr>(value: Value) -> Result<T> {
    parsed::<String>(value)?.parse().map_err(|_| damaged())
}

pub(super) fn ids_of<T: FromStr>(values: Vec<Value>) -> Result<Vec<T>> {
    values.into_iter().map(id_of).collect()
}

pub(super) fn number(digits: Option<&[u8]>) -> Result<u32> {
    digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).ok_or_else(damaged)
}

/// Milliseconds since 1970, in decimal digits.
pub(super) fn instant(ms: Option<&[u8]>) -> Result<Timestamp> {
    let ms: Option<i64> = ms.and_then(|ms| std::str::from_utf8(ms).ok()?.parse().ok());
    ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()).ok_or_else(damaged)
}

/// Milliseconds since 1970, as the score of a sorted set.
#[allow(clippy::cast_possible_truncation, reason = "scores are whole milliseconds")]
pub(super) fn moment(ms: f64) -> Result<Timestamp> {
    Timestamp::from_millisecond(ms as i64).map_err(|_| damaged())
}

/// The error for a record that the scripts did not write.
pub(super) fn damaged() -> Error {
    Error::Incompatible("Redis holds a record of the queue that pixmill did not write; name another prefix".into())
}
