//! JPEG, decoded by libjpeg-turbo-rs behind a guard, and by a reader of our own for files that it cannot decode.
//!
//! The guard: limits on parsing (above all on scans), strict decoding, and only files that libjpeg-turbo-rs is known to
//! decode correctly. The header decides this before decoding ([`is_simple`], [`JpegHeader::is_split`]). Sequential
//! files whose scans each have only some components are read by [`coefficients::planes`], and [`planes`] converts
//! unusual sampling to pixels. Files that libjpeg-turbo-rs is too strict about are tried again: sequential ones with
//! our own reader, progressive ones with zune-jpeg. Truncated files are refused, or filled with grey on request.

pub(crate) mod coefficients;
mod header;
mod planes;
mod tables;

use std::borrow::Cow;

use libjpeg_turbo_rs::{DecodeLimits, Decoder, JpegError, PixelFormat, ScalingFactor};
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::reader::{self, corrupt, truncated, unsupported};
use super::{Decoded, Facts, Picture, Reading, icc};
use crate::raster::{Channels, Raster};
use crate::{Code, Error, Format, Limits, Result};

#[cfg(test)]
pub(crate) use header::NATURAL_ORDER;
pub(super) use header::inspect;
use header::{Extent, extent};
pub(crate) use header::{JpegHeader, segments};
use planes::Plane;
pub(crate) use planes::rgb;
pub(crate) use tables::{Kept, Tables, standard_tables};

/// More than any real progressive file has, and few enough to end soon.
const MAX_SCANS: usize = 100;

/// Quality if the operation gives none.
pub(crate) const DEFAULT_QUALITY: u8 = 82;
/// From this quality on, chroma is not subsampled by default.
pub(crate) const FULL_CHROMA_QUALITY: u8 = 95;
/// From this effort on, Huffman tables are optimised for the picture.
pub(crate) const OPTIMISED_EFFORT: u8 = 5;

/// Decodes at 1/`shrink` of the size.
pub(super) fn decode(source: &[u8], facts: &Facts, reading: &Reading<'_>) -> Result<Decoded> {
    let Some(header) = &facts.jpeg else {
        return Err(corrupt(Format::Jpeg, "no header was read"));
    };
    if (reading.interrupted)() {
        return Err(reader::interrupted());
    }
    // Its decoder reads missing data as zeros and reports nothing.
    let mut cut_short = header.arithmetic && !extent(source).is_ended;
    if cut_short && !reading.lenient {
        return Err(truncated(Format::Jpeg, "the data ends before the picture does"));
    }
    if header.is_split() || header.is_sequential() && !is_simple(header) {
        return by_scans(source, facts, reading);
    }
    let source = &*with_lasting_tables(source, header);
    let read = |source: &[u8], lenient: bool| {
        if is_simple(header) {
            with_turbo(source, facts, reading, lenient)
        } else {
            by_planes(source, header, facts, reading, lenient)
        }
    };
    let raster = match read(source, false) {
        Err(Strictness::Perhaps(_)) if header.is_sequential() => return by_scans(source, facts, reading),
        Err(Strictness::Perhaps(error)) if is_simple(header) && header.components.len() < 4 && !header.arithmetic => {
            with_zune(source, facts, reading.limits).map_err(|_| error)?
        }
        Err(Strictness::No(error)) if reading.lenient && error.code == Code::TruncatedImage => {
            cut_short = true;
            read(&ended(source), true).map_err(Strictness::into_error)?
        }
        Err(Strictness::Perhaps(error) | Strictness::No(error)) => return Err(error),
        Ok(raster) => raster,
    };
    Ok(finished(raster, cut_short, facts, reading))
}

fn finished(raster: Raster, truncated: bool, facts: &Facts, reading: &Reading<'_>) -> Decoded {
    Decoded { picture: Picture::from(raster).in_srgb(facts.icc.as_deref(), reading), truncated }
}

/// Whether libjpeg-turbo-rs computes the right pixels for this sampling: grey; three components whose first one has
/// full resolution and the others less by whole factors; four components with full resolution.
fn is_simple(header: &JpegHeader) -> bool {
    let (h, v) = header.most();
    match header.components.as_slice() {
        [_] => true,
        [first, _, _] => {
            let divides = |part: &header::Component| h.is_multiple_of(part.h) && v.is_multiple_of(part.v);
            (first.h, first.v) == (h, v) && header.components.iter().all(divides)
        }
        all => all.iter().all(|part| (part.h, part.v) == (1, 1)),
    }
}

