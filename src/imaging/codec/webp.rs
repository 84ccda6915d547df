//! WebP: read by `image` (pure Rust). Of an animation, the first frame.

use std::io::{BufRead, Seek};

use image::codecs::webp::WebPDecoder;

use super::reader::{self, HeaderReader};
use super::watched::Watched;
use super::{Decoded, Facts, Reading, exif, image_error, read_image};
use crate::imaging::{Code, Format, Limits, Result};

/// Profiles beyond this are not read.
const MAX_PROFILE_BYTES: u32 = 4 << 20;
/// EXIF and XMP beyond this are not read.
const MAX_METADATA_BYTES: u32 = 1 << 20;

pub(super) fn inspect<R: BufRead + Seek>(reader: R, limits: &Limits) -> Result<Facts> {
    let mut reader = HeaderReader::new(reader, Format::WebP);
    reader.skip(12)?;
    let (kind, length) = (reader.bytes::<4>()?, reader.le32()?);
    match &kind {
        b"VP8 " => {
            reader.skip(3)?;
            if reader.bytes::<3>()? != [0x9d, 0x01, 0x2a] {
                return Err(reader.corrupt("its frame does not begin as VP8 does"));
            }
            let (width, height) = (reader.le16()? & 0x3fff, reader.le16()? & 0x3fff);
            Ok(Facts::new(Format::WebP, width.into(), height.into(), 1))
        }
        b"VP8L" => {
            if reader.byte()? != 0x2f {
                return Err(reader.corrupt("its frame does not begin as VP8L does"));
            }
            let bits = reader.le32()?;
            Ok(Facts::new(Format::WebP, (bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1, 1))
        }
        b"VP8X" => {
            let flags = reader.byte()?;
            reader.skip(3)?;
            let side = |b: [u8; 3]| u32::from_le_bytes([b[0], b[1], b[2], 0]) + 1;
            let (width, height) = (side(reader.bytes()?), side(reader.bytes()?));
            reader.skip(padded(length).saturating_sub(10))?;
            let mut facts = Facts::new(Format::WebP, width, height, 1);
            let mut frames = 0;
            // Like a GIF's frames: a file cut short is the decoder's to judge.
            let _ = walk(&mut reader, &mut facts, &mut frames, limits.max_frames);
            if flags & 0x02 != 0 {
                facts.header.frames = frames.max(1);
            }
            Ok(facts)
        }
        _ => Err(reader.corrupt("it holds no picture")),
    }
}

fn walk<R: BufRead + Seek>(
    reader: &mut HeaderReader<R>,
    facts: &mut Facts,
    frames: &mut u32,
    max_frames: u32,
) -> Result<()> {
    while *frames <= max_frames {
        let (kind, length) = (reader.bytes::<4>()?, reader.le32()?);
        let most = if &kind == b"ICCP" { MAX_PROFILE_BYTES } else { MAX_METADATA_BYTES };
        match &kind {
            b"EXIF" | b"ICCP" | b"XMP " if length <= most => {
                let bytes = reader.vec(length as usize)?;
                reader.skip(u64::from(length & 1))?;
                match &kind {
                    b"EXIF" => {
                        facts.orientation = exif::orientation(&bytes);
                        facts.exif = Some(bytes);
                    }
                    b"XMP " => facts.xmp = Some(bytes),
                    _ => facts.icc = Some(bytes),
                }
                continue;
            }
            b"ANMF" => *frames += 1,
            _ => {}
        }
        reader.skip(padded(length))?;
    }
    Ok(())
}

/// Chunks are padded to even lengths.
fn padded(length: u32) -> u64 {
    u64::from(length) + u64::from(length & 1)
}

/// The first frame, if there are several.
pub(super) fn decode(source: &[u8], facts: &Facts, reading: &Reading<'_>) -> Result<Decoded> {
    let decoder = WebPDecoder::new(Watched::new(source, reading.interrupted));
    let read = decoder
        .map_err(|error| image_error(Format::WebP, &error))
        .and_then(|decoder| read_image(decoder, Format::WebP, reading));
    let Decoded { picture, truncated } = read.map_err(|error| match error.code {
        // The decoder does not look for the end before it stumbles over what is missing.
        Code::CorruptImage if is_cut(source) => {
            reader::truncated(Format::WebP, "the file ends before its picture does")
        }
        _ => error,
    })?;
    Ok(Decoded { picture: picture.in_srgb(facts.icc.as_deref(), reading), truncated })
}

/// Whether a file is shorter than it says; the padding of its last chunk often is missing.
pub(super) fn is_cut(source: &[u8]) -> bool {
    let told = source.get(4..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes));
    (source.len() as u64) + 1 < u64::from(told) + 8
}
