//! Turning by any angle, with smooth edges.
//!
//! Bilinear; what lies outside of the source is background, so that a border pixel that the source covers by half is
//! half background. Alpha is premultiplied.

#![expect(clippy::inline_always, reason = "loops are compiled for the registers of those that they are in")]

use super::frame::{Backdrop, onto};
use super::geometry;
use crate::operation::Rotate;
use crate::raster::{Channels, Raster, Sample};

/// Fractional bits of a position in the source.
const BITS: u32 = 32;
const ONE: i64 = 1 << BITS;

/// Turns clockwise; the canvas grows until it holds all of the picture.
pub(crate) fn rotate<S: Sample>(picture: Raster<S>, wanted: &Rotate) -> Raster<S> {
    let size = geometry::turned(picture.size(), wanted.angle);
    // Quarter turns first: then rows of the source are read nearly as they lie.
    let angle = wanted.angle.rem_euclid(360.0);
    let quarters = (angle / 90.0).round();
    let picture = picture.oriented([1, 6, 3, 8][quarters as usize % 4]);
    let (picture, backdrop) = onto(picture, wanted.background);
    let turn = Turn::new(picture.size(), size, f64::from(angle - 90.0 * quarters));
    let data = match picture.channels {
        Channels::Gray => turn.run::<S, 1>(&picture, &backdrop),
        Channels::Rgb => turn.run::<S, 3>(&picture, &backdrop),
        Channels::Rgba => turn.run::<S, 4>(&picture, &backdrop),
    };
    Raster { width: size.0, height: size.1, channels: picture.channels, data }
}

struct Turn {
    from: (usize, usize),
    to: (usize, usize),
    /// The step in the source for one pixel to the right.
    step: (i64, i64),
    sin: f64,
    cos: f64,
}

impl Turn {
    fn new(from: (u32, u32), to: (u32, u32), degrees: f64) -> Self {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let step = ((cos * ONE as f64) as i64, (-sin * ONE as f64) as i64);
        let size = |(w, h): (u32, u32)| (w as usize, h as usize);
        Self { from: size(from), to: size(to), step, sin, cos }
    }

    fn run<S: Sample, const N: usize>(&self, picture: &Raster<S>, backdrop: &Backdrop<S>) -> Vec<S> {
        let (pixels, _) = picture.data.as_chunks::<N>();
        let empty: [S; N] = std::array::from_fn(|i| backdrop.pixel[i]);
        let mut data = vec![S::default(); self.to.0 * self.to.1 * N];
        for (y, row) in data.as_chunks_mut::<N>().0.chunks_exact_mut(self.to.0).enumerate() {
            let (x0, y0) = self.start(y);
            let inside = self.inside(x0, y0);
            let at = |x: usize| (x0 + self.step.0 * x as i64, y0 + self.step.1 * x as i64);
            for (x, pixel) in row.iter_mut().enumerate().take(inside.start) {
                *pixel = self.border(pixels, at(x), &empty);
            }
            let (mut sx, mut sy) = at(inside.start);
            for pixel in &mut row[inside.clone()] {
                let index = (sy >> BITS) as usize * self.from.0 + (sx >> BITS) as usize;
                let (above, below) = (&pixels[index..index + 2], &pixels[index + self.from.0..index + self.from.0 + 2]);
                *pixel = blend([&above[0], &above[1], &below[0], &below[1]], weights(sx, sy), &empty);
                sx += self.step.0;
                sy += self.step.1;
            }
            for (x, pixel) in row.iter_mut().enumerate().skip(inside.end) {
                *pixel = self.border(pixels, at(x), &empty);
            }
        }
        data
    }

    /// Where the first pixel of a row comes from: the upper left of the four pixels around it, and the way to it.
    fn start(&self, y: usize) -> (i64, i64) {
        let dx = 0.5 - self.to.0 as f64 / 2.0;
        let dy = y as f64 + 0.5 - self.to.1 as f64 / 2.0;
        let sx = self.cos * dx + self.sin * dy + self.from.0 as f64 / 2.0 - 0.5;
        let sy = self.cos * dy - self.sin * dx + self.from.1 as f64 / 2.0 - 0.5;
        ((sx * ONE as f64) as i64, (sy * ONE as f64) as i64)
    }