/// Reads a sequential file with any scans and sampling.
fn by_scans(source: &[u8], facts: &Facts, reading: &Reading<'_>) -> Result<Decoded> {
    let header = facts.jpeg.as_ref().ok_or_else(|| corrupt(Format::Jpeg, "no header was read"))?;
    let (planes, cut_short) = coefficients::planes(source, facts, reading)?;
    Ok(finished(from_planes(&planes, header, facts), cut_short, facts, reading))
}

/// Reads a file with any sampling; libjpeg-turbo-rs decodes the samples.
fn by_planes(
    source: &[u8],
    header: &JpegHeader,
    facts: &Facts,
    reading: &Reading<'_>,
    lenient: bool,
) -> std::result::Result<Raster, Strictness> {
    let mut decoder = decoder(source, reading.limits).map_err(judged)?;
    decoder.set_lenient(lenient);
    let raw = decoder.decode_raw().map_err(judged)?;
    let size = (facts.header.width as usize, facts.header.height as usize);
    let planes = Plane::with(header, size, raw.planes)
        .ok_or_else(|| Strictness::No(corrupt(Format::Jpeg, "its planes are not what its header says")))?;
    Ok(from_planes(&planes, header, facts))
}

fn from_planes(planes: &[Plane], header: &JpegHeader, facts: &Facts) -> Raster {
    let (width, height) = (facts.header.width, facts.header.height);
    let data = planes::interleaved(planes, header, (width as usize, height as usize));
    let channels = match planes.len() {
        1 => Channels::Gray,
        4 => return from_cmyk(width, height, data, facts),
        _ => Channels::Rgb,
    };
    Raster { width, height, channels, data }
}

fn too_many_scans(scans: usize) -> Error {
    refused(JpegError::LimitExceeded { what: "scans", actual: scans as u64, limit: MAX_SCANS as u64 })
}

/// Whether quantisation tables are defined after the first scan has begun.
pub(crate) fn changes_tables(source: &[u8]) -> bool {
    segments(source).skip_while(|segment| segment.marker != 0xda).any(|segment| segment.marker == 0xdb)
}

/// The same file with all quantisation tables before its first scan, in a slot for each component. A component uses the
/// table that is in its slot when its first scan begins, but libjpeg-turbo-rs would use the slot's last table.
fn with_lasting_tables<'a>(source: &'a [u8], header: &JpegHeader) -> Cow<'a, [u8]> {
    if !changes_tables(source) {
        return Cow::Borrowed(source);
    }
    let mut tables = JpegHeader::default();
    let mut kept: Vec<Option<[u16; 64]>> = vec![None; header.components.len()];
    for segment in segments(source) {
        match (segment.marker, segment.body) {
            (0xdb, body) => tables.define_quant_tables(body),
            (0xda, [count, pairs @ ..]) => {
                for pair in pairs.chunks_exact(2).take(usize::from(*count)) {
                    for (component, kept) in header.components.iter().zip(&mut kept).filter(|(c, _)| c.id == pair[0]) {
                        let slot = usize::from(component.table & 3);
                        *kept = kept.or(tables.quant_tables[slot]);
                    }
                }
            }
            _ => {}
        }
    }
    let mut file = vec![0xff, 0xd8];
    for (slot, table) in (0..).zip(&kept) {
        let Some(table) = table else { continue };
        let wide = table.iter().any(|step| *step > 255);
        file.extend([0xff, 0xdb, 0, if wide { 131 } else { 67 }, u8::from(wide) << 4 | slot]);
        file.extend(table.iter().flat_map(|step| step.to_be_bytes().into_iter().skip(usize::from(!wide))));
    }
    let mut at = 2;
    for segment in segments(source) {
        match segment.marker {
            0xdb => file.extend(&source[at..segment.start]),
            0xc0..=0xcf if !matches!(segment.marker, 0xc4 | 0xc8 | 0xcc) => {
                let start = file.len() + segment.start - at;
                file.extend(&source[at..segment.end]);
                // The components follow marker, length, precision, sides and count.
                for (slot, part) in (0..).zip(file[start + 10..].chunks_exact_mut(3)) {
                    part[2] = slot;
                }
            }
            _ => file.extend(&source[at..segment.end]),
        }
        at = segment.end;
    }
    file.extend(&source[at..]);
    Cow::Owned(file)
}

/// A truncated file, cut after its last complete segment and completed by an end marker, because progressive files are
/// not decoded without one.
fn ended(source: &[u8]) -> Vec<u8> {
    let Extent { end, .. } = extent(source);
    [&source[..end], &[0xff, 0xd9]].concat()
}

