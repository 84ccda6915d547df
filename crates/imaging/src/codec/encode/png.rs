//! PNG, by the `png` crate: grey, RGB and RGBA of 8 or 16 bits, and palettes.
//!
//! A picture of at most 256 colours gets a palette, which loses nothing; with a `quality`, every picture gets one. Grey
//! with at most 16 levels takes 1, 2 or 4 bits per pixel: as grey if its levels fit that depth, otherwise by a palette.

use std::collections::HashMap;

use ::png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Filter, Info};

use super::super::quantize::{Census, MAX_COLORS, Palette};
use super::metadata::Metadata;
use super::{Coding, Sink, failed, go_on};
use crate::raster::{Channels, Raster, Sample, View};
use crate::{Format, Result};

/// Number of levels in four bits. With more levels, grey is already as small as possible.
const FEW_LEVELS: usize = 16;
/// From this effort on, deflate tries everything.
const HIGH_EFFORT: u8 = 9;

pub(super) fn encode(
    picture: View<'_>,
    coding: &Coding,
    metadata: &Metadata,
    interrupted: &dyn Fn() -> bool,
) -> Result<Vec<u8>> {
    if let Some(quality) = coding.quality {
        return indexed(&picture.eight(), colors(quality), coding, metadata, interrupted);
    }
    match picture {
        View::Eight(raster) => match exact(raster) {
            Some((colors, indices)) => write_indexed(raster, &colors, &indices, coding, metadata, interrupted),
            None => direct(raster, &raster.data, BitDepth::Eight, coding, metadata, interrupted),
        },
        View::Sixteen(raster) => {
            let data: Vec<u8> = raster.data.iter().flat_map(|sample| sample.to_be_bytes()).collect();
            direct(raster, &data, BitDepth::Sixteen, coding, metadata, interrupted)
        }
    }
}

/// The number of colours for a quality: 8 at the lowest, 256 at the highest.
pub(crate) fn colors(quality: u8) -> usize {
    (8.0 * 32_f64.powf(f64::from(quality) / 100.0)).round() as usize
}

/// A picture in a palette of at most this many colours.
fn indexed(
    raster: &Raster,
    most: usize,
    coding: &Coding,
    metadata: &Metadata,
    interrupted: &dyn Fn() -> bool,
) -> Result<Vec<u8>> {
    let census = Census::of(raster.rgba().iter().copied());
    go_on(interrupted)?;
    let mut palette = Palette::of(&census, most);
    let indices = palette.map(raster.width as usize, &raster.rgba(), |_| true, 0, || go_on(interrupted))?;
    write_indexed(raster, &palette.colors, &indices, coding, metadata, interrupted)
}

/// The colours of a picture if they fit into a palette, including those of fully transparent pixels, and the index of
/// each pixel's colour.
fn exact(raster: &Raster) -> Option<(Vec<[u8; 4]>, Vec<u8>)> {
    let most = if raster.channels == Channels::Gray { FEW_LEVELS } else { MAX_COLORS };
    let mut known: HashMap<&[u8], u8> = HashMap::with_capacity(2 * MAX_COLORS);
    let mut colors = Vec::new();
    let mut indices = Vec::new();
    let (mut last, mut index): (&[u8], u8) = (&[], 0);
    // Photographs exceed a palette within a few rows.
    for pixel in raster.data.chunks_exact(raster.channels.count()) {
        if pixel != last {
            last = pixel;
            index = if let Some(&index) = known.get(pixel) {
                index
            } else {
                let new = u8::try_from(colors.len()).ok().filter(|_| colors.len() < most)?;
                colors.push(match *pixel {
                    [r, g, b, a] => [r, g, b, a],
                    [r, g, b] => [r, g, b, 255],
                    _ => [pixel[0], pixel[0], pixel[0], 255],
                });
                known.insert(pixel, new);
                new
            };
        }
        indices.push(index);
    }
    Some((colors, indices))
}

