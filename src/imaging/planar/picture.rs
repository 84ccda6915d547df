//! Pictures in Y, Cb and Cr planes, and what can be done to them without leaving those.
//!
//! Chroma is thought of as centred between the luma samples that share it (JFIF), so that luma
//! and chroma stay together through odd sizes, crops and quarter turns.

use fast_image_resize::images::{CroppedImage, Image, ImageRef};
use fast_image_resize::{PixelType, Resizer};
use libjpeg_turbo_rs::RawImage;

use crate::imaging::ops::geometry::Placement;
use crate::imaging::ops::resize;
use crate::imaging::ops::watermark::{Mark, mix, scaled};
use crate::imaging::raster::{Channels, Raster};
use crate::imaging::{Code, Error, Result};

/// A picture as a JPEG stores it: luma, and two chroma planes of fewer samples.
#[derive(Debug, Clone)]
pub(super) struct Planes {
    width: u32,
    height: u32,
    /// How many luma samples share one of chroma, along x and y.
    sampling: (u8, u8),
    /// Y, Cb and Cr.
    channels: [Plane; 3],
}

#[derive(Debug, Clone)]
struct Plane {
    width: u32,
    height: u32,
    /// Samples from one row to the next; the decoder pads rows to whole blocks.
    stride: u32,
    data: Vec<u8>,
}

impl Planes {
    /// `None` where the decoder's planes are not what `sampling` says.
    pub(super) fn new(raw: RawImage, sampling: (u8, u8)) -> Option<Self> {
        let (width, height) = (u32::try_from(raw.width).ok()?, u32::try_from(raw.height).ok()?);
        let mut planes = Vec::with_capacity(3);
        for (i, data) in raw.planes.into_iter().enumerate() {
            let (stride, rows) = (*raw.plane_widths.get(i)?, *raw.plane_heights.get(i)?);
            let (h, v) = if i == 0 { (1, 1) } else { (sampling.0.into(), sampling.1.into()) };
            let plane = Plane {
                width: width.div_ceil(h),
                height: height.div_ceil(v),
                stride: u32::try_from(stride).ok()?,
                data,
            };
            let enough =
                plane.stride >= plane.width && rows >= plane.height as usize && plane.data.len() >= stride * rows;
            if !enough {
                return None;
            }
            planes.push(plane);
        }
        Some(Self { width, height, sampling, channels: planes.try_into().ok()? })
    }

    pub(super) fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    pub(super) fn is_packed(&self) -> bool {
        self.channels.iter().all(Plane::is_packed)
    }

    /// Without padding between rows.
    pub(super) fn packed(self) -> Self {
        Self { channels: self.channels.map(Plane::packed), ..self }
    }

    pub(super) fn samples(&self) -> [&[u8]; 3] {
        self.channels.each_ref().map(|plane| &plane.data[..])
    }

    /// Whether it is 4:2:0.
    pub(super) fn is_halved(&self) -> bool {
        self.sampling == (2, 2)
    }

    /// At 4:2:0, by averaging, as encoders do.
    pub(super) fn halved(self) -> Self {
        if self.is_halved() {
            return self;
        }
        let (h, v) = (2 / u32::from(self.sampling.0), 2 / u32::from(self.sampling.1));
        let [y, cb, cr] = self.channels;
        let channels = [y, cb.averaged(h, v), cr.averaged(h, v)];
        Self { sampling: (2, 2), channels, ..self }
    }

    /// Resampled to 4:2:0 at the placement's size.
    pub(super) fn resized(&self, placement: &Placement, resizer: &mut Resizer) -> Result<Self> {
        let (width, height) = placement.scaled;
        let channels = self.resampled(placement, (2, 2), resizer)?;
        Ok(Self { width, height, sampling: (2, 2), channels })
    }

    /// Resampled, and converted to RGB.
    pub(super) fn to_rgb(&self, placement: &Placement, resizer: &mut Resizer) -> Result<Raster> {
        let (width, height) = placement.scaled;
        let [luma, cb, cr] = self.resampled(placement, (1, 1), resizer)?;
        let chroma = cb.data.iter().zip(&cr.data);
        let data = luma.data.iter().zip(chroma).flat_map(|(&y, (&cb, &cr))| rgb(y, cb, cr)).collect();
        Ok(Raster { width, height, channels: Channels::Rgb, data })
    }