    /// The pixels of a row with all four neighbours in the source.
    fn inside(&self, x0: i64, y0: i64) -> std::ops::Range<usize> {
        let (mut first, mut end) = (0, self.to.0 as i64);
        for (at, step, side) in [(x0, self.step.0, self.from.0), (y0, self.step.1, self.from.1)] {
            // 0 <= at + step * x < limit
            let limit = (side as i64 - 1) * ONE;
            match step {
                0 if (0..limit).contains(&at) => {}
                0 => return 0..0,
                1.. => {
                    first = first.max(ceiling(-at, step));
                    end = end.min(ceiling(limit - at, step));
                }
                _ => {
                    first = first.max(ceiling(at - limit + 1, -step));
                    end = end.min(ceiling(at + 1, -step));
                }
            }
        }
        let first = first.clamp(0, self.to.0 as i64);
        first as usize..end.max(first) as usize
    }

    /// A pixel that may have neighbours outside of the source.
    fn border<S: Sample, const N: usize>(&self, pixels: &[[S; N]], (sx, sy): (i64, i64), empty: &[S; N]) -> [S; N] {
        let (x, y) = (sx >> BITS, sy >> BITS);
        let (width, height) = (self.from.0 as i64, self.from.1 as i64);
        let mut weights = weights(sx, sy);
        let mut corners = [empty; 4];
        for (i, (corner, weight)) in corners.iter_mut().zip(&mut weights).enumerate() {
            let (x, y) = (x + (i as i64 & 1), y + (i as i64 >> 1));
            if (0..width).contains(&x) && (0..height).contains(&y) {
                *corner = &pixels[(y * width + x) as usize];
            } else {
                *weight = 0;
            }
        }
        blend(corners, weights, empty)
    }
}

fn ceiling(a: i64, b: i64) -> i64 {
    a.div_euclid(b) + i64::from(a.rem_euclid(b) != 0)
}

/// Of four neighbours, in 65,536ths.
#[inline(always)]
fn weights(sx: i64, sy: i64) -> [u32; 4] {
    let fraction = |at: i64| (at >> (BITS - 8)) as u32 & 0xff;
    let (fx, fy) = (fraction(sx), fraction(sy));
    [(256 - fx) * (256 - fy), fx * (256 - fy), (256 - fx) * fy, fx * fy]
}

/// The neighbours by their weights, over `empty` where the weights are less than whole.
#[inline(always)]
fn blend<S: Sample, const N: usize>(corners: [&[S; N]; 4], weights: [u32; 4], empty: &[S; N]) -> [S; N] {
    let missing = 65_536 - weights.iter().sum::<u32>();
    if N < 4 {
        return std::array::from_fn(|c| {
            let sum: u32 = corners.iter().zip(weights).map(|(corner, weight)| corner[c].number() * weight).sum();
            S::from_number((sum + empty[c].number() * missing + 0x8000) >> 16)
        });
    }
    // Coverage by alpha; the sum is in 65,536ths of a sample's range.
    let alphas: [u64; 4] = std::array::from_fn(|i| u64::from(corners[i][N - 1].number()) * u64::from(weights[i]));
    let own: u64 = alphas.iter().sum();
    // Inside, transparent pixels stay transparent.
    let under = u64::from(missing) * u64::from(empty[N - 1].number());
    let sum = own + under;
    if sum == 0 {
        return [S::default(); N];
    }
    std::array::from_fn(|c| {
        if c == N - 1 {
            return S::from_number(((sum + 0x8000) >> 16) as u32);
        }
        let colour: u64 = corners.iter().zip(alphas).map(|(corner, alpha)| u64::from(corner[c].number()) * alpha).sum();
        S::from_number(((colour + u64::from(empty[c].number()) * under + sum / 2) / sum) as u32)
    })
}
