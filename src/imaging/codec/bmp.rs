//! BMP, by `image`: all classic depths, RLE and bit fields. Only ever read.
//! A negative height, which means rows from the top, is not an error.

use std::io::{BufRead, Seek};

use image::codecs::bmp::BmpDecoder;

use super::reader::HeaderReader;
use super::watched::Watched;
use super::{Decoded, Facts, Reading, image_error, read_image};
use crate::imaging::{Format, Result};

pub(super) fn inspect<R: BufRead + Seek>(reader: R) -> Result<Facts> {
    let mut reader = HeaderReader::new(reader, Format::Bmp);
    reader.skip(14)?;
    let (width, height) = if reader.le32()? == 12 {
        (i32::from(reader.le16()?), i32::from(reader.le16()?))
    } else {
        (reader.le32()? as i32, reader.le32()? as i32)
    };
    if width < 0 {
        return Err(reader.corrupt("its width is negative"));
    }
    // A negative height says that the rows run from the top.
    Ok(Facts::new(Format::Bmp, width as u32, height.unsigned_abs(), 1))
}

pub(super) fn decode(source: &[u8], reading: &Reading<'_>) -> Result<Decoded> {
    let decoder = BmpDecoder::new(Watched::new(source, reading.interrupted));
    read_image(decoder.map_err(|error| image_error(Format::Bmp, &error))?, Format::Bmp, reading)
}