    /// The planes at the placement's size, chroma divided by `target`.
    fn resampled(&self, placement: &Placement, target: (u8, u8), resizer: &mut Resizer) -> Result<[Plane; 3]> {
        let (width, height) = placement.scaled;
        let full = [0.0, 0.0, f64::from(self.width), f64::from(self.height)];
        // The picture may be an intermediate, smaller than the one the crop was made for.
        let crop = if placement.whole { full } else { placement.crop };
        // A chroma sample stands in the middle of the luma samples that share it, so that chroma
        // scales as luma does. An odd side leaves the last sample half outside.
        let along = |[start, length]: [f64; 2], side: u32, from: u8, to: u8, limit: u32| {
            let samples = side.div_ceil(to.into());
            let covered = f64::from(samples) * f64::from(to) / f64::from(side);
            let (start, length) = (start / f64::from(from), length / f64::from(from) * covered);
            (samples, start, length.min(f64::from(limit) - start))
        };
        let mut scale = |plane: &Plane, from: (u8, u8), to: (u8, u8)| {
            let (w, left, crop_w) = along([crop[0], crop[2]], width, from.0, to.0, plane.width);
            let (h, top, crop_h) = along([crop[1], crop[3]], height, from.1, to.1, plane.height);
            let part = Placement { crop: [left, top, crop_w, crop_h], scaled: (w, h), canvas: None, ..*placement };
            plane.scaled(&part, resizer)
        };
        let [y, cb, cr] = &self.channels;
        Ok([scale(y, (1, 1), (1, 1))?, scale(cb, self.sampling, target)?, scale(cr, self.sampling, target)?])
    }

    /// The upright picture; its sides must be multiples of the sampling, or chroma would shift.
    pub(super) fn oriented(self, orientation: u8) -> Self {
        let turned = orientation >= 5;
        let (h, v) = self.sampling;
        let channels = self.channels.map(|plane| plane.packed().oriented(orientation));
        let [Plane { width, height, .. }, ..] = channels;
        Self { width, height, sampling: if turned { (v, h) } else { (h, v) }, channels }
    }

    /// Blends the mark in, as `watermark::draw` does in RGB. The picture is 4:2:0.
    pub(super) fn draw(&mut self, mark: &Mark) {
        debug_assert_eq!(self.sampling, (2, 2));
        let [luma, cb, cr] = ycbcr(mark.color);
        let (left, top) = (mark.x as usize, mark.y as usize);
        let columns = mark.mask.width.min(self.width.saturating_sub(mark.x)) as usize;
        // The sums of coverage over each chroma sample's four pixels.
        let chroma_left = left / 2;
        let chroma_columns = (left + columns).div_ceil(2) - chroma_left;
        let mut sums = vec![0_u16; chroma_columns];
        let rows = mark.mask.height.min(self.height.saturating_sub(mark.y)) as usize;
        let stride = self.channels[0].stride as usize;
        for (i, coverage) in mark.mask.rows().take(rows).enumerate() {
            let y = top + i;
            let row = &mut self.channels[0].data[y * stride + left..][..columns];
            for (x, (sample, &coverage)) in row.iter_mut().zip(coverage).enumerate() {
                let alpha = scaled(mark.alpha, coverage);
                *sample = mix(*sample, luma, alpha);
                sums[((left + x) >> 1) - chroma_left] += u16::from(alpha);
            }
            if y % 2 == 1 || i + 1 == rows {
                for (plane, value) in [(1, cb), (2, cr)] {
                    self.channels[plane].blend(chroma_left, y / 2, &sums, value);
                }
                sums.fill(0);
            }
        }
    }
}

impl Plane {
    fn is_packed(&self) -> bool {
        self.stride == self.width
    }

