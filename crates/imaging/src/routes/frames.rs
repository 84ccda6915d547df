//! Animated sources: every frame is decoded once, goes through the steps of each animated output and on into its file.
//!
//! What a step makes of a picture's content (where to trim, what to look at) is decided on the first frame and held for
//! the others.

use std::borrow::Cow;

use fast_image_resize::Resizer;

use super::Run;
use crate::codec::Target;
use crate::codec::animation::{Frames, Writer};
use crate::ops::{Step, perform, settle};
use crate::plan::{Pass, Routed};
use crate::raster::{Alpha, Raster};
use crate::{Animation, Code, Error, Made, Output, Result};

/// An output in the making.
struct Strip<'a> {
    /// The operation's index.
    index: usize,
    steps: Vec<Step<'a>>,
    target: Target,
    alpha: Alpha,
    warnings: Vec<String>,
    /// What is said if the frames turn out to have alpha.
    undrawn_background: Option<String>,
    /// Made at the first frame, with its size.
    writer: Option<Writer>,
    size: (u32, u32),
}

/// Makes a pass's outputs, all of them animated.
pub(super) fn take(source: &[u8], pass: &Pass<'_>, run: &mut Run<'_>) -> Result<()> {
    run.go_on()?;
    let facts = &*pass.facts;
    let mut frames = Frames::open(source, facts, run.options)?;
    let plays = frames.plays();
    let strips = pass.outputs.iter().map(|Routed { planned, .. }| {
        let target = planned.target(facts, true);
        let warnings = target.unheeded(planned.save, facts);
        Strip {
            index: planned.index,
            target,
            alpha: planned.alpha,
            warnings,
            undrawn_background: planned.undrawn_background(),
            steps: planned.steps.clone(),
            writer: None,
            size: (0, 0),
        }
    });
    let mut strips: Vec<Strip<'_>> = strips.collect();
    let mut resizer = Resizer::new();
    while let Some(frame) = frames.next()? {
        for strip in &mut strips {
            let picture = strip.made(&frame.picture, &mut resizer, run)?;
            if strip.undrawn_background.is_some() && picture.rgba().iter().any(|pixel| pixel[3] < 255) {
                strip.warnings.extend(strip.undrawn_background.take());
            }
            let writer = match &mut strip.writer {
                Some(writer) => writer,
                none => {
                    strip.size = picture.size();
                    let style = strip.target.style(plays, &picture, run.options.interrupted)?;
                    none.insert(Writer::new(strip.size, &style)?)
                }
            };
            writer.push(picture, frame.delay)?;
        }
        run.go_on()?;
    }
    if frames.is_cut() {
        let what = "the file ends early; the frames so far are kept";
        run.warnings.push(format!("{}: {what}", Code::TruncatedImage.as_str()));
    }
    for strip in strips {
        let no_frame = || Error::new(Code::CorruptImage, "the animation holds no frame");
        let written = strip.writer.ok_or_else(no_frame)?.finish()?;
        let data = strip.target.dressed(written.data, strip.size);
        strip.target.check_bytes(data.len())?;
        let (width, height) = strip.size;
        let animation = Animation { frames: written.frames, duration: written.duration };
        // One frame is left where all were the same.
        let animation = (written.frames > 1).then_some(animation);
        let (format, warnings) = (strip.target.format, strip.warnings);
        let output = Output { format, width, height, animation, data, warnings };
        run.emit(strip.index, Made::Picture(output))?;
    }
    Ok(())
}

impl Strip<'_> {
    /// A frame after all steps; those that the first frame settles stay settled.
    fn made(&mut self, frame: &Raster, resizer: &mut Resizer, run: &Run<'_>) -> Result<Raster> {
        let mut picture = Cow::Borrowed(frame);
        for step in &mut self.steps {
            run.go_on()?;
            if let Step::Later(action, entry) = step {
                *step = settle(action, &picture, *entry, run.options.limits, resizer)?;
            }
            picture = perform(picture, step, self.alpha, resizer, &|| run.go_on())?;
        }
        run.go_on()?;
        Ok(picture.into_owned())
    }
}
