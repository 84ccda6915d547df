//! AVIF, by `re_rav1d` with a container parser of our own. Only ever read here.
//!
//! Stills, grids, the chosen or the finest of a picture's layers, and the first picture of a sequence; 8, 10 and 12 bits; every chroma subsampling; alpha; `irot` and
//! `imir`. The container decides on colours and orientation: code points win over the bit stream's, and EXIF's orientation
//! plays no part, as MIAF has it. The size that the container names is held against the limits, and the decoder is told to
//! refuse a larger one, so that no memory is taken before.

mod av1;
mod boxes;
mod yuv;

use std::io::{BufRead, Seek};

use super::reader::{HeaderReader, MAX_BOXES, corrupt, truncated};
use super::{Decoded, Facts, Picture, Reading, icc, reader};
use crate::raster::{Channels, Raster, Sample};
use crate::{Code, Error, Format, Result, metadata};
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
    // Metadata is optional: a broken block counts as absent.
    let [exif, xmp] = container.advice(primary);
    let exif = exif.and_then(|item| container.read(item, &mut reader, MAX_METADATA_BYTES).ok());
    facts.exif = exif.and_then(|block| metadata::behind_offset(&block).map(<[u8]>::to_vec));
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
        let properties = item.properties();
        let frame = av1::decode(bytes, pixels, properties.operating_point, properties.layer)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use crate::codec::{decode_eight, encode, inspect as inspect_any};
    use crate::raster::View;
    use crate::save::{Quality, Save};

    const SIDE: u32 = 64;

    /// The AV1 bit stream of a picture of one colour.
    fn coded(colour: [u8; 3]) -> Vec<u8> {
        let picture = Raster::filled(SIDE, SIDE, Channels::Rgb, &colour);
        let save = Save { format: Some(Format::Avif), quality: Some(Quality::Of(90)), ..Save::default() };
        let facts = Facts::new(Format::Png, SIDE, SIDE, 1);
        let target = encode::Target::new(&save, 0, &facts, false, || None);
        let file = encode::encode(View::Eight(&picture), &target, &|| false).unwrap().data;
        let container =
            read_container(&mut HeaderReader::new(std::io::Cursor::new(&file), Format::Avif), file.len() as u64);
        let container = container.unwrap();
        container.bytes(container.primary().unwrap(), &file).unwrap()
    }

    /// The units of a bit stream, each with its header, and without its size.
    fn units(stream: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let (mut units, mut rest) = (Vec::new(), stream);
        while let [header, after @ ..] = rest {
            assert_eq!(header & 6, 2, "each has a size, and none names a layer");
            let (mut size, mut bytes) = (0, 0);
            loop {
                size |= usize::from(after[bytes] & 0x7f) << (7 * bytes);
                bytes += 1;
                if after[bytes - 1] & 0x80 == 0 {
                    break;
                }
            }
            units.push((*header, after[bytes..bytes + size].to_vec()));
            rest = &after[bytes + size..];
        }
        units
    }

    /// A unit of a layer.
    fn unit(header: u8, layer: u8, body: &[u8]) -> Vec<u8> {
        let mut size = Vec::new();
        let mut left = body.len();
        while left > 0x7f {
            size.push(left as u8 | 0x80);
            left >>= 7;
        }
        size.push(left as u8);
        [&[header | 4, layer << 3][..], &size, body].concat()
    }

    fn boxed(kind: &[u8], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat()
    }

    /// An AVIF with one item, a bit stream, and an `lsel` for this layer.
    fn layered(stream: &[u8], layer: Option<u16>) -> Vec<u8> {
        let ispe = boxed(b"ispe", &[[0; 4], SIDE.to_be_bytes(), SIDE.to_be_bytes()].concat());
        let lsel = layer.map(|layer| boxed(b"lsel", &layer.to_be_bytes())).unwrap_or_default();
        let ipco = boxed(b"ipco", &[ispe, lsel].concat());
        let ipma: &[u8] = if layer.is_some() {
            &[0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 2, 1, 0x82]
        } else {
            &[0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 1]
        };
        let ftyp = boxed(b"ftyp", b"avif\0\0\0\0mif1avif");
        let meta = |offset: u32| {
            let infe = boxed(b"infe", b"\x02\0\0\0\0\x01\0\0av01\0");
            let place = [
                &[0, 0, 0, 0, 0x44, 0, 0, 1, 0, 1, 0, 0, 0, 1][..],
                &offset.to_be_bytes(),
                &(stream.len() as u32).to_be_bytes(),
            ];
            let parts = [
                vec![0; 4],
                boxed(b"hdlr", b"\0\0\0\0\0\0\0\0pict\0\0\0\0\0\0\0\0\0\0\0\0\0"),
                boxed(b"pitm", &[0, 0, 0, 0, 0, 1]),
                boxed(b"iloc", &place.concat()),
                boxed(b"iinf", &[&[0, 0, 0, 0, 0, 1][..], &infe].concat()),
                boxed(b"iprp", &[ipco.clone(), boxed(b"ipma", ipma)].concat()),
            ];
            boxed(b"meta", &parts.concat())
        };
        let offset = ftyp.len() + meta(0).len() + 8;
        [ftyp, meta(offset as u32), boxed(b"mdat", stream)].concat()
    }

    #[test]
    fn layer_that_is_chosen_is_shown() {
        const COLOURS: [[u8; 3]; 3] = [[200, 30, 40], [30, 180, 60], [40, 60, 210]];
        let mut stream = Vec::new();
        for (layer, colour) in COLOURS.into_iter().enumerate() {
            for (header, body) in units(&coded(colour)) {
                // The sequence header comes once, a temporal delimiter only before the first layer.
                if layer == 0 || !matches!(header >> 3, 1 | 2) {
                    stream.extend(if matches!(header >> 3, 1 | 2) {
                        unit(header, 0, &body)
                    } else {
                        unit(header, layer as u8, &body)
                    });
                }
            }
        }
        let limits = Limits::default();
        let shown = |layer| {
            let source = layered(&stream, layer);
            let facts = inspect_any(std::io::Cursor::new(&source), &limits).unwrap();
            let picture = decode_eight(&source, &facts, 1, &limits).unwrap();
            assert_eq!(picture.size(), (SIDE, SIDE));
            [picture.data[0], picture.data[1], picture.data[2]]
        };
        for (layer, colour) in COLOURS.iter().enumerate() {
            let got = shown(Some(layer as u16));
            assert!(got.iter().zip(colour).all(|(a, b)| a.abs_diff(*b) < 8), "layer {layer}: {got:?}, not {colour:?}");
        }
        shown(Some(0xffff));
        shown(None);
    }

    #[test]
    fn broken_layers_are_blamed_on_the_file() {
        for stream in
            [&[0x36][..], &[0x32, 0xff], &[0x32, 9, 0], &[0x32, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]
        {
            let source = layered(stream, Some(1));
            let limits = Limits::default();
            let facts = inspect_any(std::io::Cursor::new(&source), &limits).unwrap();
            assert_eq!(decode_eight(&source, &facts, 1, &limits).unwrap_err().code, Code::CorruptImage, "{stream:x?}");
        }
    }
}
