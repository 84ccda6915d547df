//! TIFF, by the `tiff` crate: the first page.
//!
//! The size comes from a directory walk of our own (`header`), so that limits hold before the decoder, which reads whole strips,
//! sees the file. `samples` decides what samples mean: palettes, CMYK with its profile, alpha of either kind. Exotic colour
//! types are refused as unsupported.

mod header;
mod parts;
mod samples;

use std::borrow::Cow;
use std::io::ErrorKind;

use ::tiff::decoder::Decoder;
use ::tiff::{ColorType, TiffError};

use super::reader::{self, corrupt, truncated, unsupported};
use super::watched::Watched;
use super::{Decoded, Facts, Picture, Reading, icc};
use crate::{Code, Error, Format, Result};
pub(super) use header::{Tags, inspect};
use parts::Parts;
use samples::Stored;

pub(super) fn decode(source: &[u8], facts: &Facts, reading: &Reading<'_>) -> Result<Decoded> {
    let Some(tags) = &facts.tiff else {
        return Err(corrupt(Format::Tiff, "no header was read"));
    };
    // The decoder knows no palettes; their indices are read as greys.
    let patched = match &tags.palette {
        Some(palette) => {
            let mut patched = source.to_vec();
            let black_is_zero = if source[0] == b'M' { [0, 1] } else { [1, 0] };
            let place = patched.get_mut(palette.photometric_at..).and_then(<[u8]>::first_chunk_mut);
            *place.ok_or_else(|| corrupt(Format::Tiff, "no header was read"))? = black_is_zero;
            Cow::Owned(patched)
        }
        None => Cow::Borrowed(source),
    };
    let limit = reading.limits.max_decoded_bytes.saturating_mul(4);
    let mut limits = ::tiff::decoder::Limits::default();
    limits.decoding_buffer_size = usize::try_from(limit).unwrap_or(usize::MAX);
    limits.intermediate_buffer_size = limits.decoding_buffer_size;
    limits.ifd_value_size = 16 << 20;
    let reader = Watched::new(&patched, reading.interrupted);
    let mut decoder = Decoder::new(reader).map_err(failed)?.with_limits(limits);
    let (width, height) = decoder.dimensions().map_err(failed)?;
    let colour = decoder.colortype().map_err(failed)?;
    let layout = decoder.image_buffer_layout().map_err(failed)?;
    if (width, height) != (facts.header.width, facts.header.height) || layout.complete_len as u64 > limit {
        return Err(corrupt(Format::Tiff, "its header contradicts its picture"));
    }
    let parts = Parts::of(&mut decoder).map_err(failed)?;
    parts.check(source, (width, height), colour)?;
    // Missing pixels are grey.
    let mut data = vec![0x80; layout.complete_len];
    let is_cut = parts.places.iter().any(|place| place.end > source.len() as u64);
    let truncated = match decoder.read_image_bytes(&mut data).map_err(failed) {
        // The decoder fills up a JPEG that is cut short, without an error.
        Ok(()) => is_cut && parts.is_jpeg,
        Err(error) if error.code == Code::TruncatedImage || is_cut && error.code == Code::CorruptImage => true,
        Err(error) => return Err(error),
    };
    if truncated && !reading.lenient {
        return Err(ends_early());
    }
    let stored = Stored::new(&layout, colour, width, height, data)?;
    let picture = match colour {
        _ if let Some(palette) = &tags.palette => stored.coloured(palette, tags.alpha)?.into(),
        ColorType::CMYK(_) => {
            let inks = stored.samples::<u8>();
            return Ok(Decoded {
                picture: icc::cmyk_to_srgb(width, height, &inks, facts.icc.as_deref()).into(),
                truncated,
            });
        }
        _ if reading.deep && facts.header.deep => Picture::Sixteen(stored.raster::<u16>(tags.alpha)?),
        _ => Picture::Eight(stored.raster::<u8>(tags.alpha)?),
    };
    let picture = picture.without_idle_alpha().in_srgb(facts.icc.as_deref(), reading);
    Ok(Decoded { picture, truncated })
}

fn failed(error: TiffError) -> Error {
    match error {
        TiffError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => ends_early(),
        TiffError::IoError(error) if error.kind() == ErrorKind::TimedOut => reader::interrupted(),
        TiffError::UnsupportedError(what) => unsupported(Format::Tiff, what),
        TiffError::LimitsExceeded => Error::new(Code::TooLarge, {
            let bounds = "four times limits.max_decoded_bytes, or one of its tags more than 16 MiB";
            format!("TIFF: a part of it needs more than {bounds}")
        }),
        other => corrupt(Format::Tiff, other),
    }
}

fn ends_early() -> Error {
    truncated(Format::Tiff, "the file ends before its picture does")
}
