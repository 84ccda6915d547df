//! Operations on pixels and sizes, a file per subject.
//!
//! [`geometry`] computes sizes before any pixel is touched, so that limits are checked before memory is taken. What only
//! the pixels can tell ([`trim`](frame::trim), [`smart`]) is settled by [`settle`] when their turn comes, and what follows
//! it with it. [`Step`] is one action with its size known; [`paint`] takes those steps that change nothing but pixels.

pub(crate) mod blur;
pub(crate) mod color;
pub(crate) mod frame;
pub(crate) mod geometry;
mod linear;
pub(crate) mod resize;
pub(crate) mod rotate;
pub(crate) mod smart;
mod step;
pub(crate) mod watermark;

use super::operation::Action;
use super::raster::{Raster, Sample};
pub(crate) use step::{Step, perform, settle};

/// Changes pixels. The size of the result is known before.
pub(crate) fn paint<S: Sample>(action: &Action, picture: Raster<S>) -> Raster<S> {
    match action {
        Action::Rotate(wanted) => rotate::rotate(picture, wanted),
        Action::Round(wanted) => frame::round(picture, wanted),
        Action::Flatten(wanted) => picture.over(wanted.background),
        Action::Blur(wanted) => blur::blur(picture, wanted),
        Action::Sharpen(wanted) => blur::sharpen(picture, wanted),
        Action::Brightness(wanted) => color::brightness(picture, wanted.amount),
        Action::Contrast(wanted) => color::contrast(picture, wanted.amount),
        Action::Saturation(wanted) => color::saturation(picture, wanted.amount),
        Action::Gamma(wanted) => color::gamma(picture, wanted.gamma),
        Action::Grayscale => color::grayscale(picture),
        Action::Sepia(wanted) => color::sepia(picture, wanted.amount),
        Action::Invert => color::invert(picture),
        Action::Pixelate(wanted) => color::pixelate(picture, wanted),
        Action::Resize(_)
        | Action::Thumbnail(_)
        | Action::Crop(_)
        | Action::Flip
        | Action::Flop
        | Action::Pad(_)
        | Action::Trim(_)
        | Action::Watermark(_)
        | Action::Convert
        | Action::Info(_)
        | Action::Pipeline(_) => picture,
    }
}
