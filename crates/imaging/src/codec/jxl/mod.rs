//! JPEG XL, by `jxl`, libjxl's own decoder in Rust. Only ever read here; of an animation, the first frame.
//!
//! The size is read by a few lines of our own (`container`), so that limits hold before the decoder sees the file, and the
//! decoder is told how many samples a frame may have (`feed`). It yields the colours that the file names, or sRGB where a profile
//! belongs to XYB; they are converted here, high dynamic range by the same curve as AVIF's. Files that the decoder would read
//! wrongly are refused (`narrow`).

mod container;
mod feed;
mod form;
mod narrow;
#[cfg(test)]
mod tests;

use std::io::{BufRead, Read, Seek};
use std::sync::{Mutex, PoisonError};

use jxl::api::{Event, JxlColorEncoding, JxlColorProfile, JxlDecoder, JxlTransferFunction};

use self::narrow::{Narrow, Places};
use super::reader::{HeaderReader, unsupported};
use super::{Decoded, Facts, Picture, Reading, icc};
use crate::{Code, Error, Format, Header, Limits, Result};
use container::{read_advice, size};
use feed::{Feed, failed, options};
use form::Form;

/// What the decoder holds at most, in bytes a pixel: planes of floats, several of them, and the frames that others refer to.
pub(super) const BYTES_A_PIXEL: u64 = 64;
pub(super) const BYTES_AT_LEAST: u64 = 16 << 20;

pub(super) fn inspect<R: BufRead + Seek>(mut source: R, limits: &Limits) -> Result<Facts> {
    let (width, height) = size(&mut source)?;
    // Before the decoder takes any memory; orientation only swaps the sides.
    limits.check(&Header { format: Format::Jxl, width, height, frames: 1, deep: false })?;
    let unreadable = |error| Error::new(Code::Storage, format!("reading the source: {error}"));
    source.rewind().map_err(unreadable)?;
    let (mut facts, narrow) = super::guarded(Format::Jxl, || header(&mut source, limits, (width, height)))?;
    if let Some((narrow, places)) = narrow
        && narrow.is_misread(&mut source, &places).map_err(unreadable)?
    {
        return Err(unsupported(
            Format::Jxl,
            "a frame of one pixel's width is coded in steps (progressive DC, or lossy modular), which its decoder reads \
             wrongly; encode the picture without loss, or in another format",
        ));
    }
    // Metadata is optional: a broken block counts as absent.
    source.rewind().map_err(unreadable)?;
    let _ = read_advice(&mut HeaderReader::new(source, Format::Jxl), &mut facts);
    Ok(facts)
}

/// The decoder takes up to 256 MiB for a profile before it has seen any of it. One header at a time may.
static PROFILE: Mutex<()> = Mutex::new(());

/// Reads the header, and says where the frames are that may come out wrong.
fn header(source: impl Read, limits: &Limits, stored: (u32, u32)) -> Result<(Facts, Option<(Narrow, Places)>)> {
    let pixels = u64::from(stored.0) * u64::from(stored.1);
    let mut feed = Feed::new(source, &|| false, pixels);
    let mut options = options(pixels);
    options.scan_frames_only = true;
    let mut decoder = JxlDecoder::new(options);
    let info = {
        let _alone = PROFILE.lock().unwrap_or_else(PoisonError::into_inner);
        feed.start(&mut decoder)?
    };
    let is_grey = decoder.current_pixel_format().is_some_and(|format| format.color_type.is_grayscale());
    let narrow = Narrow::of(stored, is_grey, !info.uses_original_profile, info.extra_channels.len());
    let most = if info.animation.is_some() { limits.max_frames.saturating_add(1) } else { u32::from(narrow.is_some()) };
    let mut frames = 0;
    // A file cut short is decoded as far as it goes.
    while frames < most
        && let Some(event) = feed.next(&mut decoder, None)?
        && event != Event::Complete
    {
        frames += u32::from(event == Event::FrameHeader);
    }
    let (width, height) = (info.size.0 as u32, info.size.1 as u32);
    let mut facts = Facts::new(Format::Jxl, width, height, frames.max(1));
    facts.header.deep = info.bit_depth.bits_per_sample() > 8;
    if let (true, Some(JxlColorProfile::Icc(profile))) = (info.uses_original_profile, decoder.embedded_color_profile())
    {
        facts.icc = Some(profile.clone());
    }
    let shown = decoder.scanned_frames().first().map(|frame| (frame.file_offset, frame.seek_target));
    let (Some(narrow), Some((shown, target))) = (narrow, shown) else { return Ok((facts, None)) };
    let first = decoder.start_new_frame(target).map_err(|error| failed(&error, pixels))?;
    Ok((facts, Some((narrow, Places { shown, first }))))
}

