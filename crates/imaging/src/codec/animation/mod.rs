//! Animations: GIF, WebP and APNG, read and written frame by frame.
//!
//! [`Frames`] yields whole pictures: what a file stores as differences is composed on one [`canvas`](canvas::Canvas).
//! [`Writer`] takes whole pictures and finds the differences anew. Neither holds more than a few pictures, whatever the
//! number of frames; a writer also holds the file so far.

mod canvas;
mod read;
mod write;

use std::time::Duration;

pub(crate) use read::Frames;
pub(super) use read::first_of_webp;
pub(crate) use write::{Style, Writer, png_chunk};

use crate::Format;
use crate::raster::Raster;

/// What browsers show of a frame with a delay of [`HASTE`] or less.
const UNHURRIED: Duration = Duration::from_millis(100);
const HASTE: Duration = Duration::from_millis(10);

/// One picture of an animation: all of the canvas, upright, in sRGB.
pub(crate) struct Frame {
    pub(crate) picture: Raster,
    /// How long it is shown.
    pub(crate) delay: Duration,
}

/// Whether animations can be written in this format.
pub(crate) fn holds(format: Format) -> bool {
    matches!(format, Format::Gif | Format::WebP | Format::Png)
}

/// A delay as browsers keep it.
fn as_shown(delay: Duration) -> Duration {
    if delay <= HASTE { UNHURRIED } else { delay }
}
