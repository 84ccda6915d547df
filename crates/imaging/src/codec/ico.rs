//! ICO and CUR: the largest entry, which is a PNG, or a BMP without file header and followed by a mask. Only read.
//!
//! The directory's sizes are not trusted: the pictures themselves have them. A BMP gets the missing file header and is
//! decoded by `image`; the mask is applied here.

use std::io::{BufRead, Cursor, Seek};

use image::codecs::bmp::BmpDecoder;

use super::reader::{HeaderReader, corrupt, truncated};
use super::watched::Watched;
use super::{Decoded, Facts, Picture, Reading, image_error, png, read_image};
use crate::raster::{Channels, Raster};
use crate::{Format, Result};

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// More entries than any icon has.
const MAX_ENTRIES: u16 = 256;
/// Length of the file header that BMPs lack here.
const FILE_HEADER: usize = 14;

/// One picture of the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct IconEntry {
    /// As the directory has it; 256 is stored as 0.
    area: u32,
    bits: u16,
    offset: u32,
    length: u32,
}

pub(super) fn inspect<R: BufRead + Seek>(reader: R) -> Result<Facts> {
    let mut reader = HeaderReader::new(reader, Format::Ico);
    let entry = largest(&mut reader)?;
    reader.seek(entry.offset.into())?;
    let start = reader.bytes::<8>()?;
    if start == PNG_SIGNATURE {
        reader.skip(8)?;
        return Ok(Facts::new(Format::Ico, reader.be32()?, reader.be32()?, 1));
    }
    let width = u32::from_le_bytes([start[4], start[5], start[6], start[7]]);
    // The height includes that of the mask.
    let height = reader.le32()?.cast_signed().unsigned_abs() / 2;
    if width.cast_signed() < 0 {
        return Err(reader.corrupt("its width is negative"));
    }
    Ok(Facts::new(Format::Ico, width, height, 1))
}

fn largest<R: BufRead + Seek>(reader: &mut HeaderReader<R>) -> Result<IconEntry> {
    reader.skip(2)?;
    let (kind, count) = (reader.le16()?, reader.le16()?);
    if count == 0 {
        return Err(reader.corrupt("it holds no picture"));
    }
    let side = |stored: u8| if stored == 0 { 256 } else { u32::from(stored) };
    let mut entries = Vec::new();
    for _ in 0..count.min(MAX_ENTRIES) {
        let [width, height, _, _] = reader.bytes()?;
        // In a cursor, these two are its hot spot.
        let (_, bits) = (reader.le16()?, reader.le16()?);
        let bits = if kind == 1 { bits } else { 0 };
        let (length, offset) = (reader.le32()?, reader.le32()?);
        entries.push(IconEntry { area: side(width) * side(height), bits, offset, length });
    }
    entries
        .into_iter()
        .max_by_key(|entry| (entry.area, entry.bits))
        .ok_or_else(|| reader.corrupt("it holds no picture"))
}

pub(super) fn decode(source: &[u8], reading: &Reading<'_>) -> Result<Decoded> {
    let entry = largest(&mut HeaderReader::new(Cursor::new(source), Format::Ico))?;
    let start = entry.offset as usize;
    let rest = source.get(start..).unwrap_or_default();
    let body = &rest[..rest.len().min(entry.length as usize)];
    if body.len() < entry.length as usize && !reading.lenient {
        return Err(truncated(Format::Ico, "the file ends before its picture does"));
    }
    if body.starts_with(PNG_SIGNATURE) {
        return png::decode(body, &Reading { deep: false, ..*reading });
    }
    if let Some(raster) = with_own_alpha(body) {
        return Ok(raster.into());
    }
    let (file, pixels) = as_file(body)?;
    let bytes = Watched::new(&file, reading.interrupted);
    let decoder = BmpDecoder::new(bytes).map_err(|error| image_error(Format::Ico, &error))?;
    let read = read_image(decoder, Format::Ico, reading)?;
    let raster = match read.picture {
        Picture::Eight(raster) => raster,
        Picture::Sixteen(raster) => raster.narrowed(),
    };
    let raster = masked(raster, body.get(pixels..).unwrap_or_default());
    Ok(Decoded { picture: Picture::Eight(raster), ..read })
}

