//! APNG: each frame is encoded as a PNG, and its pixel chunks become chunks of the animation.
//!
//! A frame is cut to the area that changed. If nothing in it is transparent, a variant without the unchanged pixels is
//! tried as well, and the smaller one is used. The number of frames is at the beginning of the file but known only at
//! the end, so the file is assembled last.

use std::time::Duration;

use png::{BitDepth, ColorType, Compression};

use super::super::canvas::Area;
use super::{Style, Written};
use crate::codec::quantize::Pixel;
use crate::raster::Raster;
use crate::{Code, Error, Result};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Longest delay of one frame.
pub(super) const LONGEST: Duration = Duration::from_secs(u16::MAX as u64);
/// The largest denominator of a delay.
const MAX_DENOMINATOR: u16 = 1000;
const NANOS: u128 = 1_000_000_000;

pub(super) struct File {
    size: (u32, u32),
    plays: u32,
    compression: Compression,
    shown: Vec<Pixel>,
    /// The chunks after `acTL`.
    chunks: Vec<u8>,
    /// The offset in `chunks` of the first frame's picture. A still begins there.
    picture: usize,
    sequence: u32,
    frames: u32,
    /// Sum of all delays.
    told: Duration,
}

impl File {
    pub(super) fn new(size: (u32, u32), style: &Style) -> Self {
        let &Style { plays, compression, .. } = style;
        let (chunks, shown) = (Vec::new(), Vec::new());
        Self { size, plays, compression, shown, chunks, picture: 0, sequence: 0, frames: 0, told: Duration::ZERO }
    }

    pub(super) fn add(&mut self, picture: &Raster, delay: Duration) -> Result<()> {
        let (width, height) = (self.size.0 as usize, self.size.1 as usize);
        let pixels = picture.rgba();
        if self.frames == 0 {
            self.control(Area::whole(width, height), delay, false);
            self.picture = self.chunks.len();
            let data = compressed(&pixels, width, self.compression)?;
            chunk(&mut self.chunks, *b"IDAT", &[&data]);
        } else {
            let changed = |at: usize| pixels[at] != self.shown[at];
            // Equal frames were joined, so only the colours of transparent pixels may differ.
            let one = Area { left: 0, top: 0, width: 1, height: 1 };
            let area = Area::around(width, height, changed).unwrap_or(one);
            let mut data = compressed(&area.cut(&pixels, width), area.width, self.compression)?;
            let mut blend = false;
            if pixels.iter().enumerate().all(|(at, pixel)| pixel[3] == 255 || !changed(at)) {
                let left_out: Vec<Pixel> =
                    pixels.iter().enumerate().map(|(at, &pixel)| if changed(at) { pixel } else { [0; 4] }).collect();
                let other = compressed(&area.cut(&left_out, width), area.width, self.compression)?;
                if other.len() < data.len() {
                    (data, blend) = (other, true);
                }
            }
            self.control(area, delay, blend);
            let sequence = self.next();
            chunk(&mut self.chunks, *b"fdAT", &[&sequence, &data]);
        }
        self.shown.clear();
        self.shown.extend_from_slice(&pixels);
        self.frames += 1;
        Ok(())
    }

    fn next(&mut self) -> [u8; 4] {
        self.sequence += 1;
        (self.sequence - 1).to_be_bytes()
    }

    fn control(&mut self, area: Area, delay: Duration, blend: bool) {
        let (numerator, denominator) = fraction(delay);
        self.told += Duration::from_secs(numerator.into()) / denominator.into();
        let sequence = self.next();
        let [width, height, left, top] =
            [area.width, area.height, area.left, area.top].map(|side| (side as u32).to_be_bytes());
        let delay = [numerator.to_be_bytes(), denominator.to_be_bytes()].concat();
        // The drawn pixels stay.
        let fields = [&sequence[..], &width, &height, &left, &top, &delay, &[0, blend.into()]];
        chunk(&mut self.chunks, *b"fcTL", &fields);
    }