pub(super) fn decode(source: &[u8], facts: &Facts, reading: &Reading<'_>) -> Result<Decoded> {
    let pixels = u64::from(facts.header.width) * u64::from(facts.header.height);
    let mut feed = Feed::new(source, reading.interrupted, pixels);
    let mut decoder = JxlDecoder::new(options(pixels));
    let info = feed.start(&mut decoder)?;
    let form = Form::of(&decoder, &info);
    let deep = reading.deep && facts.header.deep;
    // What is converted afterwards would show steps, had it been rounded to eight bits before.
    let is_finer = !info.uses_original_profile || facts.header.deep;
    let (picture, truncated) = if !form.is_cmyk && (deep || is_finer && is_converted(&decoder)) {
        let (raster, truncated) = form.read::<u16>(feed, &mut decoder, reading.lenient)?;
        (Picture::Sixteen(raster), truncated)
    } else {
        let (raster, truncated) = form.read::<u8>(feed, &mut decoder, reading.lenient)?;
        (Picture::Eight(raster), truncated)
    };
    let picture = match decoder.output_color_profile() {
        _ if form.is_cmyk => picture,
        Some(JxlColorProfile::Icc(profile)) => picture.in_srgb(Some(profile), reading),
        Some(JxlColorProfile::Simple(encoding)) => picture.converted(|| space(encoding)),
        None => picture,
    };
    let picture = match picture {
        Picture::Sixteen(raster) if !deep => Picture::Eight(raster.narrowed()),
        picture => picture,
    };
    Ok(Decoded { picture: picture.without_idle_alpha(), truncated })
}

/// Whether the decoder yields colours that are not sRGB's, and named without a profile.
fn is_converted(decoder: &JxlDecoder) -> bool {
    let profile = decoder.embedded_color_profile().filter(|profile| profile.can_output_to());
    matches!(profile, Some(JxlColorProfile::Simple(encoding)) if space(encoding).is_some())
}

/// The colours that a file names without a profile.
fn space(encoding: &JxlColorEncoding) -> Option<icc::Space> {
    use JxlTransferFunction as T;
    let (white, primaries, transfer) = match encoding {
        JxlColorEncoding::RgbColorSpace { white_point, primaries, transfer_function, .. } => {
            (white_point, Some(primaries.to_xy_coords()), transfer_function)
        }
        JxlColorEncoding::GrayscaleColorSpace { white_point, transfer_function, .. } => {
            (white_point, None, transfer_function)
        }
        JxlColorEncoding::XYB { .. } => return None,
    };
    let curve = match transfer {
        T::SRGB => icc::Curve::Srgb,
        T::Linear => icc::Curve::Gamma(1.0),
        T::BT709 => icc::Curve::Bt709,
        T::DCI => icc::Curve::Gamma(2.6),
        T::PQ => icc::Curve::Pq,
        T::HLG => icc::Curve::Hlg,
        // How light is written, not how it is read.
        T::Gamma(exponent) => icc::Curve::Gamma(1.0 / exponent),
    };
    // Grey has a white of its own, which grey pixels show as white.
    let places = primaries.map(|[red, green, blue]| [white.to_xy_coords(), red, green, blue]);
    icc::Space::of_primaries(places, curve)
}
