//! Real counterparts and builders for the tests.

pub mod proxy;
pub mod redis;
