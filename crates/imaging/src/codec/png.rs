//! PNG, by the `png` crate; the default image of an APNG.
//!
//! Palettes and tRNS become RGB and alpha. Text chunks are never inflated, and a profile only up to a bound, because
//! decompression bombs are often put there.

use std::io::{BufRead, ErrorKind, Seek};

use png::{BitDepth, ColorType, DecodingError, Transformations};

use super::reader::{self, HeaderReader, corrupt, truncated};
use super::watched::Watched;
use super::{Decoded, Facts, Picture, Reading, icc};
use crate::raster::{Channels, Raster, Sample};
use crate::{Code, Error, Format, Result, metadata};

/// Memory for everything but pixels: an inflated profile, chunk buffers, a few rows.
pub(super) const SIDE_BYTES: usize = 4 << 20;
/// Larger EXIF and XMP blocks are not read.
const MAX_METADATA_BYTES: u32 = 1 << 20;
/// The last chunk, which is empty.
const END: &[u8] = b"\0\0\0\0IEND\xae\x42\x60\x82";

pub(super) fn inspect<R: BufRead + Seek>(reader: R) -> Result<Facts> {
    let mut reader = HeaderReader::new(reader, Format::Png);
    reader.skip(8)?;
    let (length, kind) = (reader.be32()?, reader.bytes::<4>()?);
    if length != 13 || &kind != b"IHDR" {
        return Err(reader.corrupt("it does not begin with IHDR"));
    }
    let mut facts = Facts::new(Format::Png, reader.be32()?, reader.be32()?, 1);
    facts.header.deep = reader.byte()? == 16;
    reader.skip(8)?;
    // Chunks after the header are optional. If they are broken, the decoder decides.
    let mut chunks = Chunks::default();
    let _ = read_advice(&mut reader, &mut facts, &mut chunks);
    if chunks.has_profile && !chunks.has_code_points {
        facts.icc = reader.seek(0).ok().and_then(|()| profile(&mut reader));
    }
    Ok(facts)
}

/// Which chunks describe the colours.
#[derive(Default)]
struct Chunks {
    has_profile: bool,
    has_code_points: bool,
}

/// The number of frames, EXIF and XMP. XMP may be before or after the pixels.
fn read_advice<R: BufRead + Seek>(reader: &mut HeaderReader<R>, facts: &mut Facts, chunks: &mut Chunks) -> Result<()> {
    let mut is_before_pixels = true;
    loop {
        let (length, kind) = (reader.be32()?, reader.bytes::<4>()?);
        match &kind {
            b"IEND" => return Ok(()),
            b"acTL" if length == 8 && is_before_pixels => {
                facts.header.frames = reader.be32()?.max(1);
                reader.skip(4)?;
            }
            b"iCCP" | b"cICP" if is_before_pixels => {
                chunks.has_profile |= &kind == b"iCCP";
                chunks.has_code_points |= &kind == b"cICP";
                reader.skip(length.into())?;
            }
            b"IDAT" => {
                is_before_pixels = false;
                reader.skip(length.into())?;
            }
            b"eXIf" if length <= MAX_METADATA_BYTES => {
                let block = reader.vec(length as usize)?;
                facts.orientation = metadata::orientation(&block);
                facts.exif = Some(block);
            }
            b"iTXt" if length <= MAX_METADATA_BYTES && facts.xmp.is_none() => {
                facts.xmp = xmp(&reader.vec(length as usize)?).map(<[u8]>::to_vec);
            }
            _ => reader.skip(length.into())?,
        }
        reader.skip(4)?;
    }
}

/// The XMP packet of an `iTXt` chunk; a compressed one is not read.
fn xmp(text: &[u8]) -> Option<&[u8]> {
    // Without compression, language and translated keyword.
    text.strip_prefix(b"XML:com.adobe.xmp\0\0\0\0\0").filter(|packet| !packet.is_empty())
}

/// The profile, inflated up to a bound. `None` if it is broken.
fn profile<R: BufRead + Seek>(reader: &mut HeaderReader<R>) -> Option<Vec<u8>> {
    let inflated = super::guarded(Format::Png, || {
        let mut decoder = png::Decoder::new_with_limits(reader.source(), png::Limits { bytes: SIDE_BYTES });
        decoder.set_ignore_text_chunk(true);
        let reader = decoder.read_info().map_err(|error| failed(&error))?;
        Ok(reader.info().icc_profile.as_ref().map(|profile| profile.to_vec()))
    });
    inflated.ok().flatten()
}

/// A reader for a file whose last chunk may be missing or incomplete, which costs no pixel, and whether it is. The
/// reader supplies that chunk if all chunks before it are complete.
pub(super) fn with_end<'a>(source: &'a [u8], interrupted: &'a dyn Fn() -> bool) -> (Watched<'a>, bool) {
    let reader = Watched::new(source, interrupted);
    match missing_end(source) {
        Some(missing) => (reader.followed_by(missing), true),
        None => (reader, false),
    }
}

fn missing_end(source: &[u8]) -> Option<&'static [u8]> {
    let mut has_pixels = false;
    let mut rest = source.get(8..)?;
    while let Some((length, kind)) = rest.split_first_chunk::<8>().map(|(head, _)| head.split_at(4)) {
        let whole = 12 + u32::from_be_bytes(length.try_into().expect("four of eight")) as usize;
        if kind == b"IEND" || whole > rest.len() {
            break;
        }
        has_pixels |= kind == b"IDAT" || kind == b"fdAT";
        rest = &rest[whole..];
    }
    END.strip_prefix(rest).filter(|missing| has_pixels && !missing.is_empty())
}