/// Whether a failure may be due to libjpeg-turbo-rs, which is stricter than other decoders.
enum Strictness {
    Perhaps(Error),
    No(Error),
}

impl Strictness {
    fn into_error(self) -> Error {
        match self {
            Self::Perhaps(error) | Self::No(error) => error,
        }
    }
}

/// A decoder with limits on parsing. Everything that libjpeg-turbo-rs decodes goes through it.
pub(crate) fn decoder<'a>(source: &'a [u8], limits: &Limits) -> std::result::Result<Decoder<'a>, JpegError> {
    let mut decoder = Decoder::new_with_limits(
        source,
        DecodeLimits {
            max_width: limits.max_side.min(65_500) as usize,
            max_height: limits.max_side.min(65_500) as usize,
            max_pixels: limits.max_pixels,
            max_scans: MAX_SCANS,
            max_memory: Some(limits.max_decoded_bytes),
        },
    )?;
    // Needed for exactly the same result as libjpeg-turbo.
    decoder.set_block_smoothing(true);
    Ok(decoder)
}

fn with_turbo(
    source: &[u8],
    facts: &Facts,
    reading: &Reading<'_>,
    lenient: bool,
) -> std::result::Result<Raster, Strictness> {
    let mut decoder = decoder(source, reading.limits).map_err(judged)?;
    // Missing data becomes grey.
    decoder.set_lenient(lenient);
    if reading.shrink > 1 {
        decoder.set_scale(ScalingFactor::try_new(1, reading.shrink.into()).map_err(judged)?);
    }
    let components = decoder.header().components.len();
    decoder.set_output_format(match components {
        1 => PixelFormat::Grayscale,
        4 => PixelFormat::Cmyk,
        _ => PixelFormat::Rgb,
    });
    let image = decoder.decode_image().map_err(judged)?;
    let (width, height) = (image.width as u32, image.height as u32);
    let channels = match components {
        1 => Channels::Gray,
        4 => return Ok(from_cmyk(width, height, image.data, facts)),
        _ => Channels::Rgb,
    };
    Ok(Raster { width, height, channels, data: image.data })
}

pub(crate) fn refused(error: JpegError) -> Error {
    match error {
        JpegError::UnexpectedEof => truncated(Format::Jpeg, "the data ends before the picture does"),
        JpegError::Unsupported(what) => unsupported(Format::Jpeg, what),
        JpegError::LimitExceeded { what, actual, limit } => {
            Error::new(Code::TooLarge, format!("JPEG: {what} {actual} exceeds the limit of {limit}"))
        }
        JpegError::AllocationFailed { .. } => Error::new(Code::TooLarge, "JPEG: there is not enough memory for it"),
        other => corrupt(Format::Jpeg, other),
    }
}

fn judged(error: JpegError) -> Strictness {
    match error {
        JpegError::Unsupported(_) | JpegError::CorruptData(_) | JpegError::InvalidMarker(_) => {
            Strictness::Perhaps(refused(error))
        }
        other => Strictness::No(refused(other)),
    }
}

/// For one or three components.
fn with_zune(source: &[u8], facts: &Facts, limits: &Limits) -> Result<Raster> {
    let failed = |error: zune_jpeg::errors::DecodeErrors| corrupt(Format::Jpeg, format!("{error:?}"));
    let side = limits.max_side as usize;
    let single = facts.jpeg.as_ref().is_some_and(|header| header.components.len() == 1);
    let (colour, channels) = if single { (ColorSpace::Luma, Channels::Gray) } else { (ColorSpace::RGB, Channels::Rgb) };
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(side)
        .set_max_height(side)
        .jpeg_set_max_scans(MAX_SCANS)
        .jpeg_set_out_colorspace(colour);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(source), options);
    decoder.decode_headers().map_err(failed)?;
    let data = decoder.decode().map_err(failed)?;
    let info = decoder.info().ok_or_else(|| corrupt(Format::Jpeg, "it has no frame"))?;
    Ok(Raster { width: info.width.into(), height: info.height.into(), channels, data })
}

/// CMYK is stored inverted, as Adobe does. This is assumed even without Adobe's marker, as in browsers.
fn from_cmyk(width: u32, height: u32, mut cmyk: Vec<u8>, facts: &Facts) -> Raster {
    for value in &mut cmyk {
        *value = 255 - *value;
    }
    icc::cmyk_to_srgb(width, height, &cmyk, facts.icc.as_deref())
}
