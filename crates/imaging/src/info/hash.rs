//! BlurHash, ThumbHash and a perceptual hash.

use std::f32::consts::PI;

use fast_image_resize::Resizer;

use crate::operation::Resize;
use crate::ops::{color, geometry, resize};
use crate::raster::{Channels, Raster};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// The perceptual hash looks at a square of this side.
const SQUARE: usize = 32;
/// And keeps the lowest frequencies of it.
const KEPT: usize = 8;
/// More is not allowed by ThumbHash, and more changes no BlurHash.
const TINY: u32 = 64;

pub(super) fn blurhash(size: (u32, u32), pixels: &[[u8; 4]]) -> String {
    let over = |v: u8, a: u8| ((u32::from(v) * u32::from(a) + 255 * (255 - u32::from(a)) + 127) / 255) as u8;
    let data = pixels.iter().flat_map(|&[r, g, b, a]| [over(r, a), over(g, a), over(b, a), 255]).collect();
    let picture = Raster { width: size.0, height: size.1, channels: Channels::Rgba, data };
    let small = shrunk(&picture);
    let (across, down) = if size.0 >= size.1 { (4, 3) } else { (3, 4) };
    // It fails for sizes that do not match, and these do.
    blurhash::encode(across, down, small.width, small.height, &small.data).unwrap_or_default()
}

pub(super) fn thumbhash(copy: &Raster) -> String {
    let small = shrunk(copy);
    BASE64_STANDARD.encode(thumbhash::rgba_to_thumb_hash(
        small.width as usize,
        small.height as usize,
        small.rgba().as_flattened(),
    ))
}

/// The signs of the lowest frequencies (DCT-II) of a grey square against their median, in reading order; what the
/// Python library `ImageHash` calls `phash`.
pub(super) fn perceptual(copy: &Raster) -> String {
    let grey = color::grayscale(copy.over_white().into_owned());
    let square = resized(&grey, SQUARE as u32, SQUARE as u32);
    let basis: [[f32; SQUARE]; KEPT] =
        std::array::from_fn(|k| std::array::from_fn(|x| (PI / SQUARE as f32 * (x as f32 + 0.5) * k as f32).cos()));
    let mut kept = [0.0f32; KEPT * KEPT];
    for (v, column) in basis.iter().enumerate() {
        for (u, row) in basis.iter().enumerate() {
            let rows = square.data.chunks_exact(SQUARE).zip(column);
            kept[v * KEPT + u] = rows
                .map(|(values, weight)| {
                    weight * values.iter().zip(row).map(|(&value, wave)| f32::from(value) * wave).sum::<f32>()
                })
                .sum();
        }
    }
    // The values of absent frequencies are rounding errors; their signs mean nothing.
    for value in kept.iter_mut().filter(|value| value.abs() < 1.0) {
        *value = 0.0;
    }
    let mut sorted = kept;
    sorted.sort_by(f32::total_cmp);
    let median = f32::midpoint(sorted[KEPT * KEPT / 2 - 1], sorted[KEPT * KEPT / 2]);
    let bits = kept.iter().fold(0u64, |bits, &value| bits << 1 | u64::from(value > median));
    format!("{bits:016x}")
}

fn shrunk(picture: &Raster) -> Raster {
    let shrink = (f64::from(TINY) / f64::from(picture.width.max(picture.height))).min(1.0);
    let side = |side: u32| ((f64::from(side) * shrink).round() as u32).max(1);
    resized(picture, side(picture.width), side(picture.height))
}

fn resized(picture: &Raster, width: u32, height: u32) -> Raster {
    let placement = geometry::resize(&Resize::fill(width, height), picture.size());
    resize::resize(picture, &placement, &mut Resizer::new()).unwrap_or_else(|_| picture.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::samples;

    fn apart(a: &str, b: &str) -> u32 {
        (u64::from_str_radix(a, 16).unwrap() ^ u64::from_str_radix(b, 16).unwrap()).count_ones()
    }

    #[test]
    fn pictures_that_look_alike_have_near_hashes() {
        let photo = samples::photo(256, 192);
        let same = resized(&photo, 200, 150);
        let other = samples::quarters(256, 192);
        let hash = perceptual(&photo);
        assert!(apart(&hash, &perceptual(&same)) <= 4);
        assert!(apart(&hash, &perceptual(&other)) > 12);
    }

    #[test]
    fn flat_pictures_have_one_hash() {
        for level in [1, 77, 128, 200, 255] {
            let flat = Raster::filled(200, 150, Channels::Gray, &[level]);
            assert_eq!(perceptual(&flat), "8000000000000000", "{level}");
        }
    }

    #[test]
    fn hashes_are_made_of_the_smallest_pictures() {
        for (width, height) in [(1, 1), (1, 256), (256, 1)] {
            let picture = Raster::filled(width, height, Channels::Rgba, &[10, 20, 30, 128]);
            assert!(thumbhash(&picture).len() > 8);
            assert!(blurhash(picture.size(), &picture.rgba()).len() > 6);
            assert_eq!(perceptual(&picture).len(), 16);
        }
    }
}
