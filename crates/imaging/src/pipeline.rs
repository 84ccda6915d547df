//! From operations to a plan, and from the plan to outputs: one decode, N outputs.
//!
//! [`Plan::new`] knows every size before a pixel is decoded, so that limits, missing glyphs and
//! the scale of the decode are settled first. Whole-picture resizes are made largest first, and a
//! smaller one is made from the result of a larger where that costs nothing to the eye.

use std::borrow::Cow;
use std::fmt;

use fast_image_resize::Resizer;

use super::codec::animation;
use super::codec::{self, Facts, Picture, Reading, jpeg};
use super::operation::{Action, Filter, Fit, Inquiry, Operation, Resize, Save, Thumbnail, Watermark};
use super::ops::geometry::{self, Area, Canvas, Placement};
use super::ops::watermark::Alpha;
use super::ops::{self, frame, resize, watermark};
use super::raster::{Raster, Sample};
use super::{Code, Error, Format, Header, Limits, Made, Options, Result, info};

/// An intermediate serves a smaller output from this many times its size on.
const HEADROOM: u32 = 2;

/// An animated output's: its picture on the way, the one that waits, and what its writer keeps of those before.
const ANIMATED_BYTES_A_PIXEL: u64 = 64;
/// The canvas, what is restored on it, a decoded frame, and the picture in sRGB and turned.
const CANVAS_BYTES_A_PIXEL: u64 = 24;
/// Colours counted, and tables to find them by.
const QUANTISING: u64 = 16 << 20;

/// All that is to be done to one source.
pub(crate) struct Plan<'a> {
    /// The upright source's.
    size: (u32, u32),
    /// In the order in which they are made.
    pub(crate) outputs: Vec<Planned<'a>>,
}

pub(crate) struct Planned<'a> {
    /// The operation's index.
    pub(crate) index: usize,
    pub(crate) steps: Vec<Step<'a>>,
    /// What comes out; where only the pixels can tell, the most that may.
    pub(crate) size: (u32, u32),
    /// Whether `size` is exact.
    pub(crate) settled: bool,
    /// The orientation that the picture was turned by; 1 where it stays as it is stored.
    orientation: u8,
    /// Pixels of the largest picture on the way.
    largest: u64,
    pub(crate) save: &'a Save,
    /// What is asked instead of a picture.
    pub(crate) inquiry: Option<&'a Inquiry>,
    /// Of the file that it is written to.
    pub(crate) alpha: Alpha,
    /// A resize that was given a background and puts nothing around the picture.
    idle_background: Option<Entry>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step<'a> {
    Resize(Placement),
    Cut(Area),
    /// As a picture with that EXIF orientation is turned upright.
    Turn(u8),
    Extend(Canvas),
    Watermark(&'a Watermark),
    /// Changes pixels: [`ops::paint`].
    Paint(&'a Action),
    /// Depends on the pixels that it meets, or on a size that they decide: [`ops::settle`].
    Later(&'a Action, Entry),
}

/// Where an action stands in the request, for messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    index: usize,
    /// Inside a pipeline.
    inner: Option<usize>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operations[{}]", self.index)?;
        self.inner.map_or(Ok(()), |inner| write!(f, ".operations[{inner}]"))
    }
}

