//! In pixels: the route that takes every picture. One decode, N outputs.

use std::borrow::Cow;

use fast_image_resize::Resizer;

use super::Run;
use crate::codec::{self, Facts, Picture, Reading};
use crate::ops::geometry::Placement;
use crate::ops::{Step, perform, resize, settle};
use crate::plan::{Origin, Pass, Planned, Routed};
use crate::raster::{Alpha, Raster, Sample};
use crate::{Code, Made, Options, Result, info};

/// Makes a pass's outputs in pixels, from a decode at this reduction.
pub(super) fn take(source: &[u8], pass: &Pass<'_>, shrink: u8, run: &mut Run<'_>) -> Result<()> {
    run.go_on()?;
    let facts = &*pass.facts;
    let &Options { limits, lenient, interrupted } = run.options;
    let deep = facts.header.deep && pass.keeps_depth();
    let reading = Reading { shrink, deep, as_stored: facts.kept_icc.is_some(), lenient, limits, interrupted };
    let decoded = codec::decode(source, facts, &reading)?;
    if decoded.truncated {
        run.warnings
            .push(format!("{}: the file ends early; what is missing is left blank", Code::TruncatedImage.as_str()));
    }
    match decoded.picture {
        Picture::Eight(original) => still(original, pass, run),
        Picture::Sixteen(original) => still(original, pass, run),
    }
}

fn still<S: Sample>(original: Raster<S>, pass: &Pass<'_>, run: &mut Run<'_>) -> Result<()> {
    let mut original = Some(original);
    let mut resizer = Resizer::new();
    // The last plain resize that serves later outputs.
    let mut intermediate: Option<Raster<S>> = None;
    let last = pass.outputs.len() - 1;
    for (position, Routed { planned, from, is_origin, .. }) in pass.outputs.iter().enumerate() {
        run.go_on()?;
        let mut steps = planned.steps.iter();
        let full = original.as_ref().expect("it is taken for the last output only");
        let picture = match planned.plain_resize() {
            Some(placement) => {
                steps.next();
                let base = match from {
                    Origin::Output(_) => intermediate.as_ref().expect("an origin is made before what is made from it"),
                    Origin::Decoded | Origin::Coefficients => full,
                };
                let made = resized(base, placement, &mut resizer)?;
                if *is_origin { Cow::Borrowed(&*intermediate.insert(made)) } else { Cow::Owned(made) }
            }
            // Not to be copied for the mark.
            None if position == last => Cow::Owned(original.take().expect("taken once")),
            None => Cow::Borrowed(full),
        };
        let picture = apply(picture, steps, planned.alpha, &mut resizer, run)?;
        write(picture, planned, &pass.facts, run)?;
    }
    Ok(())
}

/// Takes the steps that are left.
pub(super) fn apply<'p, S: Sample>(
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
                settled = settle(action, &picture, *entry, run.options.limits, resizer)?;
                &settled
            }
            known => known,
        };
        picture = perform(picture, step, alpha, resizer, &|| run.go_on())?;
    }
    Ok(picture)
}

/// Writes a finished picture, or what was asked about it.
pub(super) fn write<S: Sample>(
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

fn resized<S: Sample>(source: &Raster<S>, placement: &Placement, resizer: &mut Resizer) -> Result<Raster<S>> {
    // The original may have been decoded at a reduced scale, and an intermediate is smaller than it.
    let crop = [0.0, 0.0, f64::from(source.width), f64::from(source.height)];
    resize::resize(source, &Placement { crop, ..placement.clone() }, resizer)
}
