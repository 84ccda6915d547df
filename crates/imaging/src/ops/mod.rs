//! What is done to pictures, a file per subject.
//!
//! [`geometry`] computes sizes before any pixel is touched, so that limits are checked before memory is taken. What only
//! the pixels can tell ([`trim`](frame::trim), [`smart`]) is settled by [`settle`] when their turn comes, and what follows
//! it with it; [`paint`] does what never changes a size that was not known.

pub(crate) mod blur;
pub(crate) mod color;
pub(crate) mod frame;
pub(crate) mod geometry;
mod linear;
pub(crate) mod resize;
pub(crate) mod rotate;
pub(crate) mod smart;
pub(crate) mod watermark;

use fast_image_resize::Resizer;

use super::operation::{Action, Crop, CropArea, Fit, Gravity, Resize};
use super::pipeline::{Entry, Step};
use super::raster::{Raster, Sample};
use super::{Limits, Result};

/// What `action` is for this picture: a step that no longer depends on its pixels.
///
/// # Errors
/// `output-too-large` and `invalid-operation`, naming the entry.
pub(crate) fn settle<'a, S: Sample>(
    action: &'a Action,
    picture: &Raster<S>,
    entry: Entry,
    limits: &Limits,
    resizer: &mut Resizer,
) -> Result<Step<'a>> {
    let size = picture.size();
    let mut focus = |part: (u32, u32)| smart::focus(picture, part, resizer);
    let step = match action {
        Action::Trim(wanted) => Step::Cut(frame::trim(picture, wanted)),
        Action::Crop(wanted) if is_smart(action) => {
            let part = geometry::crop(entry, wanted, size)?.size();
            Step::Cut(geometry::crop(entry, &Crop { gravity: focus(part)?, ..wanted.clone() }, size)?)
        }
        Action::Resize(wanted) if is_smart(action) => Step::Resize(smart_cover(wanted, size, focus)?),
        Action::Thumbnail(wanted) if is_smart(action) => Step::Resize(smart_cover(&wanted.as_resize(), size, focus)?),
        known => Step::of(known, entry, size)?,
    };
    geometry::check(entry, step.size(size), limits)?;
    Ok(step)
}

fn smart_cover(
    wanted: &Resize,
    size: (u32, u32),
    mut focus: impl FnMut((u32, u32)) -> Result<Gravity>,
) -> Result<geometry::Placement> {
    let [.., width, height] = geometry::resize(wanted, size).crop;
    let gravity = focus((width.round() as u32, height.round() as u32))?;
    Ok(geometry::resize(&Resize { gravity, ..wanted.clone() }, size))
}

/// Whether it takes pixels to know what the action cuts.
pub(crate) fn is_smart(action: &Action) -> bool {
    match action {
        Action::Crop(wanted) => wanted.gravity == Gravity::Smart && !matches!(wanted.area, CropArea::Box { .. }),
        Action::Resize(wanted) => {
            let both = wanted.width.is_some() && wanted.height.is_some();
            wanted.gravity == Gravity::Smart && wanted.fit == Fit::Cover && both
        }
        Action::Thumbnail(wanted) => wanted.gravity == Gravity::Smart && wanted.fit == Fit::Cover,
        _ => false,
    }
}

/// Does what changes pixels, and no frame that was not known.
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
        | Action::Pipeline { .. } => picture,
    }
}
