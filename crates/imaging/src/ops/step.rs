//! One step on the way from a picture to an output: what it makes of a size, and of a picture.
//!
//! [`Step::of`] knows a step's size before a pixel is decoded. What only the pixels can tell (`trim`, `smart` gravity) is a
//! [`Step::Later`], which [`settle`] turns into a known step when its turn comes; [`perform`] takes a known step.

use std::borrow::Cow;

use fast_image_resize::Resizer;

use super::geometry::{self, Area, Canvas, Placement};
use super::{frame, resize, smart, watermark};
use crate::operation::{Action, ActionPath, Crop, CropArea, Fit, Gravity, Resize, Watermark};
use crate::raster::{Alpha, Raster, Sample};
use crate::{Code, Error, Limits, Result};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step<'a> {
    Resize(Placement),
    Cut(Area),
    /// Turns as a picture with this EXIF orientation is turned upright.
    Turn(u8),
    Extend(Canvas),
    Watermark(&'a Watermark),
    /// Changes pixels: [`paint`](super::paint()).
    Paint(&'a Action),
    /// Depends on the pixels of the picture, or on a size that depends on them: [`settle`].
    Later(&'a Action, ActionPath),
}
impl<'a> Step<'a> {
    /// The step of `action` for a picture of this size; [`Step::Later`] if the step depends on the pixels.
    ///
    /// # Errors
    /// `invalid-operation`, for a crop outside of the picture.
    pub(crate) fn of(action: &'a Action, entry: ActionPath, size: (u32, u32)) -> Result<Self> {
        Ok(match action {
            Action::Trim(_) => Self::Later(action, entry),
            smart if is_smart(smart) => Self::Later(smart, entry),
            Action::Resize(wanted) => Self::Resize(geometry::resize(wanted, size)),
            Action::Thumbnail(wanted) => Self::Resize(geometry::thumbnail(wanted, size)),
            Action::Crop(wanted) => Self::Cut(geometry::crop(entry, wanted, size)?),
            Action::Pad(wanted) => Self::Extend(geometry::pad(wanted, size)),
            Action::Flip => Self::Turn(4),
            Action::Flop => Self::Turn(2),
            Action::Rotate(wanted) => match wanted.quarter() {
                Some(orientation) => Self::Turn(orientation),
                None => Self::Paint(action),
            },
            Action::Watermark(wanted) => Self::Watermark(wanted),
            other => Self::Paint(other),
        })
    }

    /// The size that it makes of a picture of `size`; for [`Step::Later`], the largest possible.
    pub(crate) fn size(&self, size: (u32, u32)) -> (u32, u32) {
        match self {
            Self::Resize(placement) => placement.size(),
            Self::Cut(area) => area.size(),
            Self::Turn(5..) => (size.1, size.0),
            Self::Extend(canvas) => canvas.size,
            Self::Paint(Action::Rotate(wanted)) => geometry::turned(size, wanted.angle),
            Self::Paint(Action::Round(wanted)) => geometry::rounded(size, wanted),
            // A smart cut's place is not known yet, but its size is.
            Self::Later(Action::Resize(wanted), _) => geometry::resize(wanted, size).size(),
            Self::Later(Action::Thumbnail(wanted), _) => geometry::thumbnail(wanted, size).size(),
            Self::Later(Action::Crop(wanted), entry) => {
                geometry::crop(*entry, wanted, size).map_or(size, |area| area.size())
            }
            Self::Turn(_) | Self::Watermark(_) | Self::Paint(_) | Self::Later(..) => size,
        }
    }

    /// Whether it leaves a picture of `size` as it is.
    pub(crate) fn is_idle(&self, size: (u32, u32)) -> bool {
        match self {
            Self::Resize(placement) => placement.is_idle(size),
            Self::Cut(area) => area.size() == size,
            Self::Turn(orientation) => *orientation == 1,
            Self::Extend(canvas) => canvas.size == size,
            Self::Watermark(_) | Self::Paint(_) | Self::Later(..) => false,
        }
    }
}
/// The step of `action` for this picture. It no longer depends on pixels.
///
/// # Errors
/// `output-too-large` and `invalid-operation`, naming the entry.
pub(crate) fn settle<'a, S: Sample>(
    action: &'a Action,
    picture: &Raster<S>,
    entry: ActionPath,
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

/// Whether the part that the action cuts depends on the pixels.
fn is_smart(action: &Action) -> bool {
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

/// Takes one step, which must be settled.
pub(crate) fn perform<'p, S: Sample>(
    picture: Cow<'p, Raster<S>>,
    step: &Step<'_>,
    alpha: Alpha,
    resizer: &mut Resizer,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Cow<'p, Raster<S>>> {
    Ok(Cow::Owned(match step {
        Step::Resize(placement) => resize::resize(&picture, placement, resizer)?,
        Step::Cut(area) => frame::cut(&picture, *area),
        Step::Turn(orientation) => match picture {
            Cow::Owned(picture) => picture.oriented(*orientation),
            Cow::Borrowed(picture) => picture.turned_by(*orientation),
        },
        Step::Extend(canvas) => frame::extend(picture.into_owned(), canvas),
        Step::Watermark(wanted) => {
            let mark = watermark::mark(wanted, picture.size())?;
            watermark::draw(picture.into_owned(), &mark, alpha, go_on)?
        }
        Step::Paint(action) => super::paint(action, picture.into_owned()),
        Step::Later(..) => return Err(Error::new(Code::DecoderFailure, "a step was taken before it was settled")),
    }))
}
