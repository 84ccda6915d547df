//! From a finished picture to the bytes of a file: a writer per format, and the search for the quality that
//! `quality: "auto"` and `max_bytes` ask for.
//!
//! A [`Target`] has everything that the plan decides about writing an output. Writers call `interrupted` wherever they
//! can stop; searches call it between two attempts.

mod avif;
mod gif;
pub(crate) mod libjpeg;
mod metadata;
mod plain;
mod png;
mod score;
mod search;
mod tiff;
mod webp;

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Seek, SeekFrom, Write};

use super::animation::Style;
use super::quantize::MAX_COLORS;
use super::{Facts, icc, jpeg};
use crate::metadata::Carried;
use crate::raster::{Alpha, Channels, Raster, View};
use crate::save::{Chroma, DEFAULT_EFFORT, Keep, Quality, Save};
use crate::{Code, Error, Format, Output, Result};
use metadata::Metadata;

const AVIF_BYTES_A_PIXEL: u64 = 120;
const LOSSLESS_WEBP_BYTES_A_PIXEL: u64 = 40;
const SEARCH_BYTES: u64 = 48 << 20;

/// How an output is written.
pub(crate) struct Target {
    pub(crate) format: Format,
    /// `None`: the source's own tables, or the format's default quality.
    quality: Option<Quality>,
    max_bytes: Option<u64>,
    coding: Coding,
    metadata: Metadata,
    /// Path of the operation in the request, for messages.
    path: String,
}

/// The EXIF of a TIFF file as a cleaned block. The file's first directory has its fields.
pub(crate) fn exif_of_tiff(source: &[u8]) -> Option<Vec<u8>> {
    Carried::of(Some(source), None).map(|carried| carried.block())
}

/// The settings of a writer.
#[derive(Debug, Clone)]
pub(crate) struct Coding {
    /// 1 to 100; `None` for the format's default.
    pub(crate) quality: Option<u8>,
    pub(crate) lossless: bool,
    pub(crate) progressive: bool,
    /// 1 (quick) to 10 (small).
    pub(crate) effort: u8,
    pub(crate) chroma: Option<Chroma>,
    /// A JPEG source's quantisation tables, if they are kept.
    pub(crate) kept: Option<Box<jpeg::Kept>>,
}

impl Default for Coding {
    fn default() -> Self {
        Self { quality: None, lossless: false, progressive: false, effort: DEFAULT_EFFORT, chroma: None, kept: None }
    }
}

impl Target {
    /// `kept` has the source's quantisation tables if the picture has the size of its source.
    pub(crate) fn new(
        save: &Save,
        index: usize,
        facts: &Facts,
        has_alpha: bool,
        kept: impl FnOnce() -> Option<Box<jpeg::Kept>>,
    ) -> Self {
        let format = chosen(save, facts, has_alpha);
        let lossless = save.lossless == Some(true);
        let quality = match save.quality {
            Some(Quality::Auto) if lossless || !format.is_perceptual() => None,
            // If the request names no format, its `quality` is not meant as a number of colours.
            Some(Quality::Of(_)) if !format.is_perceptual() && (lossless || save.format.is_none()) => None,
            asked => asked,
        };
        let is_jpeg = format == Format::Jpeg;
        let chroma = save.subsampling.filter(|_| is_jpeg);
        let coding = Coding {
            quality: if let Some(Quality::Of(quality)) = quality { Some(quality) } else { None },
            lossless,
            progressive: save.progressive == Some(true),
            effort: save.effort.unwrap_or(DEFAULT_EFFORT),
            chroma,
            kept: if is_jpeg && quality.is_none() && chroma.is_none() { kept() } else { None },
        };
        let metadata = Metadata::of(facts, save, format);
        Self { format, quality, max_bytes: save.max_bytes, coding, metadata, path: format!("operations[{index}]") }
    }

    /// Whether this output keeps the source's profile, with its pixels in those colours.
    pub(crate) fn keeps_profile(save: &Save, facts: &Facts) -> bool {
        save.keeps(Keep::Icc) && chosen(save, facts, false).holds_profiles() && icc::is_rgb(facts.icc.as_deref())
    }

    /// The quantisation tables, if this is a JPEG without other settings than a quality.
    pub(crate) fn plain_jpeg(&self) -> Option<jpeg::Tables> {
        let Coding { progressive, effort, chroma, .. } = self.coding;
        let plain = self.format == Format::Jpeg
            && self.quality != Some(Quality::Auto)
            && self.max_bytes.is_none()
            && !progressive
            && chroma.is_none()
            && effort < jpeg::OPTIMISED_EFFORT
            && self.coding.quality.is_none_or(|quality| quality < jpeg::FULL_CHROMA_QUALITY);
        plain.then(|| self.coding.tables())
    }

