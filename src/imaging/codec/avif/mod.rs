//! AVIF, by `re_rav1d` with a container parser of our own. Only ever read here.
//!
//! Stills, grids and the first picture of a sequence; 8, 10 and 12 bits; every chroma subsampling; alpha; `irot` and
//! `imir`. The container decides on colours and orientation: code points win over the bit stream's, and EXIF's orientation
//! plays no part, as MIAF has it. The size that the container names is held against the limits, and the decoder is told to
//! refuse a larger one, so that no memory is taken before.

mod av1;
mod boxes;
mod yuv;

use std::io::{BufRead, Seek};

use super::reader::{HeaderReader, MAX_BOXES, corrupt, truncated};
use super::{Decoded, Facts, Picture, Reading, icc, reader};
use crate::imaging::raster::{Channels, Raster, Sample};
use crate::imaging::{Code, Error, Format, Result};
use boxes::{Container, Grid, Item, Nclx};

/// `meta` and `moov` boxes beyond this have no place in a picture.
const MAX_BOX_BYTES: u64 = 8 << 20;
/// EXIF and XMP beyond this are not read.
const MAX_METADATA_BYTES: usize = 1 << 20;

pub(super) fn inspect<R: BufRead + Seek>(reader: R, length: u64) -> Result<Facts> {
    let mut reader = HeaderReader::new(reader, Format::Avif);
    let container = read_container(&mut reader, length)?;
    let primary = container.primary()?;
    let properties = primary.properties();
    let (width, height) = properties.size.ok_or_else(|| corrupt(Format::Avif, "it does not say its size"))?;
    let mut facts = Facts::new(Format::Avif, width, height, container.frames);
    facts.orientation = properties.orientation.unwrap_or(1);
    facts.header.deep = properties.depth.is_some_and(|depth| depth > 8);
    facts.icc.clone_from(&properties.icc);
    // Advice: what is broken is not there.
    let [exif, xmp] = container.advice(primary);
    let exif = exif.and_then(|item| container.read(item, &mut reader, MAX_METADATA_BYTES).ok());
    facts.exif = exif.and_then(|block| super::exif::behind_offset(&block).map(<[u8]>::to_vec));
    facts.xmp = xmp.and_then(|item| container.read(item, &mut reader, MAX_METADATA_BYTES).ok());
    Ok(facts)
}

/// The boxes that matter, wherever they stand.
fn read_container<R: BufRead + Seek>(reader: &mut HeaderReader<R>, length: u64) -> Result<Container> {
    let (mut meta, mut moov) = (None, None);
    let mut at: u64 = 0;
    for _ in 0..MAX_BOXES {
        if at.saturating_add(8) > length {
            break;
        }
        reader.seek(at)?;
        let (short, kind) = (u64::from(reader.be32()?), reader.bytes::<4>()?);
        let (header, size) = match short {
            0 => (8, length - at),
            1 => (16, u64::from(reader.be32()?) << 32 | u64::from(reader.be32()?)),
            size => (8, size),
        };
        if size < header {
            return Err(reader.corrupt("a box is shorter than its header"));
        }
        if matches!(&kind, b"meta" | b"moov") {
            let body = size - header;
            if body > MAX_BOX_BYTES {
                return Err(reader.corrupt("its description is too long"));
            }
            if body > length - at {
                return Err(truncated(Format::Avif, "the file ends inside its header"));
            }
            let body = reader.vec(body as usize)?;
            let slot = if &kind == b"meta" { &mut meta } else { &mut moov };
            slot.get_or_insert(body);
        }
        at = at.saturating_add(size);
    }
    Container::parse(meta.as_deref(), moov.as_deref())
}

pub(super) fn decode(source: &[u8], facts: &Facts, reading: &Reading<'_>) -> Result<Decoded> {
    let mut reader = HeaderReader::new(std::io::Cursor::new(source), Format::Avif);
    let container = read_container(&mut reader, source.len() as u64)?;
    let pictures = Pictures { container: &container, source, reading };
    let (picture, nclx) = if reading.deep && facts.header.deep {
        let (raster, nclx) = pictures.whole::<u16>()?;
        (Picture::Sixteen(raster), nclx)
    } else {
        let (raster, nclx) = pictures.whole::<u8>()?;
        (Picture::Eight(raster), nclx)
    };
    let picture = match facts.icc.as_deref() {
        _ if reading.as_stored => picture,
        Some(profile) => picture.in_srgb(Some(profile), reading),
        None => picture
            .converted(|| icc::Space::of_code_points(nclx.primaries.try_into().ok()?, nclx.transfer.try_into().ok()?)),
    };
    Ok(picture.without_idle_alpha().into())
}

/// Decodes the items of one file.
struct Pictures<'a> {
    container: &'a Container,
    source: &'a [u8],
    reading: &'a Reading<'a>,
}

