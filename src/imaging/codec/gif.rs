//! GIF, by `image`: the first frame on its canvas. Only ever read.
//!
//! Frames are counted by walking over blocks without decoding them, up to the limit, so that a
//! file of thousands of frames is refused for the price of a few seeks.

use std::io::{BufRead, Cursor, Seek};

use image::DynamicImage;
use image::codecs::gif::GifDecoder;

use super::reader::HeaderReader;
use super::{Facts, from_image, image_error};
use crate::imaging::raster::Raster;
use crate::imaging::{Code, Format, Limits, Result};

pub(super) fn inspect<R: BufRead + Seek>(reader: R, limits: &Limits) -> Result<Facts> {
    let mut reader = HeaderReader::new(reader, Format::Gif);
    reader.skip(6)?;
    let (width, height) = (u32::from(reader.le16()?), u32::from(reader.le16()?));
    let flags = reader.byte()?;
    reader.skip(2 + color_table_len(flags))?;
    // Frames beyond the limit need not be counted, and a file cut short after its first frame is
    // the decoder's to judge.
    let mut frames = 0;
    while frames <= limits.max_frames {
        match next_frame(&mut reader) {
            Ok(true) => frames += 1,
            Err(error) if frames == 0 || error.code != Code::TruncatedImage => return Err(error),
            Ok(false) | Err(_) => break,
        }
    }
    if frames == 0 {
        return Err(reader.corrupt("it holds no picture"));
    }
    Ok(Facts::new(Format::Gif, width, height, frames))
}

/// Walks over blocks until one image is behind; false at the end of the file.
fn next_frame<R: BufRead + Seek>(reader: &mut HeaderReader<R>) -> Result<bool> {
    loop {
        match reader.byte()? {
            0x2c => {
                reader.skip(8)?;
                let flags = reader.byte()?;
                reader.skip(color_table_len(flags) + 1)?;
                skip_sub_blocks(reader)?;
                return Ok(true);
            }
            0x21 => {
                reader.byte()?;
                skip_sub_blocks(reader)?;
            }
            // Decoders forgive stray zeros between blocks.
            0 => {}
            // 0x3b ends the file; anything else is as far as it can be read.
            _ => return Ok(false),
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
pub(super) fn decode(source: &[u8]) -> Result<Raster> {
    let picture = GifDecoder::new(Cursor::new(source))
        .and_then(DynamicImage::from_decoder)
        .map_err(|error| image_error(Format::Gif, &error))?;
    Ok(from_image(picture))
}
