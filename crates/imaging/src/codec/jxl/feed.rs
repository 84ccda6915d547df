//! The decoder, fed piece by piece: its bounds, its tasks and its errors.

use std::io::{ErrorKind, Read};

use jxl::api::{
    AlphaMode, Event, JxlBasicInfo, JxlDecoder, JxlDecoderOptions, JxlOutputBuffer, JxlParallelRunner,
    JxlParallelRunnerFun, ProfileLevel,
};

use crate::codec::reader::{self, corrupt, truncated};
use crate::codec::watched::OVER;
use crate::{Code, Error, Format, Result};

/// Bytes that are handed over at a time.
const STRIDE: usize = 64 << 10;
/// Most bytes of the header with an embedded profile.
const MAX_HEADER_BYTES: usize = 4 << 20;
/// Samples of one frame, for each pixel of the picture: its channels, and what reaches beyond its edges.
const SAMPLES_A_PIXEL: u64 = 8;
const SAMPLES_AT_LEAST: u64 = 4 << 20;

/// Samples that a frame may have, by the pixels of its picture.
fn sample_limit(pixels: u64) -> u64 {
    pixels.saturating_mul(SAMPLES_A_PIXEL).max(SAMPLES_AT_LEAST)
}

pub(super) fn options(pixels: u64) -> JxlDecoderOptions {
    let mut options = JxlDecoderOptions::default();
    options.sample_limit = Some(sample_limit(pixels) as usize);
    options.alpha_mode = AlphaMode::Unpremultiplied;
    // Black, as CMYK has it, belongs to level 10; what a file may do is still bound by the level that it names.
    options.max_profile_level = ProfileLevel::Main10;
    options
}

/// A source that is handed over in pieces.
pub(super) struct Feed<'a, R> {
    source: R,
    /// Read and not yet taken.
    buffer: Vec<u8>,
    pub(super) interrupted: &'a dyn Fn() -> bool,
    /// Of the picture, for messages.
    pub(super) pixels: u64,
}

impl<'a, R: Read> Feed<'a, R> {
    pub(super) fn new(source: R, interrupted: &'a dyn Fn() -> bool, pixels: u64) -> Self {
        Self { source, buffer: Vec::new(), interrupted, pixels }
    }

    /// Until the header is known.
    pub(super) fn start(&mut self, decoder: &mut JxlDecoder) -> Result<JxlBasicInfo> {
        let mut fed = 0;
        loop {
            match self.step(decoder, None)? {
                Event::NeedMoreInput { .. } if fed > MAX_HEADER_BYTES => {
                    return Err(corrupt(Format::Jxl, "its header does not end"));
                }
                Event::NeedMoreInput { .. } => {
                    fed += STRIDE;
                    if !self.more()? {
                        return Err(truncated(Format::Jxl, "the file ends inside its header"));
                    }
                }
                _ => return decoder.basic_info().cloned().ok_or_else(|| corrupt(Format::Jxl, "it has no header")),
            }
        }
    }

    /// What the decoder comes to next; `None` where the file ends before that.
    pub(super) fn next(
        &mut self,
        decoder: &mut JxlDecoder,
        mut buffers: Option<&mut [JxlOutputBuffer<'_>]>,
    ) -> Result<Option<Event>> {
        loop {
            match self.step(decoder, buffers.as_deref_mut())? {
                Event::NeedMoreInput { .. } => {
                    if !self.more()? {
                        return Ok(None);
                    }
                }
                event => return Ok(Some(event)),
            }
        }
    }

    fn step(&mut self, decoder: &mut JxlDecoder, buffers: Option<&mut [JxlOutputBuffer<'_>]>) -> Result<Event> {
        let mut rest = self.buffer.as_slice();
        let event = decoder.process(&mut rest, buffers, Some(&mut InTurn { interrupted: self.interrupted }));
        let taken = self.buffer.len() - rest.len();
        self.buffer.drain(..taken);
        event.map_err(|error| failed(&error, self.pixels))
    }

    /// Reads the next piece; false at the end.
    fn more(&mut self) -> Result<bool> {
        if (self.interrupted)() {
            return Err(reader::interrupted());
        }
        let read = self.source.by_ref().take(STRIDE as u64).read_to_end(&mut self.buffer);
        let read = read.map_err(|error| Error::new(Code::Storage, format!("reading the source: {error}")))?;
        Ok(read > 0)
    }
}

/// Runs the decoder's tasks (256 pixels a side) one after another, and stops between two of them when the time is over.
pub(super) struct InTurn<'a> {
    pub(super) interrupted: &'a dyn Fn() -> bool,
}

impl JxlParallelRunner for InTurn<'_> {
    fn run(&mut self, tasks: usize, task: &JxlParallelRunnerFun<'_>) -> jxl::error::Result<()> {
        self.run_ordered(tasks, None, task)
    }

    fn num_threads(&self) -> usize {
        1
    }

    fn run_ordered(
        &mut self,
        tasks: usize,
        _most_threads: Option<usize>,
        task: &JxlParallelRunnerFun<'_>,
    ) -> jxl::error::Result<()> {
        for number in 0..tasks {
            if (self.interrupted)() {
                return Err(std::io::Error::new(ErrorKind::TimedOut, OVER).into());
            }
            task(number)?;
        }
        Ok(())
    }
}

pub(super) fn failed(error: &jxl::error::Error, pixels: u64) -> Error {
    use jxl::error::Error as E;
    let too_large = |what: String| Error::new(Code::TooLarge, format!("JPEG XL: {what}"));
    match error {
        E::ImageSizeTooLarge(width, height) => too_large(format!(
            "a frame of {width}x{height} and its channels exceed {} samples, {SAMPLES_A_PIXEL} for each of its {pixels} pixels",
            sample_limit(pixels)
        )),
        E::PaletteTooLarge(samples, limit) => too_large(format!("a palette of {samples} samples exceeds {limit}")),
        E::LevelLimitExceeded { level, limit, val, max } => {
            too_large(format!("{limit} of {val} exceed {max}, the most in {level} of the standard"))
        }
        E::ImageDimensionTooLarge(_)
        | E::IccTooLarge
        | E::PatchesTooMany(..)
        | E::SplinesTooMany(..)
        | E::PatchesRefTooLarge(..)
        | E::SplinesTooManyControlPoints(..) => too_large(error.to_string()),
        E::OutOfMemory(_) | E::ImageOutOfMemory(..) => {
            too_large(format!("its decoder found less memory than it needs: {error}"))
        }
        E::OutOfBounds(_) | E::UnexpectedCodestreamBoxEnd => {
            truncated(Format::Jxl, "the file ends before its picture does")
        }
        E::IOError(error) if error.kind() == ErrorKind::TimedOut => reader::interrupted(),
        other => corrupt(Format::Jxl, other),
    }
}
