//! The routes by which outputs can be made, and what a source and its outputs must be for each.

use super::HEADROOM;
use super::output::Planned;
use crate::codec::jpeg::{self, coefficients};
use crate::codec::{self, Facts};
use crate::operation::{Filter, Watermark};
use crate::ops::Step;

/// From this many times an output's size on, a half-size decode serves it: less than what an intermediate must have,
/// because lower frequencies alone are sharper than resampled pixels.
const PLANES_HEADROOM_OF_HALVES: f64 = 1.5;

/// Smaller decodes keep so few frequencies of a block that fine texture shows in what is made of them.
const PLANES_HEADROOM: f64 = 3.0;

/// How the outputs of a pass are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// From an animation's frames.
    Frames,
    /// From a JPEG's DCT coefficients, resized outputs through planes at this reduction (1, 2, 4 or 8).
    Coefficients { shrink: u8 },
    /// From a JPEG's planes at full size, as the decoder makes them: luma, and chroma as it is stored.
    Planes,
    /// From pixels; decoders that can do so are asked for this reduction (1, 2, 4 or 8).
    Pixels { shrink: u8 },
}

/// How an output is written.
pub(crate) enum Way<'a> {
    /// From the coefficients, under these marks.
    Marked(Vec<&'a Watermark>, jpeg::Tables),
    /// From planes, as a JPEG of this quality.
    Planes(u8),
    /// In pixels: all of it, or on the routes through planes all after the first step, which resizes.
    Pixels,
}

/// What becomes of each output; `None` if one cannot be made on this route, which is `Coefficients` or `Planes`.
///
/// 8-bit YCbCr without a colour profile, 4:2:0 or less subsampled, and outputs that planes serve.
pub(super) fn ways<'a>(route: Route, facts: &Facts, outputs: &[Planned<'a>]) -> Option<Vec<Way<'a>>> {
    let header = facts.jpeg.as_ref()?;
    let sampling = matches!(header.sampling(), Some((1 | 2, 1 | 2)));
    // Neither route reads scans of some of the components. Whether an arithmetic-coded file is cut short, only
    // `codec::decode` looks.
    let is_readable = sampling && !header.is_split() && !header.arithmetic && header.is_ycbcr();
    if !is_readable || codec::icc::matters(facts.icc.as_deref()) {
        return None;
    }
    outputs.iter().map(|planned| way(route, planned, facts, header)).collect()
}

fn way<'a>(route: Route, planned: &Planned<'a>, facts: &Facts, header: &jpeg::JpegHeader) -> Option<Way<'a>> {
    let tables = planned.target(facts, false).plain_jpeg();
    let full_size = !planned.begins_with_resize();
    if full_size && planned.inquiry.is_some() {
        return None;
    }
    if full_size && matches!(route, Route::Coefficients { .. }) {
        let marks = planned.steps.iter().map(|step| match step {
            Step::Watermark(wanted) => Some(*wanted),
            _ => None,
        });
        let sampling = header.sampling()?;
        let tables = tables.filter(|tables| matches!(tables, jpeg::Tables::Kept(_)) || sampling == (2, 2))?;
        let size = (facts.header.width, facts.header.height);
        let turnable = coefficients::is_turnable(size, sampling, facts.orientation);
        return turnable.then(|| marks.collect::<Option<Vec<_>>>()).flatten().map(|marks| Way::Marked(marks, tables));
    }
    // If the last chroma samples cover half of what others cover, turning the picture would shift chroma.
    let even = facts.header.width.is_multiple_of(2) && facts.header.height.is_multiple_of(2);
    if full_size && facts.orientation != 1 && !even {
        return None;
    }
    let quality = match tables {
        Some(jpeg::Tables::Quality(quality)) => Some(quality),
        Some(kept) => kept.standard_quality(),
        None => None,
    };
    match quality {
        Some(quality) if planned.inquiry.is_none() && planned.steps.iter().all(in_planes) => Some(Way::Planes(quality)),
        // What follows the first resize is done in pixels.
        _ => (!full_size && planned.steps.first().is_some_and(in_planes)).then_some(Way::Pixels),
    }
}

/// Whether a step can be taken in planes.
fn in_planes(step: &Step<'_>) -> bool {
    match step {
        // Where planes differ in size, there is no nearest pixel.
        Step::Resize(placement) => {
            placement.canvas.is_none() && !placement.linear && placement.filter != Filter::Nearest
        }
        Step::Watermark(_) => true,
        Step::Cut(_) | Step::Turn(_) | Step::Extend(_) | Step::Paint(_) | Step::Later(..) => false,
    }
}

/// The largest reduction of coefficients to planes (1, 2, 4 or 8) that leaves every resized output its headroom.
pub(super) fn planes_reduction(outputs: &[Planned<'_>]) -> u8 {
    let enough = |shrink: f64, headroom: f64| {
        outputs.iter().all(|planned| match planned.steps.first() {
            Some(Step::Resize(placement)) => {
                let [_, _, width, height] = placement.crop;
                width / shrink >= headroom * f64::from(placement.scaled.0)
                    && height / shrink >= headroom * f64::from(placement.scaled.1)
            }
            _ => true,
        })
    };
    [(8, PLANES_HEADROOM), (4, PLANES_HEADROOM), (2, PLANES_HEADROOM_OF_HALVES)]
        .into_iter()
        .find(|&(shrink, headroom)| enough(shrink.into(), headroom))
        .map_or(1, |(shrink, _)| shrink)
}

/// The largest reduction of a decode to pixels (1, 2, 4 or 8) that leaves every output its headroom, from an upright source
/// of this size.
pub(super) fn reduction((width, height): (u32, u32), outputs: &[Planned<'_>]) -> u8 {
    let enough = |shrink: u32| {
        outputs.iter().all(|planned| {
            planned.plain_resize().is_some_and(|placement| {
                width / shrink >= HEADROOM * placement.scaled.0 && height / shrink >= HEADROOM * placement.scaled.1
            })
        })
    };
    [8, 4, 2].into_iter().find(|&shrink| enough(shrink.into())).unwrap_or(1)
}