impl Pictures<'_> {
    /// The primary item with its alpha.
    fn whole<S: Sample>(&self) -> Result<(Raster<S>, Nclx)> {
        let primary = self.container.primary()?;
        let alpha = self.container.alpha(primary);
        // What is decoded is as large as its item says.
        if alpha.is_some_and(|alpha| alpha.properties().size != primary.properties().size) {
            return Err(corrupt(Format::Avif, "its alpha has another size than its colours"));
        }
        let (raster, nclx) = self.colour::<S>(primary)?;
        let Some(alpha) = alpha else { return Ok((raster, nclx)) };
        let alpha = self.alpha::<S>(alpha)?;
        Ok((with_alpha(raster, &alpha.data, self.container.is_premultiplied(primary)), nclx))
    }

    /// The colours of an item, and what they mean.
    fn colour<S: Sample>(&self, item: &Item) -> Result<(Raster<S>, Nclx)> {
        let mut meaning = None;
        let raster = self.each(item, |tile| {
            let frame = self.frame(tile)?;
            // The tiles may leave it to their grid.
            let said = tile.properties().nclx.or(item.properties().nclx);
            let nclx = said.unwrap_or_else(|| frame.nclx());
            meaning.get_or_insert(nclx);
            yuv::to_rgb(&frame, nclx.matrix, nclx.full_range)
        })?;
        let meaning = meaning.ok_or_else(|| corrupt(Format::Avif, "its grid is empty"))?;
        Ok((raster, meaning))
    }

    /// One channel.
    fn alpha<S: Sample>(&self, item: &Item) -> Result<Raster<S>> {
        item.check()?;
        self.each(item, |tile| {
            let frame = self.frame(tile)?;
            Ok(yuv::luma(&frame, frame.nclx().full_range))
        })
    }

    /// Decodes an item, tile by tile where it is a grid.
    fn each<S: Sample>(&self, item: &Item, mut decode: impl FnMut(&Item) -> Result<Raster<S>>) -> Result<Raster<S>> {
        if !item.is_grid() {
            return decode(item);
        }
        let grid = Grid::parse(&self.container.bytes(item, self.source)?)?;
        let tiles = self.container.tiles(item)?;
        if tiles.len() as u64 != u64::from(grid.columns) * u64::from(grid.rows) {
            return Err(corrupt(Format::Avif, "its grid has more places than tiles"));
        }
        if item.properties().size != Some((grid.width, grid.height)) {
            return Err(corrupt(Format::Avif, "its header contradicts its grid"));
        }
        let unfit = || corrupt(Format::Avif, "the tiles of its grid do not fit together");
        let tile_size = tiles.first().and_then(|tile| tile.properties().size).ok_or_else(unfit)?;
        if !grid.is_covered_by(tile_size) || tiles.iter().any(|tile| tile.properties().size != Some(tile_size)) {
            return Err(unfit());
        }
        let mut whole: Option<Raster<S>> = None;
        for (i, tile) in tiles.into_iter().enumerate() {
            let part = decode(tile)?;
            let (column, row) = (i as u32 % grid.columns, i as u32 / grid.columns);
            let whole = whole.get_or_insert_with(|| {
                let pixel = vec![S::default(); part.channels.count()];
                Raster::filled(grid.width, grid.height, part.channels, &pixel)
            });
            if part.channels != whole.channels {
                return Err(unfit());
            }
            paste(whole, &part, column * tile_size.0, row * tile_size.1);
        }
        whole.ok_or_else(|| corrupt(Format::Avif, "its grid is empty"))
    }

    fn frame(&self, item: &Item) -> Result<av1::Frame> {
        if (self.reading.interrupted)() {
            return Err(reader::interrupted());
        }
        let (width, height) =
            item.properties().size.ok_or_else(|| corrupt(Format::Avif, "a part of it does not say its size"))?;
        let pixels = u64::from(width) * u64::from(height);
        if pixels == 0 || pixels > self.reading.limits.max_pixels {
            let limit = self.reading.limits.max_pixels;
            return Err(Error::new(
                Code::TooManyPixels,
                format!("the pixel count {pixels} of a tile exceeds limits.max_pixels ({limit})"),
            ));
        }
        let bytes = self.container.bytes(item, self.source)?;
        let frame = av1::decode(bytes, pixels, item.properties().operating_point)?;
        if (frame.width, frame.height) != (width, height) {
            return Err(corrupt(Format::Avif, "its header contradicts its picture"));
        }
        Ok(frame)
    }
}

/// Copies `part` to `left`, `top`; what hangs over is cut.
fn paste<S: Sample>(whole: &mut Raster<S>, part: &Raster<S>, left: u32, top: u32) {
    let channels = whole.channels.count();
    let width = part.width.min(whole.width.saturating_sub(left)) as usize * channels;
    let (stride, left) = (whole.stride(), left as usize * channels);
    let rows = whole.data.chunks_exact_mut(stride).skip(top as usize);
    for (row, from) in rows.zip(part.data.chunks_exact(part.stride())) {
        if width > 0 {
            row[left..left + width].copy_from_slice(&from[..width]);
        }
    }
}

fn with_alpha<S: Sample>(raster: Raster<S>, alpha: &[S], premultiplied: bool) -> Raster<S> {
    let raster = raster.into_colour();
    let max = u64::from(S::MAX.number());
    let plain = |v: S, a: S| {
        if !premultiplied {
            return v;
        }
        let (v, a) = (u64::from(v.number()), u64::from(a.number()));
        let whole = (v * max + a / 2).checked_div(a).unwrap_or(0);
        S::from_number(whole.min(max) as u32)
    };
    let (pixels, _) = raster.data.as_chunks::<3>();
    let data =
        pixels.iter().zip(alpha).flat_map(|(&[r, g, b], &a)| [plain(r, a), plain(g, a), plain(b, a), a]).collect();
    Raster { channels: Channels::Rgba, data, ..raster }
}