impl<'a> Step<'a> {
    /// What `action` is for a picture of that size; [`Step::Later`] where that takes its pixels.
    ///
    /// # Errors
    /// `invalid-operation`, for a crop outside of the picture.
    pub(crate) fn of(action: &'a Action, entry: Entry, size: (u32, u32)) -> Result<Self> {
        Ok(match action {
            Action::Trim(_) => Self::Later(action, entry),
            smart if ops::is_smart(smart) => Self::Later(smart, entry),
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

    /// What it makes of a picture of `size`; of what is decided later, the most.
    pub(crate) fn size(&self, size: (u32, u32)) -> (u32, u32) {
        match self {
            Self::Resize(placement) => placement.size(),
            Self::Cut(area) => area.size(),
            Self::Turn(5..) => (size.1, size.0),
            Self::Extend(canvas) => canvas.size,
            Self::Paint(Action::Rotate(wanted)) => geometry::turned(size, wanted.angle),
            Self::Paint(Action::Round(wanted)) => frame::rounded(size, wanted),
            // Which part a smart cut takes is open, how much is not.
            Self::Later(Action::Resize(wanted), _) => geometry::resize(wanted, size).size(),
            Self::Later(Action::Thumbnail(wanted), _) => geometry::thumbnail(wanted, size).size(),
            Self::Later(Action::Crop(wanted), entry) => {
                geometry::crop(*entry, wanted, size).map_or(size, |area| area.size())
            }
            Self::Turn(_) | Self::Watermark(_) | Self::Paint(_) | Self::Later(..) => size,
        }
    }

    /// Whether it leaves a picture of `size` as it is.
    fn is_idle(&self, size: (u32, u32)) -> bool {
        match self {
            Self::Resize(placement) => placement.is_idle(size),
            Self::Cut(area) => area.size() == size,
            Self::Turn(orientation) => *orientation == 1,
            Self::Extend(canvas) => canvas.size == size,
            Self::Watermark(_) | Self::Paint(_) | Self::Later(..) => false,
        }
    }
}

/// What an operation does, one after the other, each with its place in the request.
fn actions(index: usize, operation: &Operation) -> impl Iterator<Item = (Entry, &Action)> {
    let nests = matches!(operation.action, Action::Pipeline { .. });
    operation.actions().iter().enumerate().map(move |(i, action)| (Entry { index, inner: nests.then_some(i) }, action))
}

impl<'a> Plan<'a> {
    /// # Errors
    /// `output-too-large`, `missing-glyph` and `invalid-operation`, naming the entry.
    pub(crate) fn new(facts: &Facts, operations: &'a [Operation], limits: &Limits) -> Result<Self> {
        let mut plan = Self::of(facts.upright_size(), facts.orientation, operations, limits)?;
        for planned in &mut plan.outputs {
            planned.alpha = codec::encode::alpha(planned.save, facts);
        }
        for planned in plan.outputs.iter().filter(|planned| planned.inquiry.is_none() && planned.settled) {
            codec::check_size(planned.save, planned.index, facts, planned.size)?;
        }
        for (entry, action) in operations.iter().enumerate().flat_map(|(index, operation)| actions(index, operation)) {
            if let Action::Watermark(wanted) = action {
                let named = |error: Error| Error::new(error.code, format!("{entry}: {}", error.detail));
                watermark::check(wanted).map_err(named)?;
            }
        }
        Ok(plan)
    }

    /// The outputs in sRGB, and those that stay in the colours of the source's profile: each take a decode of their own.
    pub(crate) fn by_colors(self, facts: &Facts) -> (Self, Self) {
        let size = self.size;
        let keeps =
            |planned: &Planned<'_>| planned.inquiry.is_none() && codec::Target::keeps_profile(planned.save, facts);
        let (own, srgb) = self.outputs.into_iter().partition(keeps);
        (Self { size, outputs: srgb }, Self { size, outputs: own })
    }

    fn of(size: (u32, u32), orientation: u8, operations: &'a [Operation], limits: &Limits) -> Result<Self> {
        let mut outputs = Vec::with_capacity(operations.len());
        for (index, operation) in operations.iter().enumerate() {
            let mut planned = Planned::new(index, size, orientation, operation);
            for (entry, action) in actions(index, operation) {
                planned.push(action, entry, limits)?;
            }
            outputs.push(planned);
        }
        // Largest first; what is not a plain resize comes last, when only the source is needed.
        outputs.sort_by_key(|planned| match planned.plain_resize() {
            Some(placement) => (0, u64::MAX - u64::from(placement.scaled.0) * u64::from(placement.scaled.1)),
            None => (1, 0),
        });
        Ok(Self { size, outputs })
    }

    /// The outputs that are animations, taken out: they are made frame by frame.
    ///
    /// # Errors
    /// `output-too-large`, where the frames together exceed `max_frame_pixels`.
    pub(crate) fn take_animated(&mut self, facts: &Facts, limits: &Limits) -> Result<Self> {
        let (animated, stills) =
            std::mem::take(&mut self.outputs).into_iter().partition(|p| p.is_animated(&facts.header));
        self.outputs = stills;
        let animated = Self { size: self.size, outputs: animated };
        for Planned { index, size: (width, height), .. } in &animated.outputs {
            let frames = facts.header.frames;
            let (summed, limit) = (u64::from(*width) * u64::from(*height) * u64::from(frames), limits.max_frame_pixels);
            if summed > limit {
                let detail = format!(
                    "operations[{index}]: {frames} frames of {width}x{height} exceed limits.max_frame_pixels ({limit})"
                );
                return Err(Error::new(Code::OutputTooLarge, detail));
            }
        }
        Ok(animated)
    }

    /// Whether an output can hold more than eight bits a channel.
    fn keeps_depth(&self, facts: &Facts) -> bool {
        self.outputs.iter().any(|planned| {
            planned.inquiry.is_none() && matches!(planned.target(facts, true).format, Format::Png | Format::Tiff)
        })
    }

    /// The largest reduction (1, 2, 4 or 8) that leaves every output its headroom.
    pub(crate) fn shrink(&self) -> u8 {
        let enough = |shrink: u32| {
            self.outputs.iter().all(|planned| {
                planned.plain_resize().is_some_and(|placement| {
                    self.size.0 / shrink >= HEADROOM * placement.scaled.0
                        && self.size.1 / shrink >= HEADROOM * placement.scaled.1
                })
            })
        };
        [8, 4, 2].into_iter().find(|&shrink| enough(shrink.into())).unwrap_or(1)
    }
}

/// The pixels of the largest picture between a source of this size and an output; none where the source is refused
/// before it is decoded.
pub(crate) fn largest_step(size: (u32, u32), operations: &[Operation], limits: &Limits) -> Option<u64> {
    let plan = Plan::of(size, 1, operations, limits).ok()?;
    let sizes = plan.outputs.iter().map(|planned| {
        // What does not begin with a resize works on a copy of the source.
        planned.largest.max(if planned.begins_with_resize() { 0 } else { pixels(size) })
    });
    sizes.max()
}

/// What animated outputs take together, in bytes: the canvas, each one's pictures on the way and in its writer, and all
/// of its file, which is counted as if nothing in it could be compressed well.
pub(crate) fn animated_memory(header: &Header, size: (u32, u32), operations: &[Operation], limits: &Limits) -> u64 {
    let Ok(plan) = Plan::of(size, 1, operations, limits) else { return 0 };
    let animated = plan.outputs.iter().filter(|planned| planned.is_animated(header));
    let each = animated.map(|planned| {
        let file = match planned.save.format.unwrap_or(header.format) {
            Format::Gif => 2,
            _ => 4,
        };
        let frames = u64::from(header.frames) * pixels(planned.size) * file;
        planned.largest.max(pixels(size)) * ANIMATED_BYTES_A_PIXEL + frames
    });
    let sum: u64 = each.sum();
    if sum == 0 { 0 } else { sum + pixels(size) * CANVAS_BYTES_A_PIXEL + QUANTISING }
}

impl<'a> Planned<'a> {
    fn new(index: usize, upright: (u32, u32), orientation: u8, operation: &'a Operation) -> Self {
        let inquiry = if let Action::Info(inquiry) = &operation.action { Some(inquiry) } else { None };
        let mut planned = Self {
            index,
            steps: Vec::new(),
            size: upright,
            settled: true,
            orientation,
            largest: 0,
            save: &operation.save,
            inquiry,
            alpha: Alpha::Soft,
            idle_background: None,
        };
        if !operation.auto_orient && orientation != 1 {
            let back = Step::Turn(as_stored(orientation));
            planned.size = back.size(upright);
            planned.orientation = 1;
            planned.steps.push(back);
        }
        planned
    }

    fn push(&mut self, action: &'a Action, entry: Entry, limits: &Limits) -> Result<()> {
        match action {
            Action::Convert => return Ok(()),
            Action::Pipeline { .. } => {
                return Err(Error::new(Code::InvalidOperation, "pipelines do not nest"));
            }
            Action::Info(_) => {
                self.add(Step::Resize(info::small(self.size)));
                return Ok(());
            }
            Action::Resize(Resize { fit, background: Some(_), .. })
            | Action::Thumbnail(Thumbnail { fit, background: Some(_), .. })
                if *fit != Fit::Contain =>
            {
                self.idle_background = Some(entry);
            }
            _ => {}
        }
        if self.settled {
            let step = Step::of(action, entry, self.size)?;
            geometry::check(entry, step.size(self.size), limits)?;
            self.settled = !matches!(action, Action::Trim(_));
            self.add(step);
        } else {
            // Neither is refused for what it may come to; that is seen when it has come to it.
            let (most, settled) = geometry::most(action, self.size, limits);
            self.steps.push(Step::Later(action, entry));
            (self.size, self.settled) = (most, settled);
            self.largest = self.largest.max(pixels(most).min(limits.max_pixels));
        }
        Ok(())
    }

    fn add(&mut self, step: Step<'a>) {
        if step.is_idle(self.size) {
            return;
        }
        self.size = step.size(self.size);
        self.largest = self.largest.max(pixels(self.size));
        self.steps.push(step);
    }

    /// The first step, if it makes all of the picture smaller or larger.
    pub(crate) fn plain_resize(&self) -> Option<&Placement> {
        match self.steps.first() {
            Some(Step::Resize(placement)) if placement.is_plain() => Some(placement),
            _ => None,
        }
    }

    /// Whether all frames of the source go into this output.
    pub(crate) fn is_animated(&self, source: &Header) -> bool {
        let moves = source.frames > 1 && animation::holds(source.format);
        let may = self.inquiry.is_none() && self.save.still != Some(true);
        moves && may && animation::holds(self.save.format.unwrap_or(source.format))
    }

    pub(crate) fn begins_with_resize(&self) -> bool {
        matches!(self.steps.first(), Some(Step::Resize(_)))
    }

    /// What a person is told whose background was not drawn behind a picture with alpha.
    pub(crate) fn undrawn_background(&self) -> Option<String> {
        let entry = self.idle_background?;
        let why = "with this fit there is nothing around the picture; `flatten` lays a background behind it";
        Some(format!("not-followed: {entry}.background: {why}"))
    }

    /// How it is written; alpha decides where no format is asked for.
    pub(crate) fn target(&self, facts: &Facts, has_alpha: bool) -> codec::Target {
        let (width, height) = facts.upright_size();
        let lies = self.orientation != facts.orientation && facts.orientation >= 5;
        let is_full = self.size == if lies { (height, width) } else { (width, height) };
        let kept = || {
            let header = facts.jpeg.as_ref().filter(|_| is_full)?;
            match jpeg::Tables::kept(header, self.orientation)? {
                jpeg::Tables::Kept(kept) => Some(kept),
                jpeg::Tables::Quality(_) => None,
            }
        };
        codec::Target::new(self.save, self.index, facts, has_alpha, kept)
    }
}

fn pixels((width, height): (u32, u32)) -> u64 {
    u64::from(width) * u64::from(height)
}

/// The orientation that undoes another: each is its own, but for the quarter turns.
fn as_stored(orientation: u8) -> u8 {
    match orientation {
        6 => 8,
        8 => 6,
        own => own,
    }
}

/// What [`run`] works under.
pub(crate) struct Run<'r> {
    pub(crate) options: &'r Options<'r>,
    /// Of the source; each output gets them.
    pub(crate) warnings: Vec<String>,
    pub(crate) emit: &'r mut dyn FnMut(usize, Made) -> std::io::Result<()>,
}

impl Run<'_> {
    /// # Errors
    /// `time-limit`, once the caller says so.
    pub(crate) fn go_on(&self) -> Result<()> {
        if (self.options.interrupted)() {
            return Err(Error::new(Code::TimeLimit, "the time for this picture is over"));
        }
        Ok(())
    }

    pub(crate) fn emit(&mut self, index: usize, mut made: Made) -> Result<()> {
        if let Made::Picture(output) = &mut made {
            output.warnings.extend_from_slice(&self.warnings);
        }
        (self.emit)(index, made).map_err(|error| Error::new(Code::Storage, format!("storing output {index}: {error}")))
    }
}

/// Makes the plan's outputs in pixels.
pub(crate) fn run(source: &[u8], facts: &Facts, plan: &Plan<'_>, run: &mut Run<'_>) -> Result<()> {
    run.go_on()?;
    let &Options { limits, lenient, interrupted } = run.options;
    let deep = facts.header.deep && plan.keeps_depth(facts);
    let reading =
        Reading { shrink: plan.shrink(), deep, as_stored: facts.kept_icc.is_some(), lenient, limits, interrupted };
    let decoded = codec::decode(source, facts, &reading)?;
    if decoded.truncated {
        run.warnings
            .push(format!("{}: the file ends early; what is missing is left blank", Code::TruncatedImage.as_str()));
    }
    match decoded.picture {
        Picture::Eight(original) => still(original, facts, plan, run),
        Picture::Sixteen(original) => still(original, facts, plan, run),
    }
}

fn still<S: Sample>(original: Raster<S>, facts: &Facts, plan: &Plan<'_>, run: &mut Run<'_>) -> Result<()> {
    let mut original = Some(original);
    let mut resizer = Resizer::new();
    // The smallest plain resize so far.
    let mut intermediate: Option<Raster<S>> = None;
    let last = plan.outputs.len() - 1;
    for (position, planned) in plan.outputs.iter().enumerate() {
        run.go_on()?;
        let mut steps = planned.steps.iter();
        let full = original.as_ref().expect("it is taken for the last output only");
        let picture = match planned.plain_resize() {
            Some(placement) => {
                steps.next();
                let made = resized(full, intermediate.as_ref(), placement, &mut resizer)?;
                // Later outputs are smaller still, so that this one serves them best.
                if placement.filter == Filter::Lanczos3 {
                    Cow::Borrowed(&*intermediate.insert(made))
                } else {
                    Cow::Owned(made)
                }
            }
            // Not to be copied for the mark.
            None if position == last => Cow::Owned(original.take().expect("taken once")),
            None => Cow::Borrowed(full),
        };
        let picture = apply(picture, steps, planned.alpha, &mut resizer, run)?;
        write(picture, planned, facts, run)?;
    }
    Ok(())
}

/// Takes the steps that are left.
pub(crate) fn apply<'p, S: Sample>(
    mut picture: Cow<'p, Raster<S>>,
    steps: std::slice::Iter<'_, Step<'_>>,
    alpha: Alpha,
    resizer: &mut Resizer,
    run: &Run<'_>,
) -> Result<Cow<'p, Raster<S>>> {
    for step in steps {
        run.go_on()?;
        let settled;
        let step = match step {
            Step::Later(action, entry) => {
                settled = ops::settle(action, &picture, *entry, run.options.limits, resizer)?;
                &settled
            }
            known => known,
        };
        picture = perform(picture, step, alpha, resizer, &|| run.go_on())?;
    }
    Ok(picture)
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
        Step::Paint(action) => ops::paint(action, picture.into_owned()),
        Step::Later(..) => return Err(Error::new(Code::DecoderFailure, "a step was taken before it was settled")),
    }))
}

