//! Codecs, a file per format, behind three functions: [`inspect`], [`decode`] and [`encode`].
//!
//! `inspect` reads only the header; [`Facts`] has everything that later steps need to know about the source. `decode`
//! returns an upright sRGB picture, of 16 bits if [`Reading`] asks for them. Third-party decoders run behind a panic
//! boundary, so a hostile file can only make its own job fail.

pub(crate) mod animation;
mod avif;
mod bmp;
pub(crate) mod encode;
mod gif;
pub(crate) mod icc;
mod ico;
pub(crate) mod jpeg;
mod jxl;
mod png;
mod qoi;
pub(crate) mod quantize;
mod reader;
mod sniff;
mod tiff;
pub(crate) mod watched;
mod webp;

use std::any::Any;
use std::io::{BufRead, ErrorKind, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::metadata;
use super::raster::Raster;
use super::{Code, Error, Format, Header, Limits, Result};
pub(crate) use encode::{Target, check_size, encode};
use jpeg::JpegHeader;

/// Most pixels of a stored part (a GIF frame, a TIFF tile) that is larger than the complete picture.
const SPARE_PIXELS: u64 = 1 << 20;

/// The facts of a header, beyond the public [`Header`].
#[derive(Clone)]
pub(crate) struct Facts {
    pub(crate) header: Header,
    /// EXIF orientation, 1 to 8.
    pub(crate) orientation: u8,
    /// The profile to convert from.
    pub(crate) icc: Option<Vec<u8>>,
    /// The profile that the output keeps. Pixels then stay in its colours.
    pub(crate) kept_icc: Option<Vec<u8>>,
    /// Without JPEG's prefix.
    pub(crate) exif: Option<Vec<u8>>,
    pub(crate) xmp: Option<Vec<u8>>,
    pub(crate) jpeg: Option<JpegHeader>,
    tiff: Option<tiff::Tags>,
}

/// How a source is to be read.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    /// 1, 2, 4 or 8: asks for a picture smaller by this factor. Codecs ignore it if that is not faster.
    pub(crate) shrink: u8,
    /// Keeps 16 bits per channel if the source has more than eight.
    pub(crate) deep: bool,
    /// Keeps the colours of an embedded RGB profile. Grey and CMYK profiles are converted nevertheless.
    pub(crate) as_stored: bool,
    /// Returns the decoded part of a file that ends early.
    pub(crate) lenient: bool,
    pub(crate) limits: &'a Limits,
    /// Called while reading. If it returns true, decoding ends with `time-limit`.
    pub(crate) interrupted: &'a dyn Fn() -> bool,
}

/// A decoded picture.
pub(crate) struct Decoded {
    pub(crate) picture: Picture,
    /// Whether the file ends early. The missing part is grey, or transparent.
    pub(crate) truncated: bool,
}

/// A picture of either depth.
pub(crate) enum Picture {
    Eight(Raster),
    Sixteen(Raster<u16>),
}

impl Picture {
    fn oriented(self, orientation: u8) -> Self {
        match self {
            Self::Eight(raster) => Self::Eight(raster.oriented(orientation)),
            Self::Sixteen(raster) => Self::Sixteen(raster.oriented(orientation)),
        }
    }

    fn size(&self) -> (u32, u32) {
        match self {
            Self::Eight(raster) => raster.size(),
            Self::Sixteen(raster) => raster.size(),
        }
    }

    /// Whether the number of samples fits its size.
    fn is_whole(&self) -> bool {
        let (channels, samples) = match self {
            Self::Eight(raster) => (raster.channels, raster.data.len()),
            Self::Sixteen(raster) => (raster.channels, raster.data.len()),
        };
        let pixels = self.size().0 as usize * self.size().1 as usize;
        pixels != 0 && samples == pixels * channels.count()
    }

    fn without_idle_alpha(self) -> Self {
        match self {
            Self::Eight(raster) => Self::Eight(raster.without_idle_alpha()),
            Self::Sixteen(raster) => Self::Sixteen(raster.without_idle_alpha()),
        }
    }

