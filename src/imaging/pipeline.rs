//! From operations to a plan, and from the plan to outputs: one decode, N outputs.
//!
//! [`Plan::new`] knows every size before a pixel is decoded, so that limits, missing glyphs and
//! the scale of the decode are settled first. Whole-picture resizes are made largest first, and a
//! smaller one is made from the result of a larger where that costs nothing to the eye.

use std::borrow::Cow;

use fast_image_resize::Resizer;

use super::codec::{self, Facts, jpeg};
use super::operation::{Action, Filter, Operation, Save, Watermark};
use super::ops::geometry::{self, Placement};
use super::ops::{resize, watermark};
use super::raster::Raster;
use super::{Code, Error, Format, Limits, Output, Result, text};

/// An intermediate serves a smaller output from this many times its size on.
const HEADROOM: u32 = 2;

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
    pub(crate) size: (u32, u32),
    pub(crate) save: &'a Save,
}

pub(crate) enum Step<'a> {
    Resize(Placement),
    Watermark(&'a Watermark),
}

impl<'a> Plan<'a> {
    /// # Errors
    /// `output-too-large` and `missing-glyph`.
    pub(crate) fn new(facts: &Facts, operations: &'a [Operation], limits: &Limits) -> Result<Self> {
        Self::of(facts.upright_size(), operations, limits)
    }

    fn of(size: (u32, u32), operations: &'a [Operation], limits: &Limits) -> Result<Self> {
        let mut outputs = Vec::with_capacity(operations.len());
        for (index, operation) in operations.iter().enumerate() {
            let actions = match &operation.action {
                Action::Pipeline { operations } => operations.as_slice(),
                action => std::slice::from_ref(action),
            };
            let mut planned = Planned { index, steps: Vec::new(), size, save: &operation.save };
            for action in actions {
                planned.push(action, limits)?;
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
    let plan = Plan::of(size, operations, limits).ok()?;
    let sizes = plan.outputs.iter().flat_map(|planned| {
        let resized = planned.steps.iter().filter_map(|step| match step {
            Step::Resize(placement) => Some(placement.size()),
            Step::Watermark(_) => None,
        });
        // What does not begin with a resize works on a copy of the source.
        resized.chain((!planned.begins_with_resize()).then_some(size))
    });
    sizes.map(|(width, height)| u64::from(width) * u64::from(height)).max()
}

impl<'a> Planned<'a> {
    fn push(&mut self, action: &'a Action, limits: &Limits) -> Result<()> {
        let placement = match action {
            Action::Resize(wanted) => geometry::resize(wanted, self.size),
            Action::Thumbnail(wanted) => geometry::thumbnail(wanted, self.size),
            Action::Watermark(watermark) => {
                text::check(&watermark.text)?;
                self.steps.push(Step::Watermark(watermark));
                return Ok(());
            }
            Action::Convert => return Ok(()),
            Action::Pipeline { .. } => {
                return Err(Error::new(Code::InvalidOperation, "pipelines do not nest"));
            }
        };
        geometry::check(&format!("operations[{}]", self.index), placement.size(), limits)?;
        if !placement.is_idle(self.size) {
            self.size = placement.size();
            self.steps.push(Step::Resize(placement));
        }
        Ok(())
    }

    /// The first step, if it makes all of the picture smaller or larger.
    pub(crate) fn plain_resize(&self) -> Option<&Placement> {
        match self.steps.first() {
            Some(Step::Resize(placement)) if placement.is_plain() => Some(placement),
            _ => None,
        }
    }

    pub(crate) fn begins_with_resize(&self) -> bool {
        matches!(self.steps.first(), Some(Step::Resize(_)))
    }

    /// The format and how it is written.
    pub(crate) fn target(&self, facts: &Facts, has_alpha: bool) -> (Format, jpeg::Tables) {
        let source = facts.header.format;
        let format = self.save.format.unwrap_or(match source {
            format if format.is_writable() => format,
            _ if has_alpha => Format::Png,
            _ => Format::Jpeg,
        });
        let kept = || {
            let keeps = self.save.quality.is_none() && self.size == facts.upright_size();
            facts.jpeg.as_ref().filter(|_| keeps).and_then(|header| jpeg::Tables::kept(header, facts.orientation))
        };
        let quality = jpeg::Tables::Quality(self.save.quality.unwrap_or(jpeg::DEFAULT_QUALITY));
        (format, kept().unwrap_or(quality))
    }
}

/// What [`run`] works under.
pub(crate) struct Run<'r> {
    pub(crate) limits: &'r Limits,
    pub(crate) interrupted: &'r dyn Fn() -> bool,
    pub(crate) emit: &'r mut dyn FnMut(usize, Output) -> std::io::Result<()>,
}

impl Run<'_> {
    /// # Errors
    /// `time-limit`, once the caller says so.
    pub(crate) fn go_on(&self) -> Result<()> {
        if (self.interrupted)() {
            return Err(Error::new(Code::TimeLimit, "the time for this picture is over"));
        }
        Ok(())
    }

    pub(crate) fn emit(&mut self, index: usize, output: Output) -> Result<()> {
        (self.emit)(index, output)
            .map_err(|error| Error::new(Code::Storage, format!("storing output {index}: {error}")))
    }
}

/// Makes the plan's outputs in pixels.
pub(crate) fn run(source: &[u8], facts: &Facts, plan: &Plan<'_>, run: &mut Run<'_>) -> Result<()> {
    run.go_on()?;
    let mut original = Some(codec::decode(source, facts, plan.shrink(), run.limits)?);
    let mut resizer = Resizer::new();
    // The smallest plain resize so far.
    let mut intermediate: Option<Raster> = None;
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
        finish(picture, steps, planned, facts, &mut resizer, run)?;
    }
    Ok(())
}

/// Takes the steps that are left, and writes the picture.
pub(crate) fn finish(
    mut picture: Cow<'_, Raster>,
    steps: std::slice::Iter<'_, Step<'_>>,
    planned: &Planned<'_>,
    facts: &Facts,
    resizer: &mut Resizer,
    run: &mut Run<'_>,
) -> Result<()> {
    for step in steps {
        run.go_on()?;
        picture = Cow::Owned(match step {
            Step::Resize(placement) => resize::resize(&picture, placement, resizer)?,
            Step::Watermark(wanted) => {
                let mark = watermark::mark(wanted, (picture.width, picture.height))?;
                watermark::draw(picture.into_owned(), &mark)
            }
        });
    }
    run.go_on()?;
    let (format, tables) = planned.target(facts, picture.has_alpha());
    let output = codec::encode(&picture, format, &tables)?;
    drop(picture);
    run.emit(planned.index, output)
}

/// Whether an intermediate of `size` is large enough for `placement`.
pub(crate) fn serves(size: (u32, u32), placement: &Placement) -> bool {
    let (width, height) = placement.scaled;
    size.0 >= HEADROOM * width && size.1 >= HEADROOM * height
}

fn resized(
    original: &Raster,
    intermediate: Option<&Raster>,
    placement: &Placement,
    resizer: &mut Resizer,
) -> Result<Raster> {
    let source = intermediate.filter(|made| serves((made.width, made.height), placement)).unwrap_or(original);
    // The original may have been decoded at a reduced scale.
    let crop = [0.0, 0.0, f64::from(source.width), f64::from(source.height)];
    resize::resize(source, &Placement { crop, ..placement.clone() }, resizer)
}
