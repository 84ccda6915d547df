//! New work: uploads, and groups of pictures that are somewhere already.

mod prefer;
pub(super) mod sources;
pub(super) mod uploads;

pub(super) use prefer::LONGEST_WAIT;
