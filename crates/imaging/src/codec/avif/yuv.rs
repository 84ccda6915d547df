//! From planes of luma and chroma to pixels, by the matrices of ITU-T H.273.
//!
//! Chroma is interpolated linearly between the centres of what its samples cover.

#![expect(clippy::inline_always, reason = "loops are compiled for the registers of those that they are in")]

use super::av1::{Chroma, Frame, Plane};
use crate::codec::reader::unsupported;
use crate::raster::{Channels, Raster, Sample};
use crate::wide::wide;
use crate::{Format, Result};

/// How three channels become red, green and blue.
enum Matrix {
    /// The planes are green, blue and red.
    Identity,
    YCgCo,
    /// Weights of red and blue in luma.
    Weights(f32, f32),
}

impl Matrix {
    fn of(code: u16) -> Result<Self> {
        Ok(match code {
            0 => Self::Identity,
            1 => Self::Weights(0.2126, 0.0722),
            // Unspecified: as JPEG.
            2 | 3 | 5 | 6 | 12 => Self::Weights(0.299, 0.114),
            4 => Self::Weights(0.30, 0.11),
            7 => Self::Weights(0.212, 0.087),
            8 => Self::YCgCo,
            9 => Self::Weights(0.2627, 0.0593),
            other => return Err(unsupported(Format::Avif, format!("matrix coefficients {other} are not supported"))),
        })
    }

    /// What each plane counts for in red, green and blue.
    fn rows(&self) -> [[f32; 3]; 3] {
        match *self {
            Self::Identity => [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
            Self::YCgCo => [[1.0, -1.0, 1.0], [1.0, 1.0, 0.0], [1.0, -1.0, -1.0]],
            Self::Weights(kr, kb) => {
                let kg = 1.0 - kr - kb;
                let (red, blue) = (2.0 * (1.0 - kr), 2.0 * (1.0 - kb));
                [[1.0, 0.0, red], [1.0, -blue * kb / kg, -red * kr / kg], [1.0, blue, 0.0]]
            }
        }
    }
}

/// What turns stored numbers into 0 to 1, and chroma into -½ to ½.
struct Scale {
    luma: (f32, f32),
    chroma: (f32, f32),
}

impl Scale {
    fn of(bits: u32, full_range: bool) -> Self {
        let (unit, max) = ((1u32 << (bits - 8)) as f32, ((1u32 << bits) - 1) as f32);
        if full_range {
            Self { luma: (0.0, 1.0 / max), chroma: (128.0 * unit, 1.0 / max) }
        } else {
            Self { luma: (16.0 * unit, 1.0 / (219.0 * unit)), chroma: (128.0 * unit, 1.0 / (224.0 * unit)) }
        }
    }
}

/// The luma alone, as a grey picture.
pub(super) fn luma<S: Sample>(frame: &Frame, full_range: bool) -> Raster<S> {
    let plane = frame.plane(0);
    let (offset, factor) = Scale::of(frame.bits, full_range).luma;
    let mut numbers = vec![0.0; plane.width];
    let mut data = vec![S::default(); plane.width * plane.height];
    wide!({
        for (y, row) in data.chunks_exact_mut(plane.width).enumerate() {
            plane.row(y, &mut numbers);
            for (value, number) in row.iter_mut().zip(&numbers) {
                *value = sample((number - offset) * factor);
            }
        }
    });
    Raster { width: frame.width, height: frame.height, channels: Channels::Gray, data }
}

/// RGB, or grey where there is no chroma.
pub(super) fn to_rgb<S: Sample>(frame: &Frame, matrix: u16, full_range: bool) -> Result<Raster<S>> {
    let Some(chroma) = frame.chroma else { return Ok(luma(frame, full_range)) };
    let matrix = Matrix::of(matrix)?;
    let scale = Scale::of(frame.bits, full_range);
    let mut offsets = [scale.luma, scale.chroma, scale.chroma];
    if matches!(matrix, Matrix::Identity) {
        if chroma.horizontal || chroma.vertical {
            return Err(unsupported(Format::Avif, "RGB planes must not be subsampled"));
        }
        offsets = [scale.luma; 3];
    }
    let rows = matrix.rows();
    let (width, height) = (frame.width as usize, frame.height as usize);
    let planes = [0, 1, 2].map(|i| frame.plane(i));
    let mut luma = vec![0.0; width];
    let mut upsampled = [Upsampled::new(&planes[1], chroma), Upsampled::new(&planes[2], chroma)];
    let mut data = vec![S::default(); width * height * 3];
    wide!({
        for (y, row) in data.chunks_exact_mut(width * 3).enumerate() {
            planes[0].row(y, &mut luma);
            for chroma in &mut upsampled {
                chroma.make(y);
            }
            let chroma = upsampled[0].row().iter().zip(upsampled[1].row());
            for ((pixel, luma), (cb, cr)) in row.as_chunks_mut::<3>().0.iter_mut().zip(&luma).zip(chroma) {
                let numbers = [*luma, *cb, *cr];
                let [y, cb, cr] = std::array::from_fn(|i| (numbers[i] - offsets[i].0) * offsets[i].1);
                *pixel = rows.map(|[by_y, by_cb, by_cr]| sample(by_y * y + by_cb * cb + by_cr * cr));
            }
        }
    });
    Ok(Raster { width: frame.width, height: frame.height, channels: Channels::Rgb, data })
}

/// Of 0 to 1.
#[inline(always)]
fn sample<S: Sample>(value: f32) -> S {
    S::nearest(value * S::MAX.number() as f32)
}

/// Rows of a chroma plane at the picture's own size.
struct Upsampled<'a> {
    plane: &'a Plane,
    chroma: Chroma,
    /// The plane's row at the picture's row, between copies of its first and its last number.
    near: Vec<f32>,
    /// The plane's row on the other side of that row's centre.
    far: Vec<f32>,
    wide: Vec<f32>,
}

impl<'a> Upsampled<'a> {
    fn new(plane: &'a Plane, chroma: Chroma) -> Self {
        let row = |length| vec![0.0; length];
        Self { plane, chroma, near: row(plane.width + 2), far: row(plane.width), wide: row(2 * plane.width) }
    }

    #[inline(always)]
    fn make(&mut self, y: usize) {
        let width = self.plane.width;
        let near = &mut self.near[1..=width];
        if self.chroma.vertical {
            let far = if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { y / 2 + 1 };
            self.plane.row(y / 2, near);
            self.plane.row(far, &mut self.far);
            for (near, far) in near.iter_mut().zip(&self.far) {
                *near = 0.75 * *near + 0.25 * far;
            }
        } else {
            self.plane.row(y, near);
        }
        if self.chroma.horizontal {
            self.near[0] = self.near[1];
            self.near[width + 1] = self.near[width];
            let (pairs, _) = self.wide.as_chunks_mut::<2>();
            for (pair, [left, near, right]) in pairs.iter_mut().zip(self.near.array_windows()) {
                *pair = [0.75 * near + 0.25 * left, 0.75 * near + 0.25 * right];
            }
        }
    }

    #[inline(always)]
    fn row(&self) -> &[f32] {
        if self.chroma.horizontal { &self.wide } else { &self.near[1..=self.plane.width] }
    }
}
