//! TIFF: 8 or 16 bits, deflated with a horizontal predictor, alpha not premultiplied.

use std::io::{Seek, Write};

use ::tiff::encoder::colortype::{ColorType, Gray8, Gray16, RGB8, RGB16, RGBA8, RGBA16};
use ::tiff::encoder::{Compression, DeflateLevel, DirectoryEncoder, Predictor, TiffEncoder, TiffKind, TiffValue};
use ::tiff::tags::{Tag, Type};
use ::tiff::{Directory, TiffResult};

use super::metadata::Metadata;
use super::{Coding, Sink, failed};
use crate::metadata::{Carried, Field, swapped};
use crate::raster::{Channels, Raster, View};
use crate::{Format, Result};

/// `ExtraSamples`' value for alpha that is not premultiplied.
const UNASSOCIATED: u16 = 2;

pub(super) fn encode(
    picture: View<'_>,
    coding: &Coding,
    metadata: &Metadata,
    interrupted: &dyn Fn() -> bool,
) -> Result<Vec<u8>> {
    let level = match coding.effort {
        ..=4 => DeflateLevel::Fast,
        5..=7 => DeflateLevel::Balanced,
        _ => DeflateLevel::Best,
    };
    let mut sink = Sink::new(interrupted);
    let written = match picture {
        View::Eight(raster) => match raster.channels {
            Channels::Gray => write::<Gray8, _>(&mut sink, raster, level, metadata),
            Channels::Rgb => write::<RGB8, _>(&mut sink, raster, level, metadata),
            Channels::Rgba => write::<RGBA8, _>(&mut sink, raster, level, metadata),
        },
        View::Sixteen(raster) => match raster.channels {
            Channels::Gray => write::<Gray16, _>(&mut sink, raster, level, metadata),
            Channels::Rgb => write::<RGB16, _>(&mut sink, raster, level, metadata),
            Channels::Rgba => write::<RGBA16, _>(&mut sink, raster, level, metadata),
        },
    };
    written.map_err(|error| failed(Format::Tiff, &error, interrupted))?;
    Ok(sink.into_inner())
}

fn write<C, S>(sink: &mut Sink<'_>, raster: &Raster<S>, level: DeflateLevel, metadata: &Metadata) -> TiffResult<()>
where
    C: ColorType<Inner = S>,
    [S]: TiffValue,
{
    let mut file =
        TiffEncoder::new(sink)?.with_compression(Compression::Deflate(level)).with_predictor(Predictor::Horizontal);
    let mut places = Vec::new();
    if let Some(Carried { camera, gps, .. }) = &metadata.exif {
        for (tag, fields) in [(Tag::ExifDirectory, camera), (Tag::GpsDirectory, gps)] {
            if !fields.is_empty() {
                let mut directory = file.extra_directory()?;
                carry(&mut directory, fields)?;
                places.push((tag, directory.finish_with_offsets()?.offset));
            }
        }
    }
    let mut image = file.new_image::<C>(raster.width, raster.height)?;
    let directory = image.encoder();
    if raster.channels == Channels::Rgba {
        directory.write_tag(Tag::ExtraSamples, &[UNASSOCIATED][..])?;
    }
    if let Some(exif) = &metadata.exif {
        carry(directory, &exif.main)?;
    }
    for (tag, place) in places {
        directory.write_tag(tag, place)?;
    }
    if let Some(icc) = &metadata.icc {
        put(directory, Tag::IccProfile, Type::UNDEFINED, icc)?;
    }
    image.write_data(&raster.data)
}

/// Writes fields with the values in this machine's byte order.
fn carry<W: Write + Seek, K: TiffKind>(directory: &mut DirectoryEncoder<'_, W, K>, fields: &[Field]) -> TiffResult<()> {
    for Field { tag, kind, data } in fields {
        let mut data = data.clone();
        if cfg!(target_endian = "big") {
            data.chunks_exact_mut(swapped(*kind)).for_each(<[u8]>::reverse);
        }
        let Some(kind) = Type::from_u16(*kind) else { continue };
        put(directory, Tag::from_u16_exhaustive(*tag), kind, &data)?;
    }
    Ok(())
}

fn put<W: Write + Seek, K: TiffKind>(
    directory: &mut DirectoryEncoder<'_, W, K>,
    tag: Tag,
    kind: Type,
    data: &[u8],
) -> TiffResult<()> {
    let entry = directory.write_entry_bytes(kind, data)?;
    let mut one = Directory::empty();
    one.extend([(tag, entry)]);
    directory.extend_from(&one);
    Ok(())
}
