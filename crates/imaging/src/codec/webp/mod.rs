//! WebP: its header is read here, its pixels by [`libwebp`]. Of an animation, the first frame.

pub(super) mod chunks;
pub(super) mod libwebp;
pub(super) mod memory;

use std::io::{BufRead, Seek};

use super::reader::HeaderReader;
use super::{Decoded, Facts, Picture, Reading};
use crate::raster::Raster;
use crate::{Code, Format, Limits, Result, metadata};

/// Profiles beyond this are not read.
const MAX_PROFILE_BYTES: u32 = 4 << 20;
/// EXIF and XMP beyond this are not read.
const MAX_METADATA_BYTES: u32 = 1 << 20;
/// Of VP8X.
const ANIMATED: u8 = 0x02;

pub(super) fn inspect<R: BufRead + Seek>(reader: R, limits: &Limits) -> Result<Facts> {
    let mut reader = HeaderReader::new(reader, Format::WebP);
    reader.skip(12)?;
    let (kind, length) = (reader.bytes::<4>()?, reader.le32()?);
    if &kind != b"VP8X" {
        let (width, height) = bitstream(&mut reader, kind)?.ok_or_else(|| reader.corrupt("it holds no picture"))?;
        return Ok(Facts::new(Format::WebP, width, height, 1));
    }
    let flags = reader.byte()?;
    reader.skip(3)?;
    let (width, height) = (side(&mut reader)?, side(&mut reader)?);
    reader.skip(padded(length).saturating_sub(10))?;
    let mut facts = Facts::new(Format::WebP, width, height, 1);
    let mut frames = 0;
    match walk(&mut reader, &mut facts, &mut frames, limits.max_frames) {
        // Like a GIF's frames: a file cut short is the decoder's to judge.
        Err(error) if error.code == Code::TruncatedImage => {}
        walked => walked?,
    }
    if flags & ANIMATED != 0 {
        facts.header.frames = frames.max(1);
    }
    Ok(facts)
}

/// The size that a frame's own data tell, from the beginning of a `VP8 ` or `VP8L` chunk's content.
fn bitstream<R: BufRead + Seek>(reader: &mut HeaderReader<R>, kind: [u8; 4]) -> Result<Option<(u32, u32)>> {
    match &kind {
        b"VP8 " => {
            reader.skip(3)?;
            if reader.bytes::<3>()? != [0x9d, 0x01, 0x2a] {
                return Err(reader.corrupt("its frame does not begin as VP8 does"));
            }
            let (width, height) = (reader.le16()? & 0x3fff, reader.le16()? & 0x3fff);
            Ok(Some((width.into(), height.into())))
        }
        b"VP8L" => {
            if reader.byte()? != 0x2f {
                return Err(reader.corrupt("its frame does not begin as VP8L does"));
            }
            let bits = reader.le32()?;
            Ok(Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1)))
        }
        _ => Ok(None),
    }
}

/// 24 bits hold a side less one.
fn side<R: BufRead + Seek>(reader: &mut HeaderReader<R>) -> Result<u32> {
    let [a, b, c] = reader.bytes()?;
    Ok(u32::from_le_bytes([a, b, c, 0]) + 1)
}

fn walk<R: BufRead + Seek>(
    reader: &mut HeaderReader<R>,
    facts: &mut Facts,
    frames: &mut u32,
    max_frames: u32,
) -> Result<()> {
    let canvas = (facts.header.width, facts.header.height);
    while *frames <= max_frames {
        let (kind, length) = (reader.bytes::<4>()?, reader.le32()?);
        let next = reader.position()? + padded(length);
        let most = if &kind == b"ICCP" { MAX_PROFILE_BYTES } else { MAX_METADATA_BYTES };
        match &kind {
            b"EXIF" | b"ICCP" | b"XMP " if length <= most => {
                let bytes = reader.vec(length as usize)?;
                match &kind {
                    b"EXIF" => {
                        facts.orientation = metadata::orientation(&bytes);
                        facts.exif = Some(bytes);
                    }
                    b"XMP " => facts.xmp = Some(bytes),
                    _ => facts.icc = Some(bytes),
                }
            }
            b"ANMF" => {
                *frames += 1;
                frame(reader, next)?;
            }
            _ => fits(reader, kind, canvas)?,
        }
        let read = reader.position()?;
        reader.skip(next.checked_sub(read).ok_or_else(|| reader.corrupt("a chunk ends inside its frame"))?)?;
    }
    Ok(())
}

/// One frame of an animation, from the beginning of its chunk's content, to its picture or its end.
fn frame<R: BufRead + Seek>(reader: &mut HeaderReader<R>, end: u64) -> Result<()> {
    reader.skip(6)?;
    let size = (side(reader)?, side(reader)?);
    reader.skip(4)?;
    while reader.position()? + 8 <= end {
        let (kind, length) = (reader.bytes::<4>()?, reader.le32()?);
        if matches!(&kind, b"VP8 " | b"VP8L") {
            return fits(reader, kind, size);
        }
        reader.skip(padded(length))?;
    }
    Ok(())
}

/// A frame is decoded at the size that its own data tell, and compared with its place only then.
fn fits<R: BufRead + Seek>(reader: &mut HeaderReader<R>, kind: [u8; 4], place: (u32, u32)) -> Result<()> {
    match bitstream(reader, kind)? {
        Some(size) if size != place => {
            Err(reader
                .corrupt(&format!("a frame's data are {}×{} and its place {}×{}", size.0, size.1, place.0, place.1)))
        }
        _ => Ok(()),
    }
}

/// Chunks are padded to even lengths.
fn padded(length: u32) -> u64 {
    u64::from(length) + u64::from(length & 1)
}

/// The picture; of an animation, what `first_frame` returns.
pub(super) fn decode(
    source: &[u8],
    facts: &Facts,
    reading: &Reading<'_>,
    first_frame: impl FnOnce() -> Result<Raster>,
) -> Result<Decoded> {
    let (raster, truncated) = if is_animated(source) {
        (first_frame()?, false)
    } else {
        libwebp::read(source, (facts.header.width, facts.header.height), reading.interrupted)?
    };
    if truncated && !reading.lenient {
        return Err(libwebp::ends_early());
    }
    let picture = Picture::from(raster).without_idle_alpha().in_srgb(facts.icc.as_deref(), reading);
    Ok(Decoded { picture, truncated })
}

fn is_animated(source: &[u8]) -> bool {
    source.get(12..16) == Some(b"VP8X") && source.get(20).is_some_and(|flags| flags & ANIMATED != 0)
}

/// Whether a file is shorter than it says; the padding of its last chunk often is missing.
pub(super) fn is_cut(source: &[u8]) -> bool {
    let told = source.get(4..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes));
    (source.len() as u64) + 1 < u64::from(told) + 8
}
