//! TIFF, by `image`: the first page. Only ever read.
//!
//! The size comes from a directory walk of our own, so that limits hold before the decoder, which
//! reads whole strips, sees the file. Exotic colour types are refused as unsupported.

use std::io::{BufRead, Cursor, Seek};

use image::codecs::tiff::TiffDecoder;
use image::{DynamicImage, ImageDecoder};

use super::reader::HeaderReader;
use super::{Facts, from_image, icc, image_error, image_limits};
use crate::imaging::raster::Raster;
use crate::imaging::{Format, Limits, Result};

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const ORIENTATION: u16 = 274;

/// The first page's header. Others are never decoded, so they are not counted either.
pub(super) fn inspect<R: BufRead + Seek>(reader: R) -> Result<Facts> {
    let mut reader = Ifd::open(reader)?;
    let offset = reader.start()?;
    reader.inner.seek(offset)?;
    let entries = if reader.big { reader.word(8)? } else { reader.word(2)? };
    let mut facts = Facts::new(Format::Tiff, 0, 0, 1);
    // A picture has a few dozen tags; more is not worth reading.
    for _ in 0..entries.min(1000) {
        let (tag, kind) = (reader.word(2)? as u16, reader.word(2)?);
        reader.word(if reader.big { 8 } else { 4 })?;
        let slot = if reader.big { 8 } else { 4 };
        let size = match kind {
            1 => 1,
            3 => 2,
            4 => 4,
            _ => slot,
        };
        let value = reader.word(size)?;
        reader.inner.skip((slot - size) as u64)?;
        let clamped = u32::try_from(value).unwrap_or(u32::MAX);
        match tag {
            WIDTH => facts.header.width = clamped,
            HEIGHT => facts.header.height = clamped,
            ORIENTATION if (1..=8).contains(&value) => facts.orientation = value as u8,
            _ => {}
        }
    }
    Ok(facts)
}

struct Ifd<R> {
    inner: HeaderReader<R>,
    little: bool,
    big: bool,
}

impl<R: BufRead + Seek> Ifd<R> {
    fn open(reader: R) -> Result<Self> {
        let mut inner = HeaderReader::new(reader, Format::Tiff);
        let magic = inner.bytes::<4>()?;
        Ok(Self { inner, little: magic[0] == b'I', big: magic.contains(&43) })
    }

    /// Where the first directory stands.
    fn start(&mut self) -> Result<u64> {
        if self.big {
            self.inner.skip(4)?;
            self.word(8)
        } else {
            self.word(4)
        }
    }

    fn word(&mut self, size: usize) -> Result<u64> {
        let mut bytes = self.inner.vec(size)?;
        if !self.little {
            bytes.reverse();
        }
        bytes.resize(8, 0);
        Ok(bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)))
    }
}

pub(super) fn decode(source: &[u8], limits: &Limits) -> Result<Raster> {
    let failed = |error: image::ImageError| image_error(Format::Tiff, &error);
    let mut decoder = TiffDecoder::new(Cursor::new(source)).map_err(failed)?;
    decoder.set_limits(image_limits(limits)).map_err(failed)?;
    let cmyk = decoder.original_color_type() == image::ExtendedColorType::Cmyk8;
    // `image` has already made RGB of CMYK, without its profile.
    let profile = if cmyk { None } else { decoder.icc_profile().ok().flatten() };
    let raster = from_image(DynamicImage::from_decoder(decoder).map_err(failed)?);
    Ok(icc::to_srgb(raster, profile.as_deref()))
}
