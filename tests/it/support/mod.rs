//! Real counterparts and builders for the tests.
