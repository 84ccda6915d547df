//! The short ways for everyday JPEGs: from JPEG to JPEG without a trip to RGB.
//!
//! A file is read once, into its DCT coefficients. Smaller outputs come from these at the least scale that
//! serves them all: Y, Cb and Cr planes are resized, marked and encoded as they are, so that nothing is converted
//! and no chroma is upsampled only to be halved again. Full-size outputs are written from the coefficients
//! themselves, only the blocks under a mark changed ([`marked`]). Where coefficients cannot be read or written, the
//! decoder's planes serve; what does not qualify for these either ([`Route::of`]) is [`pipeline`]'s, in pixels. All
//! ways give outputs that look the same.

mod marked;
mod picture;

use std::borrow::Cow;

use fast_image_resize::Resizer;
use libjpeg_turbo_rs::Subsampling;

use super::codec::jpeg::coefficients::{self, Coefficients};
use super::codec::{self, Facts, jpeg};
use super::operation::{Filter, Watermark};
use super::ops::watermark;
use super::pipeline::{Plan, Planned, Run, Step};
use super::{Error, Format, Header, Made, Output, Result, pipeline};
use picture::Planes;

/// From this many times an output's size on, a half-size decode serves it: less than what an intermediate must have,
/// because lower frequencies alone are sharper than resampled pixels.
const HEADROOM_OF_HALVES: f64 = 1.5;

/// Smaller decodes keep so few frequencies of a block that fine texture shows in what is made of them.
const HEADROOM: f64 = 3.0;

/// How a source's outputs are made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// From the coefficients, resized outputs through planes at this reduction (1, 2, 4 or 8).
    Coefficients { shrink: u8 },
    /// From the decoder's planes at full size.
    Planes,
}

impl Route {
    /// The best way that the source's header and the plan allow; none if it is pixels.
    pub(crate) fn of(facts: &Facts, plan: &Plan<'_>) -> Option<Self> {
        // Whether an arithmetic-coded one is cut short, only `codec::decode` looks.
        if facts.jpeg.as_ref().is_none_or(|header| header.arithmetic) {
            return None;
        }
        let shortest = Self::Coefficients { shrink: shrink(plan) };
        if ways(shortest, facts, plan).is_some() {
            return Some(shortest);
        }
        (plan.shrink() == 1 && ways(Self::Planes, facts, plan).is_some()).then_some(Self::Planes)
    }
}

/// How an output is written.
enum Way<'a> {
    /// From the coefficients, under these marks.
    Marked(Vec<&'a Watermark>, jpeg::Tables),
    /// From planes, as a JPEG of this quality.
    Planes(u8),
    /// In pixels after the first step, which resizes.
    Pixels,
}

/// What becomes of each output; `None` where one cannot be made on this route.
///
/// 8-bit YCbCr without a colour profile, 4:2:0 or less subsampled, and outputs that planes serve.
fn ways<'a>(route: Route, facts: &Facts, plan: &Plan<'a>) -> Option<Vec<Way<'a>>> {
    let header = facts.jpeg.as_ref()?;
    let sampling = matches!(header.sampling(), Some((1 | 2, 1 | 2)));
    // Neither way reads scans of some of the components.
    if !sampling || header.is_split() || !header.is_ycbcr() || codec::icc::matters(facts.icc.as_deref()) {
        return None;
    }
    plan.outputs.iter().map(|planned| way(route, planned, facts, header)).collect()
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
    // Turning a picture whose last chroma samples cover half of what others do would shift chroma.
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

/// The largest reduction that leaves every resized output its headroom.
fn shrink(plan: &Plan<'_>) -> u8 {
    let enough = |shrink: f64, headroom: f64| {
        plan.outputs.iter().all(|planned| match planned.steps.first() {
            Some(Step::Resize(placement)) => {
                let [_, _, width, height] = placement.crop;
                width / shrink >= headroom * f64::from(placement.scaled.0)
                    && height / shrink >= headroom * f64::from(placement.scaled.1)
            }
            _ => true,
        })
    };
    [(8, HEADROOM), (4, HEADROOM), (2, HEADROOM_OF_HALVES)]
        .into_iter()
        .find(|&(shrink, headroom)| enough(shrink.into(), headroom))
        .map_or(1, |(shrink, _)| shrink)
}