/// Writes a finished picture, or what was asked about it.
pub(crate) fn write<S: Sample>(
    picture: Cow<'_, Raster<S>>,
    planned: &Planned<'_>,
    facts: &Facts,
    run: &mut Run<'_>,
) -> Result<()> {
    run.go_on()?;
    if let Some(inquiry) = planned.inquiry {
        let info = info::about(&S::view(&picture).eight(), facts, inquiry);
        return run.emit(planned.index, Made::Info(Box::new(info)));
    }
    let target = planned.target(facts, picture.has_alpha());
    let mut output = codec::encode(S::view(&picture), &target, run.options.interrupted)?;
    output.warnings.extend(planned.undrawn_background().filter(|_| picture.has_alpha()));
    drop(picture);
    run.emit(planned.index, Made::Picture(output))
}

/// Whether an intermediate of `size` is large enough for `placement`.
pub(crate) fn serves(size: (u32, u32), placement: &Placement) -> bool {
    let (width, height) = placement.scaled;
    size.0 >= HEADROOM * width && size.1 >= HEADROOM * height
}

fn resized<S: Sample>(
    original: &Raster<S>,
    intermediate: Option<&Raster<S>>,
    placement: &Placement,
    resizer: &mut Resizer,
) -> Result<Raster<S>> {
    let source = intermediate.filter(|made| serves((made.width, made.height), placement)).unwrap_or(original);
    // The original may have been decoded at a reduced scale.
    let crop = [0.0, 0.0, f64::from(source.width), f64::from(source.height)];
    resize::resize(source, &Placement { crop, ..placement.clone() }, resizer)
}
