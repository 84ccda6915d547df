//! Codecs, a file per format, behind three functions: [`inspect`], [`decode`] and [`encode`].
//!
//! `inspect` reads what the header says and nothing more; [`Facts`] is all that later steps need
//! to know about the source. `decode` yields upright 8-bit sRGB. Third-party decoders run behind
//! a panic boundary: a hostile file can cost its own job, never the process.

mod bmp;
mod exif;
mod gif;
pub(crate) mod icc;
pub(crate) mod jpeg;
mod png;
mod reader;
mod sniff;
mod tiff;
mod webp;

use std::any::Any;
use std::io::{BufRead, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::raster::Raster;
use super::{Code, Error, Format, Header, Limits, Output, Result};
use jpeg::JpegHeader;

/// What a header says, beyond the public [`Header`].
pub(crate) struct Facts {
    pub(crate) header: Header,
    /// EXIF's, 1 to 8.
    pub(crate) orientation: u8,
    pub(crate) icc: Option<Vec<u8>>,
    pub(crate) jpeg: Option<JpegHeader>,
}

impl Facts {
    fn new(format: Format, width: u32, height: u32, frames: u32) -> Self {
        let header = Header { format, width, height, frames };
        Self { header, orientation: 1, icc: None, jpeg: None }
    }

    /// Width and height of the upright picture.
    pub(crate) fn upright_size(&self) -> (u32, u32) {
        let Header { width, height, .. } = self.header;
        if self.orientation >= 5 { (height, width) } else { (width, height) }
    }
}

/// Reads a source's header and holds it against `limits`.
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
    let facts = match sniff::sniff(&prefix)? {
        Format::Jpeg => jpeg::inspect(reader)?,
        Format::Png => png::inspect(reader)?,
        Format::WebP => webp::inspect(reader, limits)?,
        Format::Gif => gif::inspect(reader, limits)?,
        Format::Bmp => bmp::inspect(reader)?,
        Format::Tiff => tiff::inspect(reader)?,
    };
    if facts.header.width == 0 || facts.header.height == 0 {
        return Err(reader::corrupt(facts.header.format, "a side of 0 pixels"));
    }
    limits.check(&facts.header)?;
    Ok(facts)
}

/// The most that a picture takes, in bytes a pixel: of the source while it is decoded, and of the largest picture that
/// is made of it.
///
/// Decoding: the picture's four, and what the decoder keeps beside them (JPEG's coefficients, a turned copy), or TIFF's
/// own samples of up to 128 bits. Making: what is read, resampled and encoded; with alpha, which only JPEG never has,
/// also a copy into which it is multiplied, and WebP's planes.
pub(crate) fn bytes_a_pixel(format: Format) -> (u64, u64) {
    match format {
        Format::Jpeg => (10, 14),
        Format::Tiff => (20, 24),
        Format::Png | Format::WebP | Format::Gif | Format::Bmp => (10, 24),
    }
}

/// Decodes to an upright sRGB picture.
///
/// `shrink` (1, 2, 4 or 8) asks for a smaller picture where the codec makes one for less; others
/// ignore it.
pub(crate) fn decode(source: &[u8], facts: &Facts, shrink: u8, limits: &Limits) -> Result<Raster> {
    let format = facts.header.format;
    let raster = guarded(format, || {
        let raster = match format {
            Format::Jpeg => jpeg::decode(source, facts, shrink, limits),
            Format::Png => png::decode(source, limits),
            Format::WebP => webp::decode(source, facts),
            Format::Gif => gif::decode(source),
            Format::Bmp => bmp::decode(source),
            Format::Tiff => tiff::decode(source, limits),
        }?;
        Ok(raster.oriented(facts.orientation))
    })?;
    if shrink == 1 && (raster.width, raster.height) != facts.upright_size() {
        return Err(reader::corrupt(format, "its header contradicts its picture"));
    }
    let pixels = raster.width as usize * raster.height as usize;
    if pixels == 0 || raster.data.len() != pixels * raster.channels.count() {
        return Err(Error::new(Code::DecoderFailure, format!("{}: the decoder broke its contract", format.title())));
    }
    Ok(raster)
}

/// Writes a picture in `format`.
pub(crate) fn encode(raster: &Raster, format: Format, tables: &jpeg::Tables) -> Result<Output> {
    let data = match format {
        Format::Png => png::encode(raster),
        Format::WebP => webp::encode(raster, tables.quality()),
        Format::Jpeg => jpeg::encode(raster, tables),
        other => Err(reader::unsupported(other, "it cannot be written")),
    }?;
    Ok(Output { format, width: raster.width, height: raster.height, data })
}

/// Runs third-party code on hostile bytes; a panic in it blames the file.
pub(crate) fn guarded<T>(format: Format, work: impl FnOnce() -> Result<T>) -> Result<T> {
    contained(work, |panic| reader::corrupt(format, format_args!("the decoder gave up: {panic}")))
}

/// Turns a panic in `work` into an error.
pub(crate) fn contained<T>(work: impl FnOnce() -> Result<T>, refuse: impl FnOnce(&str) -> Error) -> Result<T> {
    // What unwinds is dropped whole: nothing of it is looked at again.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(refuse(message(&*panic))))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// What `image`'s decoders (BMP, GIF, TIFF, WebP) say, in our words.
fn image_error(format: Format, error: &image::ImageError) -> Error {
    use image::ImageError as E;
    match error {
        E::Unsupported(what) => reader::unsupported(format, what),
        E::Limits(what) => Error::new(Code::TooLarge, format!("{}: {what}", format.title())),
        other if ends_early(other) => reader::truncated(format, "the file ends before its picture does"),
        other => reader::corrupt(format, other),
    }
}

fn ends_early(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::UnexpectedEof
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// The 8-bit raster of any of `image`'s pictures.
fn from_image(picture: image::DynamicImage) -> Raster {
    use super::raster::Channels;
    use image::DynamicImage as D;
    let (width, height) = (picture.width(), picture.height());
    let (channels, data) = match picture {
        D::ImageLuma8(pixels) => (Channels::Gray, pixels.into_raw()),
        D::ImageRgb8(pixels) => (Channels::Rgb, pixels.into_raw()),
        D::ImageRgba8(pixels) => (Channels::Rgba, pixels.into_raw()),
        D::ImageLuma16(_) => (Channels::Gray, picture.into_luma8().into_raw()),
        D::ImageRgb16(_) | D::ImageRgb32F(_) => (Channels::Rgb, picture.into_rgb8().into_raw()),
        other => (Channels::Rgba, other.into_rgba8().into_raw()),
    };
    Raster { width, height, channels, data }.without_idle_alpha()
}

/// The `ImageDecoder` limits that our own translate to.
fn image_limits(limits: &Limits) -> image::Limits {
    let mut translated = image::Limits::default();
    translated.max_image_width = Some(limits.max_side);
    translated.max_image_height = Some(limits.max_side);
    translated.max_alloc = Some(limits.max_decoded_bytes);
    translated
}