    /// The picture in sRGB, or in its own colours if `reading` asks for them.
    fn in_srgb(self, profile: Option<&[u8]>, reading: &Reading<'_>) -> Self {
        if reading.as_stored && icc::is_rgb(profile) {
            return self;
        }
        self.converted(|| icc::Space::of_profile(profile))
    }

    /// Converts from a colour space; `None` is sRGB, which stays as it is.
    fn converted(self, from: impl FnOnce() -> Option<icc::Space>) -> Self {
        let Some(space) = from() else { return self };
        match self {
            Self::Eight(raster) => Self::Eight(space.to_srgb(raster)),
            Self::Sixteen(raster) => Self::Sixteen(space.to_srgb(raster)),
        }
    }
}

impl From<Raster> for Picture {
    fn from(raster: Raster) -> Self {
        Self::Eight(raster)
    }
}

impl From<Raster<u16>> for Picture {
    fn from(raster: Raster<u16>) -> Self {
        Self::Sixteen(raster)
    }
}

impl<P: Into<Picture>> From<P> for Decoded {
    /// A picture from a complete file.
    fn from(picture: P) -> Self {
        Self { picture: picture.into(), truncated: false }
    }
}

impl Facts {
    fn new(format: Format, width: u32, height: u32, frames: u32) -> Self {
        let header = Header { format, width, height, frames, deep: false };
        Self { header, orientation: 1, icc: None, kept_icc: None, exif: None, xmp: None, jpeg: None, tiff: None }
    }

    /// The same source, whose pixels keep the colours of its profile.
    pub(crate) fn in_own_colors(mut self) -> Self {
        self.kept_icc = self.icc.take();
        self
    }

    /// Width and height of the upright picture.
    pub(crate) fn upright_size(&self) -> (u32, u32) {
        let Header { width, height, .. } = self.header;
        if self.orientation >= 5 { (height, width) } else { (width, height) }
    }
}

/// Reads a source's header and checks it against `limits`.
pub(crate) fn inspect<R: BufRead + Seek>(mut reader: R, limits: &Limits) -> Result<Facts> {
    let unreadable = |error| Error::new(Code::Storage, format!("reading the source: {error}"));
    let bytes = reader.seek(SeekFrom::End(0)).map_err(unreadable)?;
    if bytes > limits.max_file_bytes {
        return Err(Error::new(
            Code::TooLarge,
            format!("{bytes} bytes exceed limits.max_file_bytes ({})", limits.max_file_bytes),
        ));
    }
    reader.rewind().map_err(unreadable)?;
    let mut prefix = Vec::with_capacity(sniff::PREFIX);
    reader.by_ref().take(sniff::PREFIX as u64).read_to_end(&mut prefix).map_err(unreadable)?;
    reader.rewind().map_err(unreadable)?;
    let mut facts = match sniff::sniff(&prefix)? {
        Format::Jpeg => jpeg::inspect(reader)?,
        Format::Png => png::inspect(reader)?,
        Format::WebP => webp::inspect(reader, limits)?,
        Format::Gif => gif::inspect(reader, limits)?,
        Format::Bmp => bmp::inspect(reader)?,
        Format::Tiff => tiff::inspect(reader)?,
        Format::Avif => avif::inspect(reader, bytes)?,
        Format::Jxl => jxl::inspect(reader, limits)?,
        Format::Ico => ico::inspect(reader)?,
        Format::Qoi => qoi::inspect(reader)?,
    };
    if facts.header.width == 0 || facts.header.height == 0 {
        return Err(reader::corrupt(facts.header.format, "a side of 0 pixels"));
    }
    limits.check(&facts.header)?;
    // Some writers of PNG and WebP include JPEG's prefix.
    facts.exif = facts.exif.map(|block| metadata::without_prefix(&block).to_vec());
    Ok(facts)
}

