//! PNG, by the `png` crate, read and written; the default image of an APNG.
//!
//! Sixteen bits become eight, palettes and tRNS become RGB and alpha. Text chunks are never
//! inflated, and a profile only up to a bound, because both are favourite places for bombs.

use std::io::{BufRead, Cursor, Seek};

use png::{BitDepth, ColorType, Compression, DecodingError, Transformations};

use super::reader::{HeaderReader, corrupt, truncated};
use super::{Facts, exif, icc};
use crate::imaging::raster::{Channels, Raster};
use crate::imaging::{Code, Error, Format, Limits, Result};

/// Memory for what is not pixels: an inflated profile, chunk buffers, a few rows.
const SIDE_BYTES: usize = 4 << 20;
/// EXIF blocks beyond this are not read.
const MAX_EXIF_BYTES: u32 = 1 << 20;

pub(super) fn inspect<R: BufRead + Seek>(reader: R) -> Result<Facts> {
    let mut reader = HeaderReader::new(reader, Format::Png);
    reader.skip(8)?;
    let (length, kind) = (reader.be32()?, reader.bytes::<4>()?);
    if length != 13 || &kind != b"IHDR" {
        return Err(reader.corrupt("it does not begin with IHDR"));
    }
    let mut facts = Facts::new(Format::Png, reader.be32()?, reader.be32()?, 1);
    reader.skip(9)?;
    // Chunks after the header are advice: where they are broken, the decoder decides.
    let _ = read_advice(&mut reader, &mut facts);
    Ok(facts)
}

/// The EXIF orientation, which may stand before or behind the pixels.
fn read_advice<R: BufRead + Seek>(reader: &mut HeaderReader<R>, facts: &mut Facts) -> Result<()> {
    loop {
        let (length, kind) = (reader.be32()?, reader.bytes::<4>()?);
        match &kind {
            b"IEND" => return Ok(()),
            b"eXIf" if length <= MAX_EXIF_BYTES => {
                facts.orientation = exif::orientation(&reader.vec(length as usize)?);
                return Ok(());
            }
            _ => reader.skip(length.into())?,
        }
        reader.skip(4)?;
    }
}

/// The default image of an APNG; 16 bits become 8.
pub(super) fn decode(source: &[u8], limits: &Limits) -> Result<Raster> {
    let mut decoder = png::Decoder::new_with_limits(
        Cursor::new(source),
        png::Limits { bytes: SIDE_BYTES.min(limits.max_decoded_bytes as usize) },
    );
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    decoder.set_ignore_text_chunk(true);
    let mut reader = decoder.read_info().map_err(|error| failed(&error))?;
    let size = reader
        .output_buffer_size()
        .filter(|&size| size as u64 <= limits.max_decoded_bytes)
        .ok_or_else(|| Error::new(Code::TooLarge, "PNG: the decoded size exceeds limits.max_decoded_bytes"))?;
    let mut data = vec![0; size];
    let frame = reader.next_frame(&mut data).map_err(|error| failed(&error))?;
    data.truncate(frame.buffer_size());
    debug_assert_eq!(frame.bit_depth, BitDepth::Eight);
    let (channels, data) = match frame.color_type {
        ColorType::Grayscale => (Channels::Gray, data),
        ColorType::Rgb => (Channels::Rgb, data),
        ColorType::Rgba => (Channels::Rgba, data),
        ColorType::GrayscaleAlpha => {
            let rgba = data.chunks_exact(2).flat_map(|p| [p[0], p[0], p[0], p[1]]).collect();
            (Channels::Rgba, rgba)
        }
        ColorType::Indexed => return Err(corrupt(Format::Png, "its palette was not expanded")),
    };
    let raster = Raster { width: frame.width, height: frame.height, channels, data };
    let info = reader.info();
    // An sRGB chunk outranks a profile.
    let profile = if info.srgb.is_some() { None } else { info.icc_profile.as_deref() };
    Ok(icc::to_srgb(raster, profile))
}

pub(super) fn encode(raster: &Raster) -> Result<Vec<u8>> {
    let failed = |error: png::EncodingError| Error::new(Code::Storage, format!("writing PNG: {error}"));
    let mut data = Vec::new();
    let mut encoder = png::Encoder::new(&mut data, raster.width, raster.height);
    encoder.set_color(match raster.channels {
        Channels::Gray => ColorType::Grayscale,
        Channels::Rgb => ColorType::Rgb,
        Channels::Rgba => ColorType::Rgba,
    });
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&raster.data).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(data)
}

fn failed(error: &DecodingError) -> Error {
    match error {
        DecodingError::IoError(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => {
            truncated(Format::Png, "the file ends before its picture does")
        }
        DecodingError::LimitsExceeded => Error::new(Code::TooLarge, "PNG: it needs too much memory"),
        other => corrupt(Format::Png, other),
    }
}