    pub(super) fn finish(self) -> Written {
        let mut file = Vec::with_capacity(self.chunks.len() + 128);
        file.extend(SIGNATURE);
        let [width, height] = [self.size.0, self.size.1].map(u32::to_be_bytes);
        // Eight bits, RGBA, not interlaced.
        chunk(&mut file, *b"IHDR", &[&width, &height, &[8, 6, 0, 0, 0]]);
        if self.frames > 1 {
            chunk(&mut file, *b"acTL", &[&self.frames.to_be_bytes(), &self.plays.to_be_bytes()]);
            file.extend(&self.chunks);
        } else {
            file.extend(&self.chunks[self.picture..]);
        }
        chunk(&mut file, *b"IEND", &[]);
        Written { data: file, frames: self.frames, duration: self.told }
    }
}

/// The compressed rows of a picture: the contents of its IDAT chunks.
fn compressed(pixels: &[Pixel], width: usize, compression: Compression) -> Result<Vec<u8>> {
    let failed = |error: png::EncodingError| Error::new(Code::Storage, format!("writing PNG: {error}"));
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, (pixels.len() / width) as u32);
    encoder.set_color(ColorType::Rgba);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(compression);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(pixels.as_flattened()).map_err(failed)?;
    writer.finish().map_err(failed)?;
    let mut data = Vec::with_capacity(file.len());
    let mut rest = &file[SIGNATURE.len()..];
    while let Some((header, body)) = rest.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
        if header.ends_with(b"IDAT") {
            data.extend(&body[..length]);
        }
        rest = &body[length + 4..];
    }
    Ok(data)
}

/// The delay as a fraction of a second, with the smallest denominator that is exact to the microsecond, otherwise
/// rounded.
fn fraction(delay: Duration) -> (u16, u16) {
    let nanos = delay.as_nanos();
    let told = |denominator: u16, slack: u128| {
        let scaled = nanos * u128::from(denominator);
        let numerator = (scaled + NANOS / 2) / NANOS;
        let is_close = (numerator * NANOS).abs_diff(scaled) <= slack;
        u16::try_from(numerator).ok().filter(|_| is_close).map(|numerator| (numerator, denominator))
    };
    let exact = (1..=MAX_DENOMINATOR).find_map(|denominator| told(denominator, 1000 * u128::from(denominator)));
    let rounded = || [1000, 100, 10, 1].into_iter().find_map(|denominator| told(denominator, NANOS));
    exact.or_else(rounded).unwrap_or((u16::MAX, 1))
}

/// Appends a chunk with this content.
pub(crate) fn chunk(file: &mut Vec<u8>, kind: [u8; 4], parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    file.extend((length as u32).to_be_bytes());
    let start = file.len();
    file.extend(kind);
    for part in parts {
        file.extend(*part);
    }
    let sum = crc(&file[start..]);
    file.extend(sum.to_be_bytes());
}

/// PNG's checksum, as in the appendix of its specification.
fn crc(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let (mut value, mut bit) = (i as u32, 0);
            while bit < 8 {
                value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
                bit += 1;
            }
            table[i] = value;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(u32::MAX, |sum, &byte| TABLE[((sum ^ u32::from(byte)) & 255) as usize] ^ (sum >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_pngs() {
        assert_eq!(crc(b"IEND"), 0xae42_6082);
    }

    #[test]
    fn delays_are_told_in_small_fractions() {
        for (delay, wanted) in [
            (Duration::ZERO, (0, 1)),
            (Duration::from_millis(100), (1, 10)),
            (Duration::from_secs(1) / 60, (1, 60)),
            // Television's 29.97 frames per second.
            (Duration::from_secs(1001) / 30_000, (33, 989)),
            (Duration::from_millis(65_537), (6554, 100)),
            (Duration::from_secs(100_000), (65_535, 1)),
        ] {
            assert_eq!(fraction(delay), wanted, "{delay:?}");
        }
    }
}
