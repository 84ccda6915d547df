//! Authentication: the API keys in the store.

pub mod keys;