/// A bitmap of 32 bits whose alpha is used. If it were read as a BMP file, its alpha would be lost.
fn with_own_alpha(body: &[u8]) -> Option<Raster> {
    let word = |at: usize| body.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let (width, height) = (word(4)?, word(8)?.cast_signed() / 2);
    if word(12)? >> 16 != 32 || word(16)? != 0 || width == 0 || height <= 0 {
        return None;
    }
    let height = height.cast_unsigned();
    let stride = usize::try_from(width).ok()?.checked_mul(4)?;
    let pixels = body.get(word(0)? as usize..)?.get(..stride.checked_mul(height as usize)?)?;
    if pixels.chunks_exact(4).all(|pixel| pixel[3] == 0) {
        return None;
    }
    // Stored as BGRA, last row first.
    let rows = pixels.chunks_exact(stride).rev();
    let data = rows.flat_map(|row| row.chunks_exact(4)).flat_map(|p| [p[2], p[1], p[0], p[3]]).collect();
    Some(Raster { width, height, channels: Channels::Rgba, data }.without_idle_alpha())
}

/// The BMP as a complete file, and the offset of its mask in `body`.
fn as_file(body: &[u8]) -> Result<(Vec<u8>, usize)> {
    let header = body.get(..40).ok_or_else(|| truncated(Format::Ico, "the file ends inside its header"))?;
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (size, width, height) = (word(0), word(4), word(8).cast_signed());
    let (bits, compression) = (u16::from_le_bytes([header[14], header[15]]), word(16));
    if !(40..=124).contains(&size) || !matches!(compression, 0 | 3) || !matches!(bits, 1 | 4 | 8 | 16 | 24 | 32) {
        return Err(corrupt(Format::Ico, "its bitmap is not understood"));
    }
    let used = match (word(32), bits) {
        (0, 1..=8) => 1 << bits,
        (used, 1..=8) => used.min(256),
        _ => 0,
    };
    let masks = if compression == 3 && size == 40 { 12 } else { 0 };
    let palette_end = size as usize + masks + 4 * used as usize;
    let halved = height / 2;
    let stride = (u64::from(width) * u64::from(bits)).div_ceil(32) * 4;
    let mask_start = palette_end as u64 + stride * u64::from(halved.unsigned_abs());
    let mask_start = usize::try_from(mask_start).unwrap_or(usize::MAX);

    let mut file = Vec::with_capacity(FILE_HEADER + body.len());
    file.extend(b"BM");
    file.extend(((FILE_HEADER + body.len()) as u32).to_le_bytes());
    file.extend([0; 4]);
    file.extend(((FILE_HEADER + palette_end) as u32).to_le_bytes());
    file.extend(body);
    file[FILE_HEADER + 8..FILE_HEADER + 12].copy_from_slice(&halved.to_le_bytes());
    Ok((file, mask_start))
}

/// The picture with the mask as alpha.
fn masked(raster: Raster, mask: &[u8]) -> Raster {
    let raster = raster.into_colour();
    let (width, height) = (raster.width as usize, raster.height as usize);
    let stride = width.div_ceil(32) * 4;
    let step = raster.channels.count();
    let mut data = Vec::with_capacity(width * height * 4);
    for (y, row) in raster.data.chunks_exact(width * step).enumerate() {
        // Rows begin at the bottom. Missing parts of the mask hide nothing.
        let line = mask.get((height - 1 - y) * stride..).unwrap_or_default();
        for (x, pixel) in row.chunks_exact(step).enumerate() {
            let hidden = line.get(x / 8).is_some_and(|byte| byte >> (7 - x % 8) & 1 == 1);
            data.extend([pixel[0], pixel[1], pixel[2], if hidden { 0 } else { 255 }]);
        }
    }
    Raster { channels: Channels::Rgba, data, ..raster }.without_idle_alpha()
}
