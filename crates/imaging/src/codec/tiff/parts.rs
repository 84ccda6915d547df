//! The strips or tiles that a picture is stored in.

use std::borrow::Cow;
use std::io::{Read, Seek};
use std::ops::Range;

use ::tiff::decoder::{ChunkType, Decoder};
use ::tiff::tags::{CompressionMethod, Tag};
use ::tiff::{ColorType, TiffResult};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;

use crate::codec::SPARE_PIXELS;
use crate::codec::reader::{corrupt, unsupported};
use crate::{Format, Result};

/// Four samples of 32 bits; more are no picture.
const MAX_PIXEL_BITS: u32 = 128;

/// The strips or tiles that a picture is stored in.
pub(super) struct Parts {
    /// The sides of each; of the last strip, the most.
    size: (u32, u32),
    /// Their byte ranges in the file.
    pub(super) places: Vec<Range<u64>>,
    samples: u32,
    pub(super) is_jpeg: bool,
    /// The tables that all JPEGs share.
    tables: Vec<u8>,
}

impl Parts {
    pub(super) fn of<R: Read + Seek>(decoder: &mut Decoder<R>) -> TiffResult<Self> {
        let (offsets, lengths) = match decoder.get_chunk_type() {
            ChunkType::Strip => (Tag::StripOffsets, Tag::StripByteCounts),
            ChunkType::Tile => (Tag::TileOffsets, Tag::TileByteCounts),
        };
        let lengths = decoder.get_tag_u64_vec(lengths)?;
        let places = decoder.get_tag_u64_vec(offsets)?.into_iter().zip(lengths);
        let is_jpeg = decoder.find_tag_unsigned(Tag::Compression)? == Some(CompressionMethod::ModernJPEG.to_u16());
        let (width, mut height) = decoder.chunk_dimensions();
        if decoder.get_chunk_type() == ChunkType::Strip {
            // If all rows are in one strip, files may give any larger number of rows.
            height = height.min(decoder.dimensions()?.1);
        }
        Ok(Self {
            size: (width, height),
            places: places.map(|(offset, length)| offset..offset.saturating_add(length)).collect(),
            samples: decoder.find_tag_unsigned(Tag::SamplesPerPixel)?.unwrap_or(1),
            is_jpeg,
            tables: match decoder.find_tag(Tag::JPEGTables)? {
                Some(tables) if is_jpeg => tables.into_u8_vec()?,
                _ => Vec::new(),
            },
        })
    }

    /// Refuses parts that are larger than the picture, and JPEGs that are larger than their part.
    pub(super) fn check(&self, source: &[u8], picture: (u32, u32), colour: ColorType) -> Result<()> {
        if self.samples.saturating_mul(colour.bit_depth().into()) > MAX_PIXEL_BITS {
            return Err(unsupported(Format::Tiff, format_args!("{} samples a pixel", self.samples)));
        }
        let pixels = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
        if pixels(self.size) > pixels(picture).max(SPARE_PIXELS) {
            return Err(corrupt(Format::Tiff, "a part of it is larger than all of it"));
        }
        if !self.is_jpeg {
            return Ok(());
        }
        let jpegs = self.places.iter().filter_map(|place| {
            let start = usize::try_from(place.start).ok()?;
            source.get(start..usize::try_from(place.end).unwrap_or(usize::MAX).min(source.len()))
        });
        for jpeg in jpegs {
            if self.size_of(jpeg).is_some_and(|size| size.0 > self.size.0 || size.1 > self.size.1) {
                return Err(corrupt(Format::Tiff, "a JPEG in it is larger than its place"));
            }
        }
        Ok(())
    }

    /// The size as the decoder will read it: tables without their end marker, then the JPEG without its start marker.
    fn size_of(&self, jpeg: &[u8]) -> Option<(u32, u32)> {
        let whole = match self.tables.len().checked_sub(2) {
            Some(end) => Cow::Owned([&self.tables[..end], jpeg.get(2..)?].concat()),
            None => Cow::Borrowed(jpeg),
        };
        let mut decoder = JpegDecoder::new(ZCursor::new(&*whole));
        decoder.decode_headers().ok()?;
        decoder.info().map(|info| (info.width.into(), info.height.into()))
    }
}