    /// The style of an animation that is played `plays` times, 0 for ever. `auto` searches the quality on the `first`
    /// picture and uses it for all.
    ///
    /// # Errors
    /// `time-limit`.
    pub(crate) fn style(&self, plays: u32, first: &Raster, interrupted: &dyn Fn() -> bool) -> Result<Style> {
        let Coding { quality, lossless, effort, .. } = search::found(first, self, interrupted)?;
        Ok(Style {
            format: self.format,
            plays,
            quality: quality.unwrap_or(webp::DEFAULT_QUALITY),
            is_lossless: lossless,
            method: webp::method(effort),
            level: i32::from(effort.clamp(1, 10)) - 1,
            near: quality.filter(|_| lossless).unwrap_or(100),
            compression: png::compression(effort),
            colors: quality.map_or(MAX_COLORS, png::colors),
        })
    }

    /// Warnings about settings that an animation cannot follow.
    pub(crate) fn unheeded(&self, save: &Save, facts: &Facts) -> Vec<String> {
        let has_colors = self.format == Format::Png && self.coding.quality.is_some();
        [
            (has_colors, "quality", "an animated PNG keeps all of its colours"),
            (Self::keeps_profile(save, facts), "keep", "an animation is in sRGB, and carries no profile"),
        ]
        .into_iter()
        .filter(|(is_asked, ..)| *is_asked)
        .map(|(_, field, why)| format!("not-followed: {}.{field}: {why}", self.path))
        .collect()
    }

    /// Checks the size of a finished animation, because its quality is not searched.
    ///
    /// # Errors
    /// `output-too-large`, with the size.
    pub(crate) fn check_bytes(&self, bytes: usize) -> Result<()> {
        match self.max_bytes {
            Some(limit) if bytes as u64 > limit => {
                let (path, title) = (&self.path, self.format.title());
                let detail = format!("{path}.max_bytes: the animated {title} has {bytes} bytes, more than {limit}");
                Err(Error::new(Code::OutputTooLarge, detail))
            }
            _ => Ok(()),
        }
    }

    /// The format and the quality, in words.
    pub(crate) fn told(&self) -> String {
        let how = match (self.quality, usual_quality(self.format)) {
            _ if self.coding.lossless => ", lossless".to_owned(),
            (Some(Quality::Auto), _) => ", quality by what is seen".to_owned(),
            _ if self.coding.kept.is_some() => ", the source's tables".to_owned(),
            (Some(Quality::Of(quality)), _) | (None, Some(quality)) => format!(", quality {quality}"),
            (None, None) => String::new(),
        };
        let most = self.max_bytes.map(|bytes| format!(", at most {bytes} bytes")).unwrap_or_default();
        format!("{}{how}{most}", self.format.name())
    }

    /// The finished file with the metadata to keep. [`encode`] does this itself; other writers call it.
    pub(crate) fn dressed(&self, file: Vec<u8>, size: (u32, u32)) -> Vec<u8> {
        match self.format {
            Format::Jpeg => self.metadata.onto_jpeg(file),
            Format::WebP => self.metadata.onto_webp(file, size),
            Format::Png => self.metadata.onto_png(file),
            _ => file,
        }
    }
}

/// The default quality of a lossy format.
fn usual_quality(format: Format) -> Option<u8> {
    match format {
        Format::Jpeg => Some(jpeg::DEFAULT_QUALITY),
        Format::WebP => Some(webp::DEFAULT_QUALITY),
        Format::Avif => Some(avif::DEFAULT_QUALITY),
        _ => None,
    }
}

/// The requested format; otherwise the source's own if it can be written, else PNG with alpha and JPEG without.
///
/// AVIF is written only on request, because for a camera's picture it takes many times as long as any other format.
fn chosen(save: &Save, facts: &Facts, has_alpha: bool) -> Format {
    save.format.unwrap_or(match facts.header.format {
        format if format.is_kept() => format,
        _ if has_alpha => Format::Png,
        _ => Format::Jpeg,
    })
}

/// The most memory for writing: bytes per pixel, including the picture itself, and further bytes.
///
/// AVIF's encoder keeps its frame several times in 16 bits, WebP's keeps its residuals, and a search keeps a patchwork
/// with its planes.
pub(crate) fn memory(save: &Save) -> (u64, u64) {
    let per_pixel = match save.format {
        Some(Format::Avif) => AVIF_BYTES_A_PIXEL,
        Some(Format::WebP) | None if save.lossless == Some(true) => LOSSLESS_WEBP_BYTES_A_PIXEL,
        _ => 0,
    };
    let searching = if save.quality == Some(Quality::Auto) { SEARCH_BYTES } else { 0 };
    (per_pixel, searching)
}

/// How the output format for `save` stores alpha.
pub(crate) fn alpha(save: &Save, facts: &Facts) -> Alpha {
    match chosen(save, facts, true) {
        Format::Gif => Alpha::Hard,
        _ => Alpha::Soft,
    }
}

