//! From planes of luma and chroma to pixels, by the matrices of ITU-T H.273.
//!
//! Chroma is interpolated linearly between the centres of what its samples cover.

use super::av1::{Chroma, Frame, Plane};
use crate::imaging::codec::reader::unsupported;
use crate::imaging::raster::{Channels, Raster, Sample};
use crate::imaging::{Format, Result};

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
    let mut row = vec![0.0; plane.width];
    let mut data = Vec::with_capacity(plane.width * plane.height);
    for y in 0..plane.height {
        plane.row(y, &mut row);
        data.extend(row.iter().map(|value| sample::<S>((value - offset) * factor)));
    }
    Raster { width: frame.width, height: frame.height, channels: Channels::Gray, data }
}

/// RGB, or grey where there is no chroma.
pub(super) fn to_rgb<S: Sample>(frame: &Frame, matrix: u16, full_range: bool) -> Result<Raster<S>> {
    let Some(chroma) = frame.chroma else { return Ok(luma(frame, full_range)) };
    let matrix = Matrix::of(matrix)?;
    let whole = !chroma.horizontal && !chroma.vertical;
    if matches!(matrix, Matrix::Identity) && !whole {
        return Err(unsupported(Format::Avif, "RGB planes must not be subsampled"));
    }
    let scale = Scale::of(frame.bits, full_range);
    let planes = [0, 1, 2].map(|i| frame.plane(i));
    let (width, height) = (frame.width as usize, frame.height as usize);
    let mut luma = vec![0.0; width];
    let mut upsampled = [Upsampled::new(&planes[1], chroma, width), Upsampled::new(&planes[2], chroma, width)];
    let mut data = vec![S::default(); width * height * 3];
    for (y, row) in data.chunks_exact_mut(width * 3).enumerate() {
        planes[0].row(y, &mut luma);
        for chroma in &mut upsampled {
            chroma.make(y);
        }
        let [cb, cr] = [upsampled[0].row(), upsampled[1].row()];
        let (pixels, _) = row.as_chunks_mut::<3>();
        let samples = luma.iter().zip(cb).zip(cr).map(|((&y, &cb), &cr)| {
            (
                (y - scale.luma.0) * scale.luma.1,
                (cb - scale.chroma.0) * scale.chroma.1,
                (cr - scale.chroma.0) * scale.chroma.1,
            )
        });
        match matrix {
            Matrix::Identity => {
                let (offset, factor) = scale.luma;
                for (pixel, ((&g, &b), &r)) in pixels.iter_mut().zip(luma.iter().zip(cb).zip(cr)) {
                    *pixel = [r, g, b].map(|value| sample((value - offset) * factor));
                }
            }
            Matrix::YCgCo => {
                for (pixel, (y, cg, co)) in pixels.iter_mut().zip(samples) {
                    let rest = y - cg;
                    *pixel = [rest + co, y + cg, rest - co].map(sample);
                }
            }
            Matrix::Weights(kr, kb) => {
                let kg = 1.0 - kr - kb;
                let (red, blue) = (2.0 * (1.0 - kr), 2.0 * (1.0 - kb));
                let (green_by_blue, green_by_red) = (-blue * kb / kg, -red * kr / kg);
                for (pixel, (y, cb, cr)) in pixels.iter_mut().zip(samples) {
                    *pixel = [y + red * cr, y + green_by_blue * cb + green_by_red * cr, y + blue * cb].map(sample);
                }
            }
        }
    }
    Ok(Raster { width: frame.width, height: frame.height, channels: Channels::Rgb, data })
}

fn sample<S: Sample>(value: f32) -> S {
    S::from_number((value.clamp(0.0, 1.0) * S::MAX.number() as f32 + 0.5) as u32)
}

/// Rows of a chroma plane at the picture's own size.
struct Upsampled<'a> {
    plane: &'a Plane,
    chroma: Chroma,
    /// The plane's rows above and below the centre of the picture's row.
    near: Vec<f32>,
    far: Vec<f32>,
    wide: Vec<f32>,
}

impl<'a> Upsampled<'a> {
    fn new(plane: &'a Plane, chroma: Chroma, width: usize) -> Self {
        let row = vec![0.0; plane.width];
        Self { plane, chroma, near: row.clone(), far: row, wide: vec![0.0; width] }
    }

    fn make(&mut self, y: usize) {
        if self.chroma.vertical {
            let near = y / 2;
            let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(self.plane.height - 1) };
            self.plane.row(near, &mut self.near);
            self.plane.row(far, &mut self.far);
            for (near, far) in self.near.iter_mut().zip(&self.far) {
                *near = 0.75 * *near + 0.25 * far;
            }
        } else {
            self.plane.row(y, &mut self.near);
        }
        if !self.chroma.horizontal {
            return;
        }
        let last = self.near.len() - 1;
        for (x, value) in self.wide.iter_mut().enumerate() {
            let near = x / 2;
            let far = if x % 2 == 0 { near.saturating_sub(1) } else { (near + 1).min(last) };
            *value = 0.75 * self.near[near] + 0.25 * self.near[far];
        }
    }

    fn row(&self) -> &[f32] {
        if self.chroma.horizontal { &self.wide } else { &self.near }
    }
}
