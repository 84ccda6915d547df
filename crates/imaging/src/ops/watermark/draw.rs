//! Drawing a mark: its pixels blended into a picture's.

use super::{Layer, Mark, Strip};
use crate::Result;
use crate::raster::{Alpha, Channels, Raster, Sample};

/// The least alpha of a pixel that shows, in formats with hard alpha.
const HALF: u8 = 128;

/// Draws the mark over the picture; grey pictures become RGB unless the mark is grey too.
///
/// Where alpha is hard, a half-transparent mark would vanish over what is clear, or lose its edges: there its pixels are drawn
/// in full from half of its strongest one on.
///
/// # Errors
/// The error of `go_on`, which is called at each place.
pub(crate) fn draw<S: Sample>(
    picture: Raster<S>,
    mark: &Mark,
    kind: Alpha,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Raster<S>> {
    let mut picture = if mark.is_gray() { picture } else { picture.into_colour() };
    let (size, channels) = (picture.size(), picture.channels);
    let (width, count) = (picture.width as usize, channels.count());
    let below = Below::of(channels, kind, mark);
    for at in mark.places(size) {
        go_on()?;
        for Strip { x, y, row, columns } in mark.strips(at, size) {
            let pixels = &mut picture.data[(y * width + x) * count..][..columns.len() * count];
            match mark.layer() {
                Layer::Plain { mask, color, alpha } => {
                    let coverage = &mask.row(row)[columns];
                    blend(pixels, coverage, below, color, alpha);
                }
                Layer::Picture { raster, alpha } => {
                    let layer = &raster.data.as_chunks::<4>().0[row * raster.width as usize..];
                    lay(pixels, &layer[columns], below, alpha);
                }
            }
        }
    }
    Ok(picture)
}

/// How a mark meets a picture's pixels.
#[derive(Debug, Clone, Copy)]
enum Below {
    Opaque(Channels),
    SoftAlpha,
    /// Clear pixels take the mark in full from this coverage on.
    HardAlpha {
        from: u8,
    },
}

impl Below {
    fn of(channels: Channels, kind: Alpha, mark: &Mark) -> Self {
        let strongest = || match mark.layer() {
            Layer::Plain { mask, .. } => mask.rows().flatten().max().copied(),
            Layer::Picture { raster, .. } => raster.data.iter().skip(3).step_by(4).max().copied(),
        };
        match (channels, kind) {
            (Channels::Rgba, Alpha::Soft) => Self::SoftAlpha,
            (Channels::Rgba, Alpha::Hard) => Self::HardAlpha { from: strongest().unwrap_or(0).div_ceil(2).max(1) },
            _ => Self::Opaque(channels),
        }
    }

    fn count(self) -> usize {
        match self {
            Self::Opaque(channels) => channels.count(),
            Self::SoftAlpha | Self::HardAlpha { .. } => Channels::Rgba.count(),
        }
    }
}

fn blend<S: Sample>(row: &mut [S], coverage: &[u8], below: Below, color: [u8; 3], alpha: u8) {
    for (pixel, &coverage) in row.chunks_exact_mut(below.count()).zip(coverage) {
        dab(pixel, below, color, alpha, coverage);
    }
}

fn lay<S: Sample>(row: &mut [S], layer: &[[u8; 4]], below: Below, alpha: u8) {
    for (pixel, &[r, g, b, a]) in row.chunks_exact_mut(below.count()).zip(layer) {
        dab(pixel, below, [r, g, b], alpha, a);
    }
}

fn dab<S: Sample>(pixel: &mut [S], below: Below, color: [u8; 3], alpha: u8, coverage: u8) {
    let both = scaled(alpha, coverage);
    if both == 0 {
        return;
    }
    match below {
        Below::Opaque(_) => {
            for (value, color) in pixel.iter_mut().zip(color) {
                *value = mix(*value, color, both);
            }
        }
        Below::HardAlpha { from } if pixel[3].narrow() < HALF => {
            if coverage >= from {
                for (value, color) in pixel.iter_mut().zip(color) {
                    *value = S::widen(color);
                }
                pixel[3] = S::MAX;
            }
        }
        Below::SoftAlpha | Below::HardAlpha { .. } => over(pixel, color, both),
    }
}

/// `a * b` where 255 stands for 1.
pub(crate) fn scaled(a: u8, b: u8) -> u8 {
    ((u32::from(a) * u32::from(b) + 127) / 255) as u8
}

/// `above` with `alpha` of 255 over `below`.
pub(crate) fn mix<S: Sample>(below: S, above: u8, alpha: u8) -> S {
    let (below, above, alpha) = (below.number(), S::widen(above).number(), u32::from(alpha));
    S::from_number((above * alpha + below * (255 - alpha) + 127) / 255)
}

/// Porter and Duff's source-over with alpha that is not premultiplied.
fn over<S: Sample>(pixel: &mut [S], color: [u8; 3], alpha: u8) {
    let (above, below, max) = (u64::from(alpha), u64::from(pixel[3].number()), u64::from(S::MAX.number()));
    // Both weights are in 255ths of the sample's range.
    let (top, bottom) = (above * max, below * (255 - above));
    let sum = top + bottom;
    for (value, color) in pixel.iter_mut().zip(color) {
        let (color, under) = (u64::from(S::widen(color).number()), u64::from(value.number()));
        *value = S::from_number(((color * top + under * bottom + sum / 2) / sum) as u32);
    }
    pixel[3] = S::from_number(((sum + 127) / 255) as u32);
}
