//! QOI, by `image`: read here, written by the encoders.

use std::io::{BufRead, Read, Seek};

use image::codecs::qoi::QoiDecoder;

use super::reader::HeaderReader;
use super::watched::Watched;
use super::{Decoded, Facts, Reading, image_error, read_image};
use crate::{Code, Format, Result};

/// The end marker. Some writers omit it, and no pixel is missing then.
const END: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 1];

pub(super) fn inspect<R: BufRead + Seek>(reader: R) -> Result<Facts> {
    let mut reader = HeaderReader::new(reader, Format::Qoi);
    reader.skip(4)?;
    let (width, height, channels) = (reader.be32()?, reader.be32()?, reader.byte()?);
    if !matches!(channels, 3 | 4) {
        return Err(reader.corrupt("it has neither three nor four channels"));
    }
    Ok(Facts::new(Format::Qoi, width, height, 1))
}

pub(super) fn decode(source: &[u8], reading: &Reading<'_>) -> Result<Decoded> {
    if source.ends_with(&END) {
        return with_end(source, &[], reading);
    }
    // A file truncated in its pixels reads into the end marker added here, and is refused because the marker is
    // incomplete then.
    with_end(source, &END, reading).or_else(|error| match error.code {
        // Only the end marker can be wrong, because part of it exists.
        Code::CorruptImage => {
            let zeros = source.iter().rev().take(END.len() - 1).take_while(|&&byte| byte == 0).count();
            with_end(source, &END[zeros..], reading)
        }
        _ => Err(error),
    })
}

fn with_end(source: &[u8], end: &[u8], reading: &Reading<'_>) -> Result<Decoded> {
    let decoder = QoiDecoder::new(Watched::new(source, reading.interrupted).chain(end));
    read_image(decoder.map_err(|error| image_error(Format::Qoi, &error))?, Format::Qoi, reading)
}
