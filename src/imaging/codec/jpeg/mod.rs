//! JPEG, by libjpeg-turbo-rs behind a guard, with zune-jpeg for what that one cannot do.
//!
//! The guard: limits on parsing (scans above all), frames with four subsampled components go to
//! zune (they panic otherwise), decoding is strict, and only what libjpeg-turbo-rs is known to be
//! too strict about is tried again with zune. Truncated files are refused, or filled with grey where that is asked for.

pub(crate) mod coefficients;
mod header;

use libjpeg_turbo_rs::{DecodeLimits, Decoder, Encoder, JpegError, PixelFormat, ScalingFactor, Subsampling};
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::encode::Coding;
use super::reader::{self, corrupt, truncated, unsupported};
use super::{Decoded, Facts, Picture, Reading, icc};
use crate::imaging::operation::Chroma;
use crate::imaging::raster::{Channels, Raster};
use crate::imaging::{Code, Error, Format, Limits, Result};

pub(crate) use header::JpegHeader;
pub(super) use header::inspect;
use header::{Extent, extent, natural};

/// More than any real progression has, and few enough to end promptly.
const MAX_SCANS: usize = 100;

/// How an encoder quantises.
#[derive(Debug, Clone)]
pub(crate) enum Tables {
    Quality(u8),
    /// A source's own.
    Kept(Box<Kept>),
}

/// A source's quantisation tables, row-major, and its sampling.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    luma: [u16; 64],
    chroma: [u16; 64],
    sampling: Subsampling,
}

/// Where nothing else is asked for.
pub(crate) const DEFAULT_QUALITY: u8 = 82;
/// From here on chroma is kept whole where nothing else is asked for.
pub(crate) const FULL_CHROMA_QUALITY: u8 = 95;
/// From this effort on Huffman tables are made for the picture.
pub(crate) const OPTIMISED_EFFORT: u8 = 5;

impl Tables {
    /// The source's own tables, if an encoder can write with them; its sampling turns with it.
    pub(crate) fn kept(header: &JpegHeader, orientation: u8) -> Option<Self> {
        let luma = header.table(0)?;
        let (chroma, sampling) = match header.components.len() {
            1 => (luma, Subsampling::S444),
            3 if header.is_ycbcr() => {
                let (h, v) = header.sampling()?;
                let sampling = match if orientation >= 5 { (v, h) } else { (h, v) } {
                    (1, 1) => Subsampling::S444,
                    (2, 1) => Subsampling::S422,
                    (2, 2) => Subsampling::S420,
                    (1, 2) => Subsampling::S440,
                    _ => return None,
                };
                // One slot serves both chroma components.
                if header.table(1)? != header.table(2)? {
                    return None;
                }
                (header.table(1)?, sampling)
            }
            _ => return None,
        };
        let baseline = |table: &[u16; 64]| table.iter().all(|value| (1..=255).contains(value));
        (baseline(&luma) && baseline(&chroma)).then(|| Self::Kept(Box::new(Kept { luma, chroma, sampling })))
    }
}

impl Tables {
    /// The quality at which the standard tables are these, at 4:2:0.
    pub(crate) fn standard_quality(&self) -> Option<u8> {
        let Self::Kept(kept) = self else { return None };
        if kept.sampling != Subsampling::S420 {
            return None;
        }
        (1..=100).find(|&quality| {
            let [luma, chroma] = standard_tables(quality).map(|table| natural(&table));
            luma == kept.luma && chroma == kept.chroma
        })
    }
}

/// The standard tables for luma and chroma at a quality, in zigzag order.
pub(crate) fn standard_tables(quality: u8) -> [[u16; 64]; 2] {
    let scale = u32::from(libjpeg_turbo_rs::quality_scaling(quality) as u16);
    [&header::STANDARD_LUMA, &header::STANDARD_CHROMA].map(|base| {
        header::NATURAL_ORDER.map(|place| {
            let step = u32::from(base[usize::from(place)]);
            ((step * scale + 50) / 100).clamp(1, 255) as u16
        })
    })
}

/// Decodes at 1/`shrink` of the size.
pub(super) fn decode(source: &[u8], facts: &Facts, reading: &Reading<'_>) -> Result<Decoded> {
    let Some(header) = &facts.jpeg else {
        return Err(corrupt(Format::Jpeg, "no header was read"));
    };
    if (reading.interrupted)() {
        return Err(reader::interrupted());
    }
    // Its decoder takes what is missing for zeros, and says nothing.
    let mut cut_short = header.arithmetic && !extent(source).is_ended;
    if cut_short && !reading.lenient {
        return Err(truncated(Format::Jpeg, "the data ends before the picture does"));
    }
    let subsampled = header.components.iter().any(|c| (c.h, c.v) != (1, 1));
    let raster = if header.components.len() == 4 && subsampled {
        with_zune(source, facts, reading.limits)?
    } else {
        match with_turbo(source, facts, reading, false) {
            Err(Strictness::Perhaps(error)) => with_zune(source, facts, reading.limits).map_err(|_| error)?,
            Err(Strictness::No(error)) if reading.lenient && error.code == Code::TruncatedImage => {
                cut_short = true;
                with_turbo(&ended(source), facts, reading, true).map_err(Strictness::into_error)?
            }
            Err(Strictness::No(error)) => return Err(error),
            Ok(raster) => raster,
        }
    };
    let picture = Picture::from(raster).in_srgb(facts.icc.as_deref(), reading);
    Ok(Decoded { picture, truncated: cut_short })
}

