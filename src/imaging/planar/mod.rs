//! The short way for everyday JPEGs: from JPEG to JPEG without a trip to RGB.
//!
//! Y, Cb and Cr are decoded as they are stored, resized, marked and encoded as planes, so that
//! nothing is converted and no chroma is upsampled only to be halved again. What does not qualify
//! ([`qualifies`]) is [`pipeline`]'s, in pixels; both ways give outputs that look the same.

mod picture;

use std::borrow::Cow;

use fast_image_resize::Resizer;
use libjpeg_turbo_rs::Subsampling;

use super::codec::{self, Facts, jpeg};
use super::operation::Filter;
use super::ops::watermark;
use super::pipeline::{Plan, Planned, Run, Step};
use super::{Error, Format, Header, Output, Result, pipeline};
use picture::Planes;

/// Makes the plan's outputs in planes; false, with nothing done, where that is not possible.
pub(crate) fn run(source: &[u8], facts: &Facts, plan: &Plan<'_>, run: &mut Run<'_>) -> Result<bool> {
    if !qualifies(facts, plan) {
        return Ok(false);
    }
    run.go_on()?;
    // Whatever is wrong with the source is for the pixel path to find and name.
    let Some(original) = decoded(source, facts, run) else { return Ok(false) };
    let mut original = Some(original);
    let mut resizer = Resizer::new();
    // The smallest plain resize so far.
    let mut intermediate: Option<Planes> = None;
    let last = plan.outputs.len() - 1;
    for (position, planned) in plan.outputs.iter().enumerate() {
        run.go_on()?;
        let mut steps = planned.steps.iter();
        let full = original.as_ref().expect("it is taken for the last output only");
        let encoding = encoding(planned, facts).expect("checked by qualifies");
        let resize = planned.plain_resize();
        let base =
            resize.and_then(|placement| intermediate.as_ref().filter(|made| pipeline::serves(made.size(), placement)));
        let Encoding::Planes(quality) = encoding else {
            let Some(Step::Resize(placement)) = steps.next() else { unreachable!("checked by qualifies") };
            let picture = base.unwrap_or(full).to_rgb(placement, &mut resizer)?;
            pipeline::finish(Cow::Owned(picture), steps, planned, facts, &mut resizer, run)?;
            continue;
        };
        let mut picture = match resize {
            Some(placement) => {
                steps.next();
                let made = base.unwrap_or(full).resized(placement, &mut resizer)?;
                if placement.filter == Filter::Lanczos3 {
                    Cow::Borrowed(&*intermediate.insert(made))
                } else {
                    Cow::Owned(made)
                }
            }
            None if position == last => Cow::Owned(original.take().expect("taken once").halved()),
            None if full.is_halved() => Cow::Borrowed(full),
            None => Cow::Owned(full.clone().halved()),
        };
        for step in steps {
            run.go_on()?;
            picture = Cow::Owned(match step {
                Step::Resize(placement) => picture.resized(placement, &mut resizer)?,
                Step::Watermark(wanted) => {
                    let mut marked = picture.into_owned();
                    marked.draw(&watermark::mark(wanted, marked.size())?);
                    marked
                }
            });
        }
        run.go_on()?;
        let (width, height) = picture.size();
        let data = encoded(picture, quality)?;
        run.emit(planned.index, Output { format: Format::Jpeg, width, height, data })?;
    }
    Ok(true)
}

/// 8-bit YCbCr without a colour profile, 4:2:0 or less subsampled, and outputs that planes serve.
fn qualifies(facts: &Facts, plan: &Plan<'_>) -> bool {
    let Some(header) = &facts.jpeg else { return false };
    let sampling = matches!(header.sampling(), Some((1 | 2, 1 | 2)));
    // Turning a picture whose last chroma samples cover half of what others do would shift chroma.
    let even = facts.header.width.is_multiple_of(2) && facts.header.height.is_multiple_of(2);
    sampling
        && header.is_ycbcr()
        && (facts.orientation == 1 || even)
        && plan.shrink() == 1
        && plan.outputs.iter().all(|planned| encoding(planned, facts).is_some())
        && !codec::icc::matters(facts.icc.as_deref())
}

/// How an output is written.
enum Encoding {
    /// As a JPEG of this quality.
    Planes(u8),
    /// In pixels after the first step, which resizes.
    Pixels,
}

fn encoding(planned: &Planned<'_>, facts: &Facts) -> Option<Encoding> {
    let quality = match planned.target(facts, false) {
        (Format::Jpeg, jpeg::Tables::Quality(quality)) => Some(quality),
        (Format::Jpeg, kept) => kept.standard_quality(),
        _ => None,
    };
    match quality {
        Some(quality) if no_canvas(planned) => Some(Encoding::Planes(quality)),
        _ => (planned.begins_with_resize() && no_canvas(planned)).then_some(Encoding::Pixels),
    }
}

fn no_canvas(planned: &Planned<'_>) -> bool {
    planned.steps.iter().all(|step| !matches!(step, Step::Resize(placement) if placement.canvas.is_some()))
}

fn decoded(source: &[u8], facts: &Facts, run: &Run<'_>) -> Option<Planes> {
    let sampling = facts.jpeg.as_ref()?.sampling()?;
    codec::guarded(Format::Jpeg, || {
        let raw =
            jpeg::decoder(source, run.limits).and_then(libjpeg_turbo_rs::Decoder::decode_raw).map_err(jpeg::refused)?;
        let Header { width, height, .. } = facts.header;
        if (raw.width, raw.height) != (width as usize, height as usize) {
            return Ok(None);
        }
        Ok(Planes::new(raw, sampling).map(|planes| match facts.orientation {
            1 => planes,
            turned => planes.oriented(turned),
        }))
    })
    .ok()
    .flatten()
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
