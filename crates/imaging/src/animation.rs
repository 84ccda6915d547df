//! Animated sources: every frame is decoded once, goes through the steps of each animated output and on into its file.
//!
//! What a step makes of a picture's content (where to trim, what to look at) is decided on the first frame and held for
//! the others. Outputs that hold one picture are no business of this module.

use std::borrow::Cow;

use fast_image_resize::Resizer;

use super::codec::animation::{Frames, Writer};
use super::codec::{Facts, Target};
use super::ops::watermark::Alpha;
use super::pipeline::{Plan, Planned, Run, Step, perform};
use super::raster::Raster;
use super::{Animation, Code, Error, Made, Output, Result, ops};

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
    /// From the first frame on, which tells the size.
    writer: Option<Writer>,
    size: (u32, u32),
}

/// Makes the plan's outputs, all of them animated.
pub(super) fn run(source: &[u8], facts: &Facts, plan: Plan<'_>, run: &mut Run<'_>) -> Result<()> {
    run.go_on()?;
    let mut frames = Frames::open(source, facts, run.options)?;
    let plays = frames.plays();
    let mut strips: Vec<Strip<'_>> = plan
        .outputs
        .into_iter()
        .map(|planned| {
            let target = planned.target(facts, true);
            let warnings = target.unheeded(planned.save, facts);
            let undrawn_background = planned.undrawn_background();
            let Planned { index, steps, alpha, .. } = planned;
            Strip { index, target, alpha, warnings, undrawn_background, steps, writer: None, size: (0, 0) }
        })
        .collect();
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
                *step = ops::settle(action, &picture, *entry, run.options.limits, resizer)?;
            }
            picture = perform(picture, step, self.alpha, resizer, &|| run.go_on())?;
        }
        run.go_on()?;
        Ok(picture.into_owned())
    }
}