/// The most memory for a picture in bytes per pixel: of the source while it is decoded, and of the largest picture made
/// from it.
///
/// Decoding: four bytes for the picture, and what the decoder keeps (JPEG's coefficients, a turned copy), or TIFF's own
/// samples of up to 128 bits, AV1's planes and their references, JPEG XL's floats. Making: the pictures that are read,
/// resampled and encoded; with alpha, which all formats except JPEG may have, also a premultiplied copy, and WebP's
/// planes. Sixteen bits take twice as much.
pub(crate) fn bytes_a_pixel(header: &Header) -> (u64, u64) {
    let depth = if header.deep { 2 } else { 1 };
    match header.format {
        Format::Jpeg => (10, 14),
        Format::Tiff => (20 * depth, 24 * depth),
        Format::Avif => (24 * depth, 24 * depth),
        Format::Jxl => (jxl::BYTES_A_PIXEL + 8, 24 * depth),
        Format::WebP => (16, 24),
        _ => (10 * depth, 24 * depth),
    }
}

/// The additional memory of a resize in linear light, in bytes per pixel of its source: copies in 16 bits, and with
/// alpha a premultiplied copy.
pub(crate) fn light_bytes_a_pixel(header: &Header) -> u64 {
    let depth = if header.deep { 2 } else { 1 };
    if header.format == Format::Jpeg { 6 } else { 12 * depth }
}

/// Bytes that a decoder needs for a picture of any size.
pub(crate) fn overhead(format: Format) -> u64 {
    match format {
        Format::Avif | Format::Jxl => jxl::BYTES_AT_LEAST,
        _ => 0,
    }
}

/// Decodes to an upright sRGB picture.
pub(crate) fn decode(source: &[u8], facts: &Facts, reading: &Reading<'_>) -> Result<Decoded> {
    let format = facts.header.format;
    let decoded = guarded(format, || {
        let Decoded { picture, truncated } = match format {
            Format::Jpeg => jpeg::decode(source, facts, reading),
            Format::Png => png::decode(source, reading),
            Format::WebP => {
                webp::decode(source, facts, reading, || animation::first_of_webp(source, facts, reading.interrupted))
            }
            Format::Gif => gif::decode(source, reading),
            Format::Bmp => bmp::decode(source, reading),
            Format::Tiff => tiff::decode(source, facts, reading),
            Format::Avif => avif::decode(source, facts, reading),
            Format::Jxl => jxl::decode(source, facts, reading),
            Format::Ico => ico::decode(source, reading),
            Format::Qoi => qoi::decode(source, reading),
        }?;
        Ok(Decoded { picture: picture.oriented(facts.orientation), truncated })
    })?;
    if reading.shrink == 1 && decoded.picture.size() != facts.upright_size() {
        return Err(reader::corrupt(format, "its header contradicts its picture"));
    }
    if !decoded.picture.is_whole() {
        return Err(Error::new(Code::DecoderFailure, format!("{}: the decoder broke its contract", format.title())));
    }
    Ok(decoded)
}

/// As [`decode`], with eight bits. Refuses a file that ends early.
pub(crate) fn decode_eight(source: &[u8], facts: &Facts, shrink: u8, limits: &Limits) -> Result<Raster> {
    let reading = Reading { shrink, deep: false, as_stored: false, lenient: false, limits, interrupted: &|| false };
    decode(source, facts, &reading).map(|decoded| match decoded.picture {
        Picture::Eight(raster) => raster,
        Picture::Sixteen(raster) => raster.narrowed(),
    })
}

/// Runs third-party code on hostile bytes. A panic in it becomes an error of the file.
pub(crate) fn guarded<T>(format: Format, work: impl FnOnce() -> Result<T>) -> Result<T> {
    contained(work, |panic| reader::corrupt(format, format_args!("the decoder gave up: {panic}")))
}