fn write_indexed(
    raster: &Raster,
    palette: &[[u8; 4]],
    indices: &[u8],
    coding: &Coding,
    metadata: &Metadata,
    interrupted: &dyn Fn() -> bool,
) -> Result<Vec<u8>> {
    // Transparent colours first, so that the table of alphas ends with the last of them.
    let mut order: Vec<usize> = (0..palette.len()).collect();
    order.sort_by_key(|&index| palette[index][3] == 255);
    let mut place = [0_u8; MAX_COLORS];
    for (new, &old) in order.iter().enumerate() {
        place[old] = new as u8;
    }
    let colors: Vec<[u8; 4]> = order.iter().map(|&index| palette[index]).collect();
    let depth = match colors.len() {
        ..=2 => BitDepth::One,
        3..=4 => BitDepth::Two,
        5..=16 => BitDepth::Four,
        _ => BitDepth::Eight,
    };
    let mut info = info(raster.width, raster.height, metadata);
    if let Some((depth, step)) = gray_depth(raster, palette) {
        (info.color_type, info.bit_depth) = (ColorType::Grayscale, depth);
        for (place, color) in place.iter_mut().zip(palette) {
            *place = color[0] / step;
        }
    } else {
        (info.color_type, info.bit_depth) = (ColorType::Indexed, depth);
        info.palette = Some(colors.iter().flat_map(|color| [color[0], color[1], color[2]]).collect());
        let alphas: Vec<u8> = colors.iter().map(|color| color[3]).take_while(|&alpha| alpha != 255).collect();
        info.trns = (!alphas.is_empty()).then(|| alphas.into());
    }
    let per_byte = 8 / info.bit_depth as usize;
    let data: Vec<u8> = indices
        .chunks_exact(raster.width as usize)
        .flat_map(|row| row.chunks(per_byte))
        .map(|group| {
            let packed =
                group.iter().fold(0, |byte, &index| byte << (8 / per_byte) | u32::from(place[usize::from(index)]));
            (packed << ((per_byte - group.len()) * (8 / per_byte))) as u8
        })
        .collect();
    // Filters do not help indices, and the fast coder is made for samples.
    let compression = if coding.effort >= HIGH_EFFORT { Compression::High } else { Compression::Balanced };
    write(info, &data, compression, Some(Filter::NoFilter), interrupted)
}

/// The smallest depth that has all levels of a grey picture, and the distance between its levels.
fn gray_depth(raster: &Raster, palette: &[[u8; 4]]) -> Option<(BitDepth, u8)> {
    let is_gray = raster.channels == Channels::Gray;
    [(BitDepth::One, 255), (BitDepth::Two, 85), (BitDepth::Four, 17)]
        .into_iter()
        .find(|&(_, step)| is_gray && palette.iter().all(|color| color[0].is_multiple_of(step)))
}

fn direct<S: Sample>(
    raster: &Raster<S>,
    data: &[u8],
    depth: BitDepth,
    coding: &Coding,
    metadata: &Metadata,
    interrupted: &dyn Fn() -> bool,
) -> Result<Vec<u8>> {
    let mut info = info(raster.width, raster.height, metadata);
    info.color_type = match raster.channels {
        Channels::Gray => ColorType::Grayscale,
        Channels::Rgb => ColorType::Rgb,
        Channels::Rgba => ColorType::Rgba,
    };
    info.bit_depth = depth;
    write(info, data, compression(coding.effort), None, interrupted)
}

pub(super) fn compression(effort: u8) -> Compression {
    match effort {
        ..=2 => Compression::Fastest,
        3..=5 => Compression::Fast,
        6..HIGH_EFFORT => Compression::Balanced,
        _ => Compression::High,
    }
}

fn info(width: u32, height: u32, metadata: &Metadata) -> Info<'static> {
    let mut info = Info::with_size(width, height);
    info.icc_profile = metadata.icc.clone().map(Into::into);
    info.exif_metadata = metadata.exif_block().map(Into::into);
    info
}

fn write(
    info: Info<'_>,
    data: &[u8],
    compression: Compression,
    filter: Option<Filter>,
    interrupted: &dyn Fn() -> bool,
) -> Result<Vec<u8>> {
    let mut sink = Sink::new(interrupted);
    let written = || -> std::result::Result<(), EncodingError> {
        let mut encoder = Encoder::with_info(&mut sink, info)?;
        encoder.set_compression(compression);
        if let Some(filter) = filter {
            encoder.set_filter(filter);
        }
        let mut writer = encoder.write_header()?;
        writer.write_image_data(data)?;
        writer.finish()
    };
    written().map_err(|error| failed(Format::Png, &error, interrupted))?;
    Ok(sink.into_inner())
}
