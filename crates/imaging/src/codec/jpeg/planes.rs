//! From planes with any sampling to pixels, like libjpeg-turbo: chroma of half the size is interpolated, and all other
//! components are repeated.

use super::header::JpegHeader;

/// A component's samples.
#[derive(Debug, Clone)]
pub(crate) struct Plane {
    /// Sampling factors of the component, and the largest ones of the frame.
    pub(crate) h: usize,
    pub(crate) v: usize,
    most: (usize, usize),
    /// Number of samples that contain the picture, along x and y.
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Samples from one row to the next, which are complete MCUs.
    pub(crate) stride: usize,
    data: Vec<u8>,
}

impl Plane {
    /// The planes of a picture of `size`, filled with `value`.
    pub(crate) fn all(header: &JpegHeader, size: (usize, usize), value: u8) -> Vec<Self> {
        Self::shapes(header, size)
            .map(|(plane, rows)| Self { data: vec![value; plane.stride * rows], ..plane })
            .collect()
    }

    /// Planes with these samples, in rows of complete MCUs; `None` if their number differs from the header.
    pub(super) fn with(header: &JpegHeader, size: (usize, usize), samples: Vec<Vec<u8>>) -> Option<Vec<Self>> {
        let planes = Self::shapes(header, size)
            .zip(samples)
            .map(|((plane, rows), data)| (data.len() == plane.stride * rows).then_some(Self { data, ..plane }));
        planes.collect::<Option<Vec<_>>>().filter(|planes| planes.len() == header.components.len())
    }

    /// The planes without samples, and their numbers of rows including padding.
    fn shapes(header: &JpegHeader, size: (usize, usize)) -> impl Iterator<Item = (Self, usize)> {
        // A picture of one component has no MCUs of several blocks, whatever its factors are.
        let single = header.components.len() == 1;
        let factor = move |factor: u8| if single { 1 } else { usize::from(factor) };
        let most = header.most();
        let most = (factor(most.0), factor(most.1));
        let mcus = (size.0.div_ceil(8 * most.0), size.1.div_ceil(8 * most.1));
        header.components.iter().map(move |component| {
            let (h, v) = (factor(component.h), factor(component.v));
            let (width, height) = ((size.0 * h).div_ceil(most.0), (size.1 * v).div_ceil(most.1));
            (Self { h, v, most, width, height, stride: mcus.0 * h * 8, data: Vec::new() }, mcus.1 * v * 8)
        })
    }

    /// Number of rows including padding.
    pub(crate) fn rows(&self) -> usize {
        self.data.len() / self.stride.max(1)
    }

    /// Stores the samples of row `row` of MCUs: `blocks` rows of blocks, with `across` samples in each row.
    pub(crate) fn put(&mut self, row: usize, blocks: usize, samples: &[u8], across: usize) {
        let rows = self.data.chunks_exact_mut(self.stride).skip(8 * row * blocks);
        for (target, samples) in rows.zip(samples.chunks_exact(across)) {
            target[..across].copy_from_slice(samples);
        }
    }

    fn row(&self, y: usize) -> &[u8] {
        &self.data[y * self.stride..][..self.width]
    }

    /// Writes row `y` of the picture, upsampled.
    fn upsampled(&self, y: usize, row: &mut [u8]) {
        let ratio = (self.most.0 == 2 * self.h, self.most.1 == 2 * self.v);
        let (even_h, even_v) = (self.most.0 == self.h, self.most.1 == self.v);
        // The neighbouring row that is nearer to the picture's row.
        let near =
            || self.row(if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { (y / 2 + 1).min(self.height - 1) });
        match ratio {
            _ if even_h && even_v => row.copy_from_slice(self.row(y)),
            (false, true) if even_h => {
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                for ((value, &this), &near) in row.iter_mut().zip(self.row(y / 2)).zip(near()) {
                    *value = ((u16::from(this) * 3 + u16::from(near) + bias) >> 2) as u8;
                }
            }
            (true, false) if even_v && self.width > 2 => {
                let samples = self.row(y);
                let at = |x: usize| u16::from(samples[x.min(self.width - 1)]);
                doubled(row, |x, beside| at(x) * 3 + at(beside), (1, 2), 2);
            }
            (true, true) if self.width > 2 => {
                let (this, near) = (self.row(y / 2), near());
                let at = |x: usize| {
                    let x = x.min(self.width - 1);
                    u16::from(this[x]) * 3 + u16::from(near[x])
                };
                doubled(row, |x, beside| at(x) * 3 + at(beside), (8, 7), 4);
            }
            _ => {
                let nearest = |place: usize, factor: usize, most: usize, side: usize| {
                    ((2 * place + 1) * factor / (2 * most)).min(side - 1)
                };
                let samples = self.row(nearest(y, self.v, self.most.1, self.height));
                for (x, value) in row.iter_mut().enumerate() {
                    *value = samples[nearest(x, self.h, self.most.0, self.width)];
                }
            }
        }
    }
}

/// Doubles a row: each sample is mixed with the one beside it, except the first and the last.
fn doubled(row: &mut [u8], mixed: impl Fn(usize, usize) -> u16, bias: (u16, u16), shift: u32) {
    for (x, value) in row.iter_mut().enumerate() {
        let sample = x / 2;
        let (beside, bias) =
            if x.is_multiple_of(2) { (sample.saturating_sub(1), bias.0) } else { (sample + 1, bias.1) };
        *value = ((mixed(sample, beside) + bias) >> shift) as u8;
    }
}

/// The picture's samples as stored, interleaved: grey, RGB, CMYK (inverted, as Adobe stores it). YCbCr and YCCK are
/// converted to RGB and CMYK.
pub(super) fn interleaved(planes: &[Plane], header: &JpegHeader, size: (usize, usize)) -> Vec<u8> {
    let count = planes.len();
    let mut data = vec![0; size.0 * size.1 * count];
    let mut rows = vec![vec![0; size.0]; count];
    let converts = header.is_ycbcr() || header.is_ycck();
    for (y, pixels) in data.chunks_exact_mut(size.0 * count).enumerate() {
        for (plane, row) in planes.iter().zip(&mut rows) {
            plane.upsampled(y, row);
        }
        for (x, pixel) in pixels.chunks_exact_mut(count).enumerate() {
            for (value, row) in pixel.iter_mut().zip(&rows) {
                *value = row[x];
            }
            if converts {
                let color = rgb(pixel[0], pixel[1], pixel[2]);
                let color = if count == 4 { color.map(|value| 255 - value) } else { color };
                pixel[..3].copy_from_slice(&color);
            }
        }
    }
    data
}

/// JFIF's full-range formula from Y, Cb and Cr, in 65536ths.
pub(crate) fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y) << 16, i32::from(cb) - 128, i32::from(cr) - 128);
    let r = y + 91_881 * cr;
    let g = y - 22_554 * cb - 46_802 * cr;
    let b = y + 116_130 * cb;
    [r, g, b].map(|v| ((v + HALF) >> 16).clamp(0, 255) as u8)
}