/// Turns a panic in `work` into an error.
pub(crate) fn contained<T>(work: impl FnOnce() -> Result<T>, refuse: impl FnOnce(&str) -> Error) -> Result<T> {
    // Everything used by the panicked code is dropped and not used again.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(refuse(message(&*panic))))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// An error of `image`'s decoders (BMP, GIF) as one of ours.
fn image_error(format: Format, error: &image::ImageError) -> Error {
    use image::ImageError as E;
    match error {
        E::Unsupported(what) => reader::unsupported(format, what),
        E::Limits(what) => Error::new(Code::TooLarge, format!("{}: {what}", format.title())),
        other if io_kind(other) == Some(ErrorKind::TimedOut) => reader::interrupted(),
        other if ends_early(other) => reader::truncated(format, "the file ends before its picture does"),
        other => reader::corrupt(format, other),
    }
}

fn ends_early(error: &(dyn std::error::Error + 'static)) -> bool {
    io_kind(error) == Some(ErrorKind::UnexpectedEof)
}

/// The kind of the reader's error inside a decoder's error.
fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        next = error.source();
    }
    // Some decoders keep only the text of the reader's error.
    match error.to_string() {
        said if ["failed to fill whole buffer", "Unexpected End of File"].iter().any(|known| said.contains(known)) => {
            Some(ErrorKind::UnexpectedEof)
        }
        said if said.contains(watched::OVER) => Some(ErrorKind::TimedOut),
        _ => None,
    }
}

/// Decodes with one of `image`'s decoders.
fn read_image(decoder: impl image::ImageDecoder, format: Format, reading: &Reading<'_>) -> Result<Decoded> {
    let (width, height) = decoder.dimensions();
    let (colour, bytes) = (decoder.color_type(), decoder.total_bytes());
    // The limits were checked before. This is for a decoder that expands more than any that is used.
    let most = reading.limits.max_decoded_bytes.saturating_mul(4);
    if bytes > most {
        return Err(Error::new(Code::TooLarge, format!("{}: {bytes} bytes decoded exceed {most}", format.title())));
    }
    // Missing pixels at the end are transparent, or grey.
    let mut data = vec![if colour.has_alpha() { 0 } else { 0x80 }; bytes as usize];
    let truncated = match decoder.read_image(&mut data) {
        Ok(()) => false,
        Err(error) if reading.lenient && ends_early(&error) => true,
        Err(error) => return Err(image_error(format, &error)),
    };
    let picture = picture_of(width, height, colour, data, reading.deep)
        .ok_or_else(|| reader::unsupported(format, format_args!("{colour:?} is not supported")))?;
    Ok(Decoded { picture: picture.without_idle_alpha(), truncated })
}

/// From the bytes of one of `image`'s pictures.
fn picture_of(width: u32, height: u32, colour: image::ColorType, data: Vec<u8>, deep: bool) -> Option<Picture> {
    use super::raster::Channels;
    use image::ColorType as C;
    let channels = match colour {
        C::L8 | C::L16 => Channels::Gray,
        C::Rgb8 | C::Rgb16 | C::Rgb32F => Channels::Rgb,
        C::La8 | C::La16 | C::Rgba8 | C::Rgba16 | C::Rgba32F => Channels::Rgba,
        _ => return None,
    };
    let sixteen: Vec<u16> = match colour {
        C::L8 | C::Rgb8 | C::Rgba8 => return Some(Raster { width, height, channels, data }.into()),
        C::La8 => {
            let data = data.as_chunks::<2>().0.iter().flat_map(|&[v, a]| [v, v, v, a]).collect();
            return Some(Raster { width, height, channels, data }.into());
        }
        C::La16 => {
            let words = data.as_chunks::<4>().0.iter();
            let words = words.map(|&[v0, v1, a0, a1]| (u16::from_ne_bytes([v0, v1]), u16::from_ne_bytes([a0, a1])));
            words.flat_map(|(v, a)| [v, v, v, a]).collect()
        }
        C::L16 | C::Rgb16 | C::Rgba16 => data.as_chunks::<2>().0.iter().map(|&word| u16::from_ne_bytes(word)).collect(),
        _ => {
            let values = data.as_chunks::<4>().0.iter().map(|&word| f32::from_ne_bytes(word));
            values.map(|value| (value.clamp(0.0, 1.0) * 65_535.0 + 0.5) as u16).collect()
        }
    };
    drop(data);
    let raster = Raster { width, height, channels, data: sixteen };
    Some(if deep { raster.into() } else { raster.narrowed().into() })
}
