//! GIF's frames, by the `gif` crate.
//!
//! As in browsers, the background is transparent, whatever the file says, and frames are cut at the canvas.

use std::io::ErrorKind;
use std::num::NonZeroU64;
use std::time::Duration;

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError, DisposalMethod, MemoryLimit, Repeat};

use super::super::canvas::{Area, Canvas, Disposal};
use crate::codec::SPARE_PIXELS;
use crate::codec::reader::{corrupt, interrupted, truncated};
use crate::codec::watched::Watched;
use crate::{Code, Error, Format, Result};

/// Most pixels of a frame: 65,535 on each side.
const MAX_FRAME_BYTES: NonZeroU64 = NonZeroU64::new(65_535 * 65_535).expect("it is not 0");

pub(super) struct File<'a> {
    decoder: Decoder<Watched<'a>>,
    frames: u32,
    indices: Vec<u8>,
}

impl<'a> File<'a> {
    pub(super) fn open(source: Watched<'a>) -> Result<Self> {
        let mut options = DecodeOptions::new();
        options.set_color_output(ColorOutput::Indexed);
        // Sizes are compared with the canvas below.
        options.set_memory_limit(MemoryLimit::Bytes(MAX_FRAME_BYTES));
        let decoder = options.read_info(source).map_err(|error| failed(&error))?;
        Ok(Self { decoder, frames: 0, indices: Vec::new() })
    }

    /// How often to play. NETSCAPE's number counts repetitions; without it, a GIF is played once.
    pub(super) fn plays(&self) -> u32 {
        match self.decoder.repeat() {
            Repeat::Infinite => 0,
            Repeat::Finite(repetitions) => u32::from(repetitions) + 1,
        }
    }

    pub(super) fn draw(&mut self, canvas: &mut Canvas) -> Result<Option<Duration>> {
        let Some(frame) = self.decoder.next_frame_info().map_err(|error| failed(&error))? else { return Ok(None) };
        let area = Area {
            left: frame.left.into(),
            top: frame.top.into(),
            width: frame.width.into(),
            height: frame.height.into(),
        };
        let disposal = match frame.dispose {
            DisposalMethod::Any | DisposalMethod::Keep => Disposal::Keep,
            DisposalMethod::Background => Disposal::Clear,
            DisposalMethod::Previous => Disposal::Restore,
        };
        let (transparent, delay) = (frame.transparent, Duration::from_millis(u64::from(frame.delay) * 10));
        // The header was checked against the same bound. Pixels outside the canvas are not drawn.
        if area.pixels() as u64 > (canvas.width as u64 * canvas.height as u64).max(SPARE_PIXELS) {
            return Err(corrupt(
                Format::Gif,
                format_args!("a frame of {}x{} is far larger than its canvas", area.width, area.height),
            ));
        }
        self.indices.resize(area.pixels(), 0);
        self.decoder.read_into_buffer(&mut self.indices).map_err(|error| failed(&error))?;
        let palette = self.decoder.palette().map_err(|error| failed(&error))?;
        let mut colors = [[0; 4]; 256];
        for (color, rgb) in colors.iter_mut().zip(palette.chunks_exact(3)) {
            *color = [rgb[0], rgb[1], rgb[2], 255];
        }
        if let Some(transparent) = transparent {
            colors[usize::from(transparent)] = [0; 4];
        }
        let pixels = self.indices.iter().map(|&index| colors[usize::from(index)]);
        canvas.draw(area, pixels, true, disposal);
        self.frames += 1;
        Ok(Some(delay))
    }
}

fn failed(error: &DecodingError) -> Error {
    match error {
        DecodingError::UnexpectedEof => truncated(Format::Gif, "the file ends before its last frame does"),
        DecodingError::Io(io) if io.kind() == ErrorKind::UnexpectedEof => {
            truncated(Format::Gif, "the file ends before its last frame does")
        }
        DecodingError::Io(io) if io.kind() == ErrorKind::TimedOut => interrupted(),
        DecodingError::MemoryLimit | DecodingError::OutOfMemory => {
            Error::new(Code::TooLarge, format!("GIF: a frame needs more than {MAX_FRAME_BYTES} bytes"))
        }
        other => corrupt(Format::Gif, other),
    }
}