/// Checks that the output format for `save` allows a picture of this size.
///
/// # Errors
/// `output-too-large`, with the format's limit.
pub(crate) fn check_size(save: &Save, index: usize, facts: &Facts, size: (u32, u32)) -> Result<()> {
    fits(chosen(save, facts, false), &format!("operations[{index}]"), size)
}

fn fits(format: Format, path: &str, (width, height): (u32, u32)) -> Result<()> {
    let (limit, title) = (format.max_side(), format.title());
    if width.max(height) > limit {
        let detail = format!("{path}: {width}x{height} exceeds {title}'s {limit} pixels a side");
        return Err(Error::new(Code::OutputTooLarge, detail));
    }
    Ok(())
}

impl Coding {
    pub(crate) fn tables(&self) -> jpeg::Tables {
        match &self.kept {
            Some(kept) => jpeg::Tables::Kept(kept.clone()),
            None => jpeg::Tables::Quality(self.quality.unwrap_or(jpeg::DEFAULT_QUALITY)),
        }
    }

    /// The same settings with another quality.
    fn at(&self, quality: u8) -> Self {
        Self { quality: Some(quality), kept: None, ..self.clone() }
    }
}

/// Writes a picture: in its own depth if the format allows that, otherwise with eight bits.
///
/// # Errors
/// `output-too-large`, `time-limit`.
pub(crate) fn encode(picture: View<'_>, target: &Target, interrupted: &dyn Fn() -> bool) -> Result<Output> {
    let (width, height) = picture.size();
    fits(target.format, &target.path, (width, height))?;
    // An RGB profile with grey samples violates the formats' rules, and readers ignore it.
    if target.metadata.icc.is_some() && picture.is_gray() {
        return match picture {
            View::Eight(raster) => encode(View::Eight(&raster.clone().into_colour()), target, interrupted),
            View::Sixteen(raster) => encode(View::Sixteen(&raster.clone().into_colour()), target, interrupted),
        };
    }
    let narrowed;
    let picture = if matches!(target.format, Format::Png | Format::Tiff) {
        picture
    } else {
        narrowed = picture.eight();
        View::Eight(&narrowed)
    };
    let data = search::settled(picture, target, interrupted)?;
    Ok(Output { format: target.format, width, height, animation: None, data, warnings: Vec::new() })
}

/// One attempt.
fn written(
    picture: View<'_>,
    format: Format,
    coding: &Coding,
    metadata: &Metadata,
    interrupted: &dyn Fn() -> bool,
) -> Result<Vec<u8>> {
    go_on(interrupted)?;
    let data = match format {
        Format::Png => png::encode(picture, coding, metadata, interrupted)?,
        Format::Tiff => tiff::encode(picture, coding, metadata, interrupted)?,
        Format::Jpeg => metadata.onto_jpeg(libjpeg::encode_as(&picture.eight(), coding)?),
        Format::WebP => {
            let raster = &*picture.eight();
            metadata.onto_webp(webp::encode(raster, coding, interrupted)?, raster.size())
        }
        Format::Avif => avif::encode(&picture.eight(), coding, metadata)?,
        Format::Gif => gif::encode(&picture.eight(), coding, interrupted)?,
        Format::Bmp => plain::bmp(&picture.eight(), interrupted)?,
        Format::Qoi => plain::qoi(&picture.eight(), interrupted)?,
        other @ (Format::Jxl | Format::Ico) => return Err(super::reader::unsupported(other, "it cannot be written")),
    };
    Ok(data)
}

fn go_on(interrupted: &dyn Fn() -> bool) -> Result<()> {
    if interrupted() {
        return Err(Error::new(Code::TimeLimit, "the time for this picture is over"));
    }
    Ok(())
}

/// Converts a writer's error. If the [`Sink`] refused more bytes, the error is `time-limit`.
fn failed(format: Format, error: &dyn fmt::Display, interrupted: &dyn Fn() -> bool) -> Error {
    match go_on(interrupted) {
        Err(over) => over,
        Ok(()) => Error::new(Code::DecoderFailure, format!("writing {}: {error}", format.title())),
    }
}

/// A file in memory. Writing fails as soon as the time is over.
struct Sink<'a> {
    data: io::Cursor<Vec<u8>>,
    interrupted: &'a dyn Fn() -> bool,
}

impl<'a> Sink<'a> {
    fn new(interrupted: &'a dyn Fn() -> bool) -> Self {
        Self { data: io::Cursor::new(Vec::new()), interrupted }
    }

    fn into_inner(self) -> Vec<u8> {
        self.data.into_inner()
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.interrupted)() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the time for this picture is over"));
        }
        self.data.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Sink<'_> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.data.seek(position)
    }
}

/// The picture in RGB, for writers without grey.
fn coloured(raster: &Raster) -> Cow<'_, Raster> {
    match raster.channels {
        Channels::Gray => Cow::Owned(raster.clone().into_colour()),
        _ => Cow::Borrowed(raster),
    }
}