/// Makes the plan's outputs in planes; false, with nothing done, where that is not possible.
pub(crate) fn run(source: &[u8], facts: &Facts, plan: &Plan<'_>, run: &mut Run<'_>) -> Result<bool> {
    let Some(route) = Route::of(facts, plan) else { return Ok(false) };
    if take(route, source, facts, plan, run)? {
        return Ok(true);
    }
    // The decoder copes with more than the reader of coefficients.
    let longer = route != Route::Planes && plan.shrink() == 1;
    Ok(longer && take(Route::Planes, source, facts, plan, run)?)
}

/// As [`run`], on this route alone.
pub(crate) fn take(route: Route, source: &[u8], facts: &Facts, plan: &Plan<'_>, run: &mut Run<'_>) -> Result<bool> {
    let Some(ways) = ways(route, facts, plan) else { return Ok(false) };
    run.go_on()?;
    let resizes = ways.iter().any(|way| !matches!(way, Way::Marked(..)));
    let mut coefficients = None;
    let mut planes = None;
    // Whatever is wrong with the source is for the pixel path to find and name.
    match route {
        Route::Coefficients { shrink } => {
            let marks = ways.iter().any(|way| matches!(way, Way::Marked(..)));
            let depth = match shrink {
                _ if marks => 64,
                8 => 1,
                4 | 2 => 25,
                _ => 64,
            };
            let Some(read) = read(source, facts, depth, run)? else { return Ok(false) };
            if resizes {
                let made = codec::guarded(Format::Jpeg, || Ok(Planes::of(&read, shrink)))?;
                let Some(made) = made else { return Ok(false) };
                planes = Some(upright(made, facts));
            }
            coefficients = Some(match facts.orientation {
                2.. if marks => read.turned(facts.orientation),
                _ => read,
            });
        }
        Route::Planes => {
            planes = decoded(source, facts, run);
            if planes.is_none() {
                return Ok(false);
            }
        }
    }
    // Once an output is out, there is no other way: these are the ones that may turn out not to be possible.
    let mut marked = Vec::with_capacity(ways.len());
    for (way, planned) in ways.iter().zip(&plan.outputs) {
        let Way::Marked(marks, tables) = way else { continue };
        run.go_on()?;
        let Some(coefficients) = &coefficients else { return Ok(false) };
        let Some(data) = marked::encoded(coefficients, marks, tables, &|| run.go_on())? else { return Ok(false) };
        let (width, height) = facts.upright_size();
        let data = planned.target(facts, false).dressed(data, (width, height));
        marked.push((
            planned.index,
            Made::Picture(Output { format: Format::Jpeg, width, height, animation: None, data, warnings: Vec::new() }),
        ));
    }
    drop(coefficients);
    for (index, made) in marked {
        run.emit(index, made)?;
    }
    match planes {
        Some(planes) => resized(planes, &ways, facts, plan, run)?,
        None => debug_assert!(!resizes),
    }
    Ok(true)
}

