//! Animations: GIF, WebP and APNG, read and written frame by frame.
//!
//! [`Frames`] returns complete pictures: differences stored in a file are composed on a [`canvas`](canvas::Canvas).
//! [`Writer`] takes complete pictures and finds the differences again. Neither holds more than a few pictures, whatever
//! the number of frames; a writer also holds the file so far.

mod canvas;
mod read;
mod write;

use std::time::Duration;

pub(crate) use read::Frames;
pub(super) use read::first_of_webp;
pub(crate) use write::{Style, Writer, png_chunk};

use crate::Format;
use crate::raster::Raster;

/// The delay that browsers use for a frame with a delay of [`HASTE`] or less.
const UNHURRIED: Duration = Duration::from_millis(100);
const HASTE: Duration = Duration::from_millis(10);

/// One picture of an animation: the complete canvas, upright, in sRGB.
pub(crate) struct Frame {
    pub(crate) picture: Raster,
    /// How long it is shown.
    pub(crate) delay: Duration,
}

/// Whether animations can be written in this format.
pub(crate) fn holds(format: Format) -> bool {
    matches!(format, Format::Gif | Format::WebP | Format::Png)
}

/// A frame's delay as browsers show it.
fn as_shown(delay: Duration) -> Duration {
    if delay <= HASTE { UNHURRIED } else { delay }
}
