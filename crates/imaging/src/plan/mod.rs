//! The plan for one source, decided before a pixel is decoded: every output's size, which outputs are made
//! together and by which route, and which output is made from which.
//!
//! [`Plan::new`] checks limits and missing glyphs. Whole-picture resizes are made largest first, and a smaller one is made
//! from the result of a larger one where the eye sees no difference ([`Origin`]). [`routes`](crate::routes) carries a plan
//! out, [`explain`](crate::explain()) prints it; neither decides anything again.

mod memory;
mod output;
mod route;

use std::borrow::Cow;

use super::codec::{self, Facts};
use super::operation::{Action, Filter, Operation};
use super::ops::geometry::Placement;
use super::ops::watermark;
use super::{Code, Error, Format, Limits, Result};
pub use memory::estimate;
pub(crate) use output::Planned;
pub(crate) use route::{Route, Way};
use route::{planes_reduction, reduction, ways};

/// A smaller output is made from an earlier one, or from a decode at a reduced scale, that has at least this many times
/// its width and height.
const HEADROOM: u32 = 2;

/// The plan for one source.
pub(crate) struct Plan<'a> {
    /// In the order in which they are made: animations, pictures in sRGB, and pictures in the colours of the source's
    /// profile. No pass is empty.
    pub(crate) passes: Vec<Pass<'a>>,
}

/// Outputs that are made together, from one reading of the source.
pub(crate) struct Pass<'a> {
    /// The source; in its own colours, if these outputs keep its profile.
    pub(crate) facts: Cow<'a, Facts>,
    pub(crate) route: Route,
    /// In the order in which they are made.
    pub(crate) outputs: Vec<Routed<'a>>,
}

/// An output, and how its pass makes it.
pub(crate) struct Routed<'a> {
    pub(crate) planned: Planned<'a>,
    pub(crate) way: Way<'a>,
    pub(crate) from: Origin,
    /// Whether a later output is made from the resized picture of this one.
    pub(crate) is_origin: bool,
}

/// The picture that an output is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The source's coefficients: only blocks that change are decoded.
    Coefficients,
    Decoded,
    /// The resized picture of the output of this operation, which is the last origin before.
    Output(usize),
}

impl<'a> Plan<'a> {
    /// # Errors
    /// `output-too-large`, `missing-glyph` and `invalid-operation`, naming the entry.
    pub(crate) fn new(facts: &'a Facts, operations: &'a [Operation], limits: &Limits) -> Result<Self> {
        let mut outputs = sized(facts.upright_size(), facts.orientation, operations, limits)?;
        for planned in &mut outputs {
            planned.alpha = codec::encode::alpha(planned.save, facts);
        }
        for planned in outputs.iter().filter(|planned| planned.inquiry.is_none() && planned.settled) {
            codec::check_size(planned.save, planned.index, facts, planned.size)?;
        }
        for (entry, action) in operations.iter().enumerate().flat_map(|(index, operation)| operation.entries(index)) {
            if let Action::Watermark(wanted) = action {
                let named = |error: Error| Error::new(error.code, format!("{entry}: {}", error.detail));
                watermark::check(wanted).map_err(named)?;
            }
        }
        let (animated, stills): (Vec<_>, Vec<_>) = outputs.into_iter().partition(|p| p.is_animated(&facts.header));
        check_frames(&animated, facts, limits)?;
        let keeps =
            |planned: &Planned<'_>| planned.inquiry.is_none() && codec::Target::keeps_profile(planned.save, facts);
        let (own, srgb): (Vec<_>, Vec<_>) = stills.into_iter().partition(keeps);
        let mut passes = Vec::with_capacity(1);
        if !animated.is_empty() {
            passes.push(Pass::in_frames(Cow::Borrowed(facts), animated));
        }
        if !srgb.is_empty() {
            passes.push(Pass::new(Cow::Borrowed(facts), srgb));
        }
        if !own.is_empty() {
            passes.push(Pass::new(Cow::Owned(facts.clone().in_own_colors()), own));
        }
        Ok(Self { passes })
    }
}

/// Each operation's output for a source of this size, in the order in which they are made.
fn sized<'a>(
    size: (u32, u32),
    orientation: u8,
    operations: &'a [Operation],
    limits: &Limits,
) -> Result<Vec<Planned<'a>>> {
    let mut outputs = Vec::with_capacity(operations.len());
    for (index, operation) in operations.iter().enumerate() {
        let mut planned = Planned::new(index, size, orientation, operation);
        for (entry, action) in operation.entries(index) {
            planned.push(action, entry, limits)?;
        }
        outputs.push(planned);
    }
    // Largest first. Outputs that are not plain resizes come last: they need only the source.
    outputs.sort_by_key(|planned| match planned.plain_resize() {
        Some(placement) => (0, u64::MAX - u64::from(placement.scaled.0) * u64::from(placement.scaled.1)),
        None => (1, 0),
    });
    Ok(outputs)
}