    fn packed(mut self) -> Self {
        let (width, stride, height) = (self.width as usize, self.stride as usize, self.height as usize);
        if stride != width {
            for y in 1..height {
                self.data.copy_within(y * stride..y * stride + width, y * width);
            }
        }
        self.data.truncate(width * height);
        Self { stride: self.width, ..self }
    }

    fn scaled(&self, placement: &Placement, resizer: &mut Resizer) -> Result<Self> {
        let broken = |what: String| Error::new(Code::DecoderFailure, format!("resizing: {what}"));
        let (width, height) = placement.scaled;
        let mut data = vec![0; width as usize * height as usize];
        let rows = self.stride as usize * self.height as usize;
        let source = ImageRef::new(self.stride, self.height, &self.data[..rows], PixelType::U8)
            .map_err(|error| broken(error.to_string()))?;
        let source =
            CroppedImage::new(&source, 0, 0, self.width, self.height).map_err(|error| broken(error.to_string()))?;
        let mut target =
            Image::from_slice_u8(width, height, &mut data, PixelType::U8).map_err(|error| broken(error.to_string()))?;
        resizer.resize(&source, &mut target, &resize::options(placement)).map_err(|error| broken(error.to_string()))?;
        Ok(Self { width, height, stride: width, data })
    }

    /// Every `h` × `v` samples become one; those beyond the edges count as their neighbours.
    fn averaged(&self, h: u32, v: u32) -> Self {
        let (width, height) = (self.width.div_ceil(h), self.height.div_ceil(v));
        let (stride, h, v) = (self.stride as usize, h as usize, v as usize);
        let row = |y: usize| {
            let y = y.min(self.height as usize - 1);
            &self.data[y * stride..y * stride + self.width as usize]
        };
        let mut data = Vec::with_capacity(width as usize * height as usize);
        for y in 0..height as usize {
            let (upper, lower) = (row(y * v), row(y * v + v - 1));
            let sum = |x: usize| u16::from(upper[x]) + u16::from(lower[x]);
            if h == 1 {
                data.extend((0..upper.len()).map(|x| (sum(x).div_ceil(2)) as u8));
            } else {
                let pairs = upper.len() / 2;
                data.extend((0..pairs).map(|x| ((sum(2 * x) + sum(2 * x + 1) + 2) / 4) as u8));
                data.extend((2 * pairs..upper.len()).map(|x| sum(x).div_ceil(2) as u8));
            }
        }
        Self { width, height, stride: width, data }
    }

    fn oriented(self, orientation: u8) -> Self {
        let Self { width, height, data, .. } = self;
        let turned = Raster { width, height, channels: Channels::Gray, data }.oriented(orientation);
        Self { width: turned.width, height: turned.height, stride: turned.width, data: turned.data }
    }

    /// Blends `value` into a row, by sums of four alphas.
    fn blend(&mut self, left: usize, y: usize, sums: &[u16], value: u8) {
        let start = y * self.stride as usize + left;
        for (sample, &sum) in self.data[start..].iter_mut().zip(sums) {
            let (below, sum) = (u32::from(*sample), u32::from(sum));
            *sample = ((u32::from(value) * sum + below * (1020 - sum) + 510) / 1020) as u8;
        }
    }
}

/// JFIF's full-range formula.
fn ycbcr([r, g, b]: [u8; 3]) -> [u8; 3] {
    let (r, g, b) = (f32::from(r), f32::from(g), f32::from(b));
    [
        0.299 * r + 0.587 * g + 0.114 * b,
        128.0 - 0.168_736 * r - 0.331_264 * g + 0.5 * b,
        128.0 + 0.5 * r - 0.418_688 * g - 0.081_312 * b,
    ]
    .map(|v| v.round().clamp(0.0, 255.0) as u8)
}

/// The formula's inverse, in 65536ths.
fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y) << 16, i32::from(cb) - 128, i32::from(cr) - 128);
    let r = y + 91_881 * cr;
    let g = y - 22_554 * cb - 46_802 * cr;
    let b = y + 116_130 * cb;
    [r, g, b].map(|v| ((v + HALF) >> 16).clamp(0, 255) as u8)
}
