//! From JPEG to JPEG in Y, Cb and Cr planes: resized, marked and encoded as they are, so that nothing is converted and no
//! chroma is upsampled only to be halved again.
//!
//! [`take`] decodes the planes at full size; planes at a reduced scale come from [`coefficients`](super::coefficients).

mod picture;
mod plane;
mod region;

use std::borrow::Cow;

use fast_image_resize::Resizer;
use libjpeg_turbo_rs::Subsampling;

use super::{Run, pixels};
use crate::codec::{self, Facts, jpeg};
use crate::ops::{Step, watermark};
use crate::plan::{Origin, Pass, Routed, Way};
use crate::{Code, Error, Format, Header, Made, Output, Result};
pub(super) use picture::Planes;
pub(super) use region::Region;

/// Makes a pass's outputs from the decoder's planes. Returns false, with nothing done, if the decoder gives no planes.
pub(super) fn take(source: &[u8], pass: &Pass<'_>, run: &mut Run<'_>) -> Result<bool> {
    run.go_on()?;
    // Whatever is wrong with the source is for the route of pixels to find and name.
    let Some(planes) = decoded(source, &pass.facts, run) else { return Ok(false) };
    outputs(planes, pass, run)?;
    Ok(true)
}

/// Makes the outputs that come from planes.
pub(super) fn outputs(original: Planes, pass: &Pass<'_>, run: &mut Run<'_>) -> Result<()> {
    let facts = &*pass.facts;
    let mut original = Some(original);
    let mut resizer = Resizer::new();
    // The last plain resize that serves later outputs.
    let mut intermediate: Option<Planes> = None;
    let last = pass.outputs.iter().rposition(|routed| !matches!(routed.way, Way::Marked(..)));
    for (position, Routed { planned, way, from, is_origin }) in pass.outputs.iter().enumerate() {
        if matches!(way, Way::Marked(..)) {
            continue;
        }
        run.go_on()?;
        let mut steps = planned.steps.iter();
        let full = original.as_ref().expect("it is taken for the last output only");
        let base = match from {
            Origin::Output(_) => intermediate.as_ref().expect("an origin is made before what is made from it"),
            Origin::Decoded | Origin::Coefficients => full,
        };
        let quality = if let Way::Planes(quality) = way {
            *quality
        } else {
            let Some(Step::Resize(placement)) = steps.next() else {
                unreachable!("a way to pixels begins with a resize")
            };
            let picture = base.to_rgb(placement, &mut resizer)?;
            let picture = pixels::apply(Cow::Owned(picture), steps, planned.alpha, &mut resizer, run)?;
            pixels::write(picture, planned, facts, run)?;
            continue;
        };
        let mut picture = match planned.steps.first() {
            Some(Step::Resize(placement)) => {
                steps.next();
                let made = base.resized(placement, &mut resizer)?;
                if *is_origin { Cow::Borrowed(&*intermediate.insert(made)) } else { Cow::Owned(made) }
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
                    unreachable!("no way of planes for these: `plan` checks it")
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

pub(super) fn upright(planes: Planes, facts: &Facts) -> Planes {
    match facts.orientation {
        1 => planes,
        turned => planes.oriented(turned),
    }
}

fn encoded(picture: Cow<'_, Planes>, quality: u8) -> Result<Vec<u8>> {
    let (width, height) = picture.size();
    let failed = |what: String| Error::new(Code::DecoderFailure, format!("writing JPEG: {what}"));
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
