//! What is done to pictures, a file per operation. Sizes are computed by [`geometry`] before any
//! pixel is touched, so that limits are checked before memory is taken.

pub(crate) mod geometry;
pub(crate) mod resize;
pub(crate) mod watermark;