/// Converts a decoder's error about a missing end to `truncated-image`.
pub(super) fn cut_short(error: Error) -> Error {
    match error.code {
        Code::CorruptImage => truncated(Format::Png, "the file ends before its picture does"),
        _ => error,
    }
}

/// The default image of an APNG.
pub(super) fn decode(source: &[u8], reading: &Reading<'_>) -> Result<Decoded> {
    let limit = reading.limits.max_decoded_bytes;
    let (source, lacks_end) = with_end(source, reading.interrupted);
    let mut decoder = png::Decoder::new_with_limits(source, png::Limits { bytes: SIDE_BYTES.min(limit as usize) });
    let depth = if reading.deep { Transformations::IDENTITY } else { Transformations::STRIP_16 };
    decoder.set_transformations(Transformations::EXPAND | depth);
    decoder.set_ignore_text_chunk(true);
    let mut reader = decoder.read_info().map_err(|error| failed(&error))?;
    let size = reader.output_buffer_size().filter(|&size| size as u64 <= limit).ok_or_else(|| {
        Error::new(Code::TooLarge, format!("PNG: the decoded size exceeds limits.max_decoded_bytes ({limit})"))
    })?;
    let (colour, bits) = reader.output_color_type();
    let (width, height) = reader.info().size();
    // Missing pixels are transparent, or grey.
    let clear = matches!(colour, ColorType::GrayscaleAlpha | ColorType::Rgba);
    let mut data = vec![if clear { 0 } else { 0x80 }; size];
    let read = reader.next_frame(&mut data).map_err(|error| failed(&error));
    let truncated = match read.map_err(|error| if lacks_end { cut_short(error) } else { error }) {
        Ok(frame) if (frame.width, frame.height) == (width, height) => false,
        Ok(_) => return Err(corrupt(Format::Png, "its picture does not fill it")),
        Err(error) if reading.lenient && error.code == Code::TruncatedImage => true,
        Err(error) => return Err(error),
    };
    if let Some(key) = masked_key(reader.info()) {
        hide(key, &mut data);
    }
    let picture = match bits {
        BitDepth::Sixteen => {
            let words = data.as_chunks::<2>().0.iter().map(|&word| u16::from_be_bytes(word)).collect();
            Picture::Sixteen(raster_of(width, height, colour, words)?)
        }
        _ => Picture::Eight(raster_of(width, height, colour, data)?),
    };
    Ok(Decoded { picture: in_srgb(picture, reader.info(), reading), truncated })
}

/// The grey that `tRNS` makes transparent, in eight bits, if only some of its bits are significant: those of the
/// picture's depth. The decoder compares all bits.
pub(super) fn masked_key(info: &png::Info<'_>) -> Option<u8> {
    let (ColorType::Grayscale, 1..=4, Some([key])) = (info.color_type, info.bit_depth as u8, info.trns.as_deref())
    else {
        return None;
    };
    let max = (1 << info.bit_depth as u8) - 1;
    (*key > max).then_some((key & max) * (255 / max))
}

/// Makes a grey transparent in pixels of grey and alpha.
pub(super) fn hide(key: u8, pixels: &mut [u8]) {
    for [grey, alpha] in pixels.as_chunks_mut::<2>().0 {
        if *grey == key {
            *alpha = 0;
        }
    }
}

fn raster_of<S: Sample>(width: u32, height: u32, colour: ColorType, data: Vec<S>) -> Result<Raster<S>> {
    let (channels, data) = match colour {
        ColorType::Grayscale => (Channels::Gray, data),
        ColorType::Rgb => (Channels::Rgb, data),
        ColorType::Rgba => (Channels::Rgba, data),
        ColorType::GrayscaleAlpha => {
            (Channels::Rgba, data.as_chunks::<2>().0.iter().flat_map(|&[v, a]| [v, v, v, a]).collect())
        }
        ColorType::Indexed => return Err(corrupt(Format::Png, "its palette was not expanded")),
    };
    Ok(Raster { width, height, channels, data })
}

fn in_srgb(picture: Picture, info: &png::Info<'_>, reading: &Reading<'_>) -> Picture {
    picture.converted(|| space(info, reading.as_stored))
}

/// The colour space by the chunk of the highest rank: cICP, iCCP, sRGB, then gAMA with cHRM.
pub(super) fn space(info: &png::Info<'_>, as_stored: bool) -> Option<icc::Space> {
    if let Some(points) = info.coding_independent_code_points
        && points.matrix_coefficients == 0
        && points.is_video_full_range_image
    {
        return icc::Space::of_code_points(points.color_primaries, points.transfer_function);
    }
    if let Some(profile) = &info.icc_profile {
        return if as_stored && icc::is_rgb(Some(profile)) { None } else { icc::Space::of_profile(Some(profile)) };
    }
    let (None, Some(gamma)) = (info.srgb, info.gama_chunk) else { return None };
    let primaries = info.chrm_chunk.map(|chunk| {
        let at = |(x, y): (png::ScaledFloat, png::ScaledFloat)| (x.into_value(), y.into_value());
        [at(chunk.white), at(chunk.red), at(chunk.green), at(chunk.blue)]
    });
    icc::Space::of_gamma(gamma.into_value(), primaries)
}

pub(super) fn failed(error: &DecodingError) -> Error {
    match error {
        DecodingError::IoError(io) if io.kind() == ErrorKind::UnexpectedEof => {
            truncated(Format::Png, "the file ends before its picture does")
        }
        DecodingError::IoError(io) if io.kind() == ErrorKind::TimedOut => reader::interrupted(),
        DecodingError::LimitsExceeded => {
            let detail = format!("PNG: its profile and chunks need more than {SIDE_BYTES} bytes beside the pixels");
            Error::new(Code::TooLarge, detail)
        }
        other => corrupt(Format::Png, other),
    }
}