/// Makes the outputs that come from planes.
fn resized(original: Planes, ways: &[Way<'_>], facts: &Facts, plan: &Plan<'_>, run: &mut Run<'_>) -> Result<()> {
    let mut original = Some(original);
    let mut resizer = Resizer::new();
    // The smallest plain resize so far.
    let mut intermediate: Option<Planes> = None;
    let last = ways.iter().rposition(|way| !matches!(way, Way::Marked(..)));
    for (position, (planned, way)) in plan.outputs.iter().zip(ways).enumerate() {
        if matches!(way, Way::Marked(..)) {
            continue;
        }
        run.go_on()?;
        let mut steps = planned.steps.iter();
        let full = original.as_ref().expect("it is taken for the last output only");
        let resize = planned.plain_resize();
        let base =
            resize.and_then(|placement| intermediate.as_ref().filter(|made| pipeline::serves(made.size(), placement)));
        let quality = if let Way::Planes(quality) = way {
            *quality
        } else {
            let Some(Step::Resize(placement)) = steps.next() else { unreachable!("checked by way") };
            let picture = base.unwrap_or(full).to_rgb(placement, &mut resizer)?;
            let picture = pipeline::apply(Cow::Owned(picture), steps, planned.alpha, &mut resizer, run)?;
            pipeline::write(picture, planned, facts, run)?;
            continue;
        };
        let mut picture = match planned.steps.first() {
            Some(Step::Resize(placement)) => {
                steps.next();
                let made = base.unwrap_or(full).resized(placement, &mut resizer)?;
                if resize.is_some() && placement.filter == Filter::Lanczos3 {
                    Cow::Borrowed(&*intermediate.insert(made))
                } else {
                    Cow::Owned(made)
                }
            }
            _ if Some(position) == last => Cow::Owned(original.take().expect("taken once").halved()),
            _ if full.is_halved() => Cow::Borrowed(full),
            _ => Cow::Owned(full.clone().halved()),
        };
        for step in steps {
            run.go_on()?;
            picture = Cow::Owned(match step {
                Step::Resize(placement) => picture.resized(placement, &mut resizer)?,
                Step::Watermark(wanted) => {
                    let mut marked = picture.into_owned();
                    marked.draw(&watermark::mark(wanted, marked.size())?, &|| run.go_on())?;
                    marked
                }
                Step::Cut(_) | Step::Turn(_) | Step::Extend(_) | Step::Paint(_) | Step::Later(..) => {
                    unreachable!("checked by qualifies")
                }
            });
        }
        run.go_on()?;
        let (width, height) = picture.size();
        let data = planned.target(facts, false).dressed(encoded(picture, quality)?, (width, height));
        let output = Output { format: Format::Jpeg, width, height, animation: None, data, warnings: Vec::new() };
        run.emit(planned.index, Made::Picture(output))?;
    }
    Ok(())
}

fn read(source: &[u8], facts: &Facts, depth: usize, run: &Run<'_>) -> Result<Option<Coefficients>> {
    // A panic is as good a reason as any to take another way; that the time is over is not.
    let outcome = codec::guarded(Format::Jpeg, || {
        Ok(coefficients::read(source, facts, depth, run.options.limits, &|| run.go_on()))
    });
    outcome.unwrap_or(Ok(None))
}

fn decoded(source: &[u8], facts: &Facts, run: &Run<'_>) -> Option<Planes> {
    let sampling = facts.jpeg.as_ref()?.sampling()?;
    if jpeg::changes_tables(source) {
        return None;
    }
    codec::guarded(Format::Jpeg, || {
        let raw = jpeg::decoder(source, run.options.limits)
            .and_then(libjpeg_turbo_rs::Decoder::decode_raw)
            .map_err(jpeg::refused)?;
        let Header { width, height, .. } = facts.header;
        if (raw.width, raw.height) != (width as usize, height as usize) {
            return Ok(None);
        }
        Ok(Planes::new(raw, sampling).map(|planes| upright(planes, facts)))
    })
    .ok()
    .flatten()
}

fn upright(planes: Planes, facts: &Facts) -> Planes {
    match facts.orientation {
        1 => planes,
        turned => planes.oriented(turned),
    }
}

fn encoded(picture: Cow<'_, Planes>, quality: u8) -> Result<Vec<u8>> {
    let (width, height) = picture.size();
    let failed = |what: String| Error::new(super::Code::DecoderFailure, format!("writing JPEG: {what}"));
    let packed = match picture {
        Cow::Owned(picture) => Cow::Owned(picture.packed()),
        Cow::Borrowed(picture) if picture.is_packed() => Cow::Borrowed(picture),
        Cow::Borrowed(picture) => Cow::Owned(picture.clone().packed()),
    };
    let [y, cb, cr] = packed.samples();
    let (chroma_w, chroma_h) = (width.div_ceil(2) as usize, height.div_ceil(2) as usize);
    let (width, height) = (width as usize, height as usize);
    codec::guarded(Format::Jpeg, || {
        libjpeg_turbo_rs::compress_raw(
            &[y, cb, cr],
            &[width, chroma_w, chroma_w],
            &[height, chroma_h, chroma_h],
            width,
            height,
            quality,
            Subsampling::S420,
        )
        .map_err(|error| failed(error.to_string()))
    })
}
