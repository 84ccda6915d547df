//! BMP, by `image`: all classic depths, RLE and bit fields. Only ever read.
//! A negative height, which means rows from the top, is not an error.

use std::io::{BufRead, Seek};

use image::codecs::bmp::BmpDecoder;

use super::reader::HeaderReader;
use super::watched::Watched;
use super::{Decoded, Facts, Reading, image_error, read_image};
use crate::{Format, Result};

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
    // A negative height means that the rows begin at the top.
    Ok(Facts::new(Format::Bmp, width as u32, height.unsigned_abs(), 1))
}

pub(super) fn decode(source: &[u8], reading: &Reading<'_>) -> Result<Decoded> {
    let layout = Layout::of(source);
    let clipped = layout.as_ref().and_then(|layout| layout.clipped(source));
    let padding = layout.map_or(&[][..], |layout| layout.missing_padding(source.len()));
    let source = Watched::new(clipped.as_deref().unwrap_or(source), reading.interrupted).followed_by(padding);
    read_image(BmpDecoder::new(source).map_err(|error| image_error(Format::Bmp, &error))?, Format::Bmp, reading)
}

/// The offset of the pixels, as the header gives it.
struct Layout {
    offset: usize,
    width: usize,
    height: usize,
    bits: usize,
    compression: Compression,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    /// Runs of indices; the bits of an index.
    Runs(usize),
}

impl Layout {
    /// `None` if the header does not say it, or describes pixels that the decoder does not read.
    fn of(source: &[u8]) -> Option<Self> {
        let half = |at: usize| Some(u16::from_le_bytes(*source.get(at..)?.first_chunk()?));
        let word = |at: usize| Some(u32::from_le_bytes(*source.get(at..)?.first_chunk()?));
        let (width, height, bits, code) = if word(14)? == 12 {
            (half(18)?.into(), half(20)?.into(), half(24)?, 0)
        } else {
            (word(18)?, (word(22)? as i32).unsigned_abs(), half(28)?, word(30)?)
        };
        let compression = match code {
            0 | 3 | 6 => Compression::None,
            1 => Compression::Runs(8),
            2 => Compression::Runs(4),
            _ => return None,
        };
        Some(Self {
            offset: word(10)? as usize,
            width: width as usize,
            height: height as usize,
            bits: bits.into(),
            compression,
        })
    }

    /// The padding of the last row to a multiple of four bytes that a file of this length lacks. Some writers omit it,
    /// and no pixel is missing.
    fn missing_padding(&self, length: usize) -> &'static [u8] {
        let missing = || {
            let row = self.width.checked_mul(self.bits)?.div_ceil(8);
            let padding = row.next_multiple_of(4) - row;
            let end = row.next_multiple_of(4).checked_mul(self.height)?.checked_add(self.offset)?;
            end.checked_sub(length).filter(|&missing| missing <= padding)
        };
        let missing = if self.compression == Compression::None { missing() } else { None };
        &[0; 3][..missing.unwrap_or(0)]
    }

    /// The file with runs cut at the ends of their rows, and with an end mark after the last row. Browsers show such
    /// files, but the decoder refuses them. `None` if nothing has to be changed.
    fn clipped(&self, source: &[u8]) -> Option<Vec<u8>> {
        let Compression::Runs(bits) = self.compression else { return None };
        let mut codes = source.get(self.offset..)?;
        let mut file = Vec::with_capacity(source.len() + 2);
        file.extend_from_slice(&source[..self.offset]);
        let (mut x, mut y, mut has_end) = (0, 0, false);
        while let Some((&[count, value], rest)) = codes.split_first_chunk::<2>() {
            codes = rest;
            match (count, value) {
                (0, 0) => {
                    file.extend([0, 0]);
                    (x, y) = (0, y + 1);
                }
                (0, 1) => {
                    file.extend([0, 1]);
                    has_end = true;
                    break;
                }
                (0, 2) => {
                    let Some((&[right, down], rest)) = codes.split_first_chunk::<2>() else { break };
                    codes = rest;
                    let right = usize::from(right).min(self.width.saturating_sub(x));
                    y += usize::from(down);
                    if y >= self.height {
                        // Everything below the last row is dropped by the end mark that follows.
                        break;
                    }
                    file.extend([0, 2, right as u8, down]);
                    x += right;
                }
                (0, count) => {
                    let bytes = (usize::from(count) * bits).div_ceil(8);
                    let Some((stored, rest)) = codes.split_at_checked(bytes) else { break };
                    codes = rest.get(bytes % 2..).unwrap_or_default();
                    let kept = usize::from(count).min(self.width.saturating_sub(x));
                    // Fewer than three cannot be stored like this.
                    if kept < 3 {
                        for i in 0..kept {
                            file.extend([1, if bits == 8 { stored[i] } else { stored[i / 2] << (4 * (i % 2)) }]);
                        }
                    } else {
                        let bytes = (kept * bits).div_ceil(8);
                        file.extend([0, kept as u8]);
                        file.extend_from_slice(&stored[..bytes]);
                        file.extend_from_slice(&[0][..bytes % 2]);
                    }
                    x += kept;
                }
                (count, value) => {
                    let kept = usize::from(count).min(self.width.saturating_sub(x));
                    if kept > 0 {
                        file.extend([kept as u8, value]);
                    }
                    x += kept;
                }
            }
        }
        if !has_end && (y >= self.height || y + 1 == self.height && x >= self.width) {
            file.extend([0, 1]);
        }
        (file != source).then_some(file)
    }
}
