//! Real counterparts and builders for the tests.

pub mod redis;