/// Holds all frames of each animated output against the limit.
///
/// # Errors
/// `output-too-large`.
fn check_frames(animated: &[Planned<'_>], facts: &Facts, limits: &Limits) -> Result<()> {
    for Planned { index, size: (width, height), .. } in animated {
        let frames = facts.header.frames;
        let (summed, limit) = (u64::from(*width) * u64::from(*height) * u64::from(frames), limits.max_frame_pixels);
        if summed > limit {
            let detail = format!(
                "operations[{index}]: {frames} frames of {width}x{height} exceed limits.max_frame_pixels ({limit})"
            );
            return Err(Error::new(Code::OutputTooLarge, detail));
        }
    }
    Ok(())
}

impl<'a> Pass<'a> {
    /// By the shortest route that the source's header and the outputs allow.
    fn new(facts: Cow<'a, Facts>, outputs: Vec<Planned<'a>>) -> Self {
        let route = Route::Coefficients { shrink: planes_reduction(&outputs) };
        match ways(route, &facts, &outputs) {
            Some(ways) => Self::by_ways(facts, route, outputs, ways),
            None => Self::without_coefficients(facts, outputs),
        }
    }

    fn without_coefficients(facts: Cow<'a, Facts>, outputs: Vec<Planned<'a>>) -> Self {
        let is_full = reduction(facts.upright_size(), &outputs) == 1;
        match is_full.then(|| ways(Route::Planes, &facts, &outputs)).flatten() {
            Some(ways) => Self::by_ways(facts, Route::Planes, outputs, ways),
            None => Self::in_pixels(facts, outputs),
        }
    }

    fn in_pixels(facts: Cow<'a, Facts>, outputs: Vec<Planned<'a>>) -> Self {
        let route = Route::Pixels { shrink: reduction(facts.upright_size(), &outputs) };
        let ways = outputs.iter().map(|_| Way::Pixels).collect();
        Self::by_ways(facts, route, outputs, ways)
    }

    fn in_frames(facts: Cow<'a, Facts>, outputs: Vec<Planned<'a>>) -> Self {
        let ways = outputs.iter().map(|_| Way::Pixels).collect();
        Self::by_ways(facts, Route::Frames, outputs, ways)
    }

    /// Decides what each output is made from. The last plain resize serves the outputs after it that are small enough;
    /// frames are each resized from what was decoded.
    fn by_ways(facts: Cow<'a, Facts>, route: Route, outputs: Vec<Planned<'a>>, ways: Vec<Way<'a>>) -> Self {
        let is_planar = matches!(route, Route::Coefficients { .. } | Route::Planes);
        let mut routed: Vec<Routed<'a>> = Vec::with_capacity(outputs.len());
        // Where the last plain resize is in `routed`, and its size.
        let mut last: Option<(usize, (u32, u32))> = None;
        for (planned, way) in outputs.into_iter().zip(ways) {
            let placement = planned.plain_resize().filter(|_| route != Route::Frames);
            let base = placement.and_then(|placement| last.filter(|(_, size)| serves(*size, placement)));
            let from = match (base, &way) {
                (Some((at, _)), _) => {
                    routed[at].is_origin = true;
                    Origin::Output(routed[at].planned.index)
                }
                (None, Way::Marked(..)) => Origin::Coefficients,
                (None, _) => Origin::Decoded,
            };
            // On the way from planes to pixels there is no picture that serves others.
            let leaves_planes = is_planar && matches!(way, Way::Pixels);
            if let Some(placement) = placement.filter(|made| made.filter == Filter::Lanczos3 && !leaves_planes) {
                last = Some((routed.len(), placement.scaled));
            }
            routed.push(Routed { planned, way, from, is_origin: false });
        }
        Self { facts, route, outputs: routed }
    }

    /// The same outputs by the next longer route, for a source that this one cannot read.
    pub(crate) fn longer(self) -> Self {
        let outputs = self.outputs.into_iter().map(|routed| routed.planned).collect();
        match self.route {
            Route::Coefficients { .. } => Self::without_coefficients(self.facts, outputs),
            Route::Planes | Route::Pixels { .. } | Route::Frames => Self::in_pixels(self.facts, outputs),
        }
    }

    /// The same outputs by this route; in pixels by the shortest. `None` if it cannot make them.
    #[cfg(test)]
    pub(crate) fn by(self, route: Option<Route>) -> Option<Self> {
        let outputs: Vec<_> = self.outputs.into_iter().map(|routed| routed.planned).collect();
        let Some(route) = route else { return Some(Self::in_pixels(self.facts, outputs)) };
        let ways = ways(route, &self.facts, &outputs)?;
        Some(Self::by_ways(self.facts, route, outputs, ways))
    }

    /// The size that the source is decoded to.
    pub(crate) fn decoded_size(&self) -> (u32, u32) {
        let (width, height) = self.facts.upright_size();
        let shrink = match self.route {
            Route::Coefficients { shrink } => shrink.into(),
            // Decoders of other formats have no reduced scale.
            Route::Pixels { shrink } if self.facts.header.format == Format::Jpeg => shrink.into(),
            Route::Frames | Route::Planes | Route::Pixels { .. } => 1,
        };
        (width.div_ceil(shrink), height.div_ceil(shrink))
    }

    /// Whether an output can hold more than eight bits a channel.
    pub(crate) fn keeps_depth(&self) -> bool {
        let mut planned = self.outputs.iter().map(|routed| &routed.planned);
        planned.any(|planned| {
            planned.inquiry.is_none() && matches!(planned.target(&self.facts, true).format, Format::Png | Format::Tiff)
        })
    }
}

/// Whether a picture of `size` is large enough for `placement` to be made from it.
fn serves(size: (u32, u32), placement: &Placement) -> bool {
    let (width, height) = placement.scaled;
    size.0 >= HEADROOM * width && size.1 >= HEADROOM * height
}
