//! New work: uploads, and groups of pictures that are somewhere already.

pub(super) mod sources;
pub(super) mod uploads;