/// A file that was cut short, up to its last whole segment and with the marker that ends one: progressive ones are not
/// read without.
fn ended(source: &[u8]) -> Vec<u8> {
    let Extent { end, .. } = extent(source);
    [&source[..end], &[0xff, 0xd9]].concat()
}

/// Whether a failure may be due to libjpeg-turbo-rs being stricter than other decoders.
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

/// The parser's limits; everything libjpeg-turbo-rs decodes goes through them.
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
    // Exactness with libjpeg-turbo depends on it.
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
    // What is missing becomes grey.
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

fn with_zune(source: &[u8], facts: &Facts, limits: &Limits) -> Result<Raster> {
    let failed = |error: zune_jpeg::errors::DecodeErrors| corrupt(Format::Jpeg, format!("{error:?}"));
    let side = limits.max_side as usize;
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(side)
        .set_max_height(side)
        .jpeg_set_max_scans(MAX_SCANS);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(source), options);
    decoder.decode_headers().map_err(failed)?;
    let colour = decoder.input_colorspace();
    let wanted = match colour {
        Some(ColorSpace::CMYK) => ColorSpace::CMYK,
        Some(ColorSpace::YCCK) => ColorSpace::YCCK,
        Some(ColorSpace::Luma) => ColorSpace::Luma,
        _ => ColorSpace::RGB,
    };
    decoder.set_options(options.jpeg_set_out_colorspace(wanted));
    let mut data = decoder.decode().map_err(failed)?;
    let info = decoder.info().ok_or_else(|| corrupt(Format::Jpeg, "it has no frame"))?;
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    let channels = match wanted {
        ColorSpace::Luma => Channels::Gray,
        ColorSpace::RGB => Channels::Rgb,
        _ => {
            if wanted == ColorSpace::YCCK {
                cmyk_of_ycck(&mut data);
            }
            return Ok(from_cmyk(width, height, data, facts));
        }
    };
    Ok(Raster { width, height, channels, data })
}

/// Adobe's files store CMYK inverted.
fn from_cmyk(width: u32, height: u32, mut cmyk: Vec<u8>, facts: &Facts) -> Raster {
    if facts.jpeg.as_ref().is_some_and(|header| header.adobe.is_some()) {
        for value in &mut cmyk {
            *value = 255 - *value;
        }
    }
    icc::cmyk_to_srgb(width, height, &cmyk, facts.icc.as_deref())
}

/// JFIF's YCbCr formula gives the inverse of C, M and Y; K stays as it is.
fn cmyk_of_ycck(pixels: &mut [u8]) {
    for pixel in pixels.chunks_exact_mut(4) {
        let (y, cb, cr) = (f32::from(pixel[0]), f32::from(pixel[1]) - 128.0, f32::from(pixel[2]) - 128.0);
        let rgb = [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb];
        for (channel, value) in pixel.iter_mut().zip(rgb) {
            *channel = 255 - value.round().clamp(0.0, 255.0) as u8;
        }
    }
}

/// 4:2:0 with the standard Huffman tables, unless `tables` says otherwise. What alpha there is goes over white.
#[cfg(test)]
pub(crate) fn encode(raster: &Raster, tables: &Tables) -> Result<Vec<u8>> {
    let mut coding = Coding::default();
    match tables {
        Tables::Quality(quality) => coding.quality = Some(*quality),
        Tables::Kept(kept) => coding.kept = Some(kept.clone()),
    }
    encode_as(raster, &coding)
}

/// What alpha there is goes over white.
pub(crate) fn encode_as(raster: &Raster, coding: &Coding) -> Result<Vec<u8>> {
    let raster = raster.over_white();
    let format = match raster.channels {
        Channels::Gray => PixelFormat::Grayscale,
        _ => PixelFormat::Rgb,
    };
    let encoder = Encoder::new(&raster.data, raster.width as usize, raster.height as usize, format);
    let encoder = match coding.tables() {
        Tables::Quality(quality) => {
            let sampling = match (raster.channels, coding.chroma) {
                (Channels::Gray, _) | (_, Some(Chroma::Full)) => Subsampling::S444,
                (_, Some(Chroma::Half)) => Subsampling::S422,
                (_, None) if quality >= FULL_CHROMA_QUALITY => Subsampling::S444,
                _ => Subsampling::S420,
            };
            encoder.quality(quality).subsampling(sampling)
        }
        Tables::Kept(kept) => encoder
            .quant_table(0, kept.luma)
            .quant_table(1, kept.chroma)
            .force_baseline(true)
            .subsampling(kept.sampling),
    };
    let optimised = coding.progressive || coding.effort >= OPTIMISED_EFFORT;
    encoder
        .progressive(coding.progressive)
        .optimize_huffman(optimised)
        .encode()
        .map_err(|error| Error::new(Code::DecoderFailure, format!("writing JPEG: {error}")))
}
