//! GIF, by `image`: the first frame on its canvas. Only ever read.
//!
//! Frames are counted by walking over blocks without decoding them, up to the limit, so that a file with thousands of
//! frames is refused after a few seeks.

use std::io::{BufRead, Seek};

use image::codecs::gif::GifDecoder;

use super::reader::HeaderReader;
use super::watched::Watched;
use super::{Decoded, Facts, Reading, SPARE_PIXELS, image_error, read_image};
use crate::{Code, Error, Format, Limits, Result};

/// The extension that says how the next frame is shown.
const CONTROL: u8 = 0xf9;

pub(super) fn inspect<R: BufRead + Seek>(reader: R, limits: &Limits) -> Result<Facts> {
    let mut reader = HeaderReader::new(reader, Format::Gif);
    reader.skip(6)?;
    let (width, height) = (u32::from(reader.le16()?), u32::from(reader.le16()?));
    let flags = reader.byte()?;
    reader.skip(2 + color_table_len(flags))?;
    let canvas = u64::from(width) * u64::from(height);
    // Frames beyond the limit need not be counted.
    let mut frames = 0;
    while frames <= limits.max_frames {
        let next = match next_frame(&mut reader, canvas, limits) {
            // The first frame must have at least some pixels.
            Err(error) if error.code == Code::TruncatedImage && frames > 0 => Next::Cut,
            next => next?,
        };
        match next {
            Next::Frame => frames += 1,
            // It counts as a frame; the decoder decides whether to refuse it.
            Next::Cut => {
                frames += 1;
                break;
            }
            Next::End => break,
        }
    }
    if frames == 0 {
        return Err(reader.corrupt("it holds no picture"));
    }
    Ok(Facts::new(Format::Gif, width, height, frames))
}

enum Next {
    Frame,
    /// The file ends inside it.
    Cut,
    /// The end of the file, marked or not.
    End,
}

/// Walks over blocks up to the end of the next image.
fn next_frame<R: BufRead + Seek>(reader: &mut HeaderReader<R>, canvas: u64, limits: &Limits) -> Result<Next> {
    let mut is_announced = false;
    loop {
        let block = match reader.byte() {
            Err(error) if error.code == Code::TruncatedImage => {
                return Ok(if is_announced { Next::Cut } else { Next::End });
            }
            block => block?,
        };
        match block {
            0x2c => {
                reader.skip(4)?;
                // A frame may be larger than the canvas, and is decoded completely.
                let pixels = u64::from(reader.le16()?) * u64::from(reader.le16()?);
                if pixels > limits.max_pixels {
                    let limit = limits.max_pixels;
                    let detail = format!("the pixel count {pixels} of a frame exceeds limits.max_pixels ({limit})");
                    return Err(Error::new(Code::TooManyPixels, detail));
                }
                if pixels > canvas.max(SPARE_PIXELS) {
                    return Err(reader.corrupt("a frame is far larger than its canvas"));
                }
                let flags = reader.byte()?;
                return match reader.skip(color_table_len(flags) + 1).and_then(|()| skip_sub_blocks(reader)) {
                    Ok(()) => Ok(Next::Frame),
                    Err(error) if error.code == Code::TruncatedImage => Ok(Next::Cut),
                    Err(error) => Err(error),
                };
            }
            0x21 => {
                is_announced |= reader.byte()? == CONTROL;
                skip_sub_blocks(reader)?;
            }
            // Not the end: the decoder judges bytes between blocks.
            0 => {}
            // 0x3b ends the file, and nothing can be read after any other byte.
            _ => return Ok(Next::End),
        }
    }
}

fn skip_sub_blocks<R: BufRead + Seek>(reader: &mut HeaderReader<R>) -> Result<()> {
    loop {
        match reader.byte()? {
            0 => return Ok(()),
            len => reader.skip(len.into())?,
        }
    }
}

fn color_table_len(flags: u8) -> u64 {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// The first frame on its canvas.
pub(super) fn decode(source: &[u8], reading: &Reading<'_>) -> Result<Decoded> {
    let decoder = GifDecoder::new(Watched::new(source, reading.interrupted));
    read_image(decoder.map_err(|error| image_error(Format::Gif, &error))?, Format::Gif, reading)
}
