//! One plane of a picture: the samples of luma or of a chroma channel.

use std::borrow::Cow;

use fast_image_resize::images::{CroppedImage, Image, ImageRef};
use fast_image_resize::{PixelType, Resizer};

use crate::ops::geometry::Placement;
use crate::ops::resize;
use crate::raster::{Channels, Raster};
use crate::{Code, Error, Result};

#[derive(Debug, Clone)]
pub(super) struct Plane {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Samples from one row to the next; the decoder pads rows to whole blocks.
    pub(super) stride: u32,
    /// The picture's first edge, in samples. It is inside the first sample if that sample was at the far edge before a turn.
    pub(super) origin: (f64, f64),
    pub(super) data: Vec<u8>,
}

impl Plane {
    pub(super) fn is_packed(&self) -> bool {
        self.stride == self.width
    }

    pub(super) fn packed(mut self) -> Self {
        let (width, stride, height) = (self.width as usize, self.stride as usize, self.height as usize);
        if stride != width {
            for y in 1..height {
                self.data.copy_within(y * stride..y * stride + width, y * width);
            }
        }
        self.data.truncate(width * height);
        Self { stride: self.width, ..self }
    }

    /// Itself, or with the last column and row repeated up to these ends.
    pub(super) fn reaching(&self, right: f64, bottom: f64) -> Cow<'_, Self> {
        // Less than that is rounding, for which nothing is copied.
        let beyond = |end: f64, side: u32| (end - f64::from(side) - 1e-6).ceil().max(0.0) as u32;
        let (columns, rows) = (beyond(right, self.width), beyond(bottom, self.height));
        if (columns, rows) == (0, 0) {
            return Cow::Borrowed(self);
        }
        let (width, height) = (self.width + columns, self.height + rows);
        let mut data = Vec::with_capacity(width as usize * height as usize);
        for row in self.data.chunks(self.stride as usize).take(self.height as usize) {
            let row = &row[..self.width as usize];
            data.extend_from_slice(row);
            data.extend(row.last().into_iter().cycle().take(columns as usize));
        }
        for _ in 0..rows {
            data.extend_from_within(data.len() - width as usize..);
        }
        Cow::Owned(Self { width, height, stride: width, origin: self.origin, data })
    }

    pub(super) fn scaled(&self, placement: &Placement, resizer: &mut Resizer) -> Result<Self> {
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
        Ok(Self { width, height, stride: width, origin: (0.0, 0.0), data })
    }

    /// Every `h` × `v` samples become one; those beyond the edges count as their neighbours.
    pub(super) fn averaged(&self, h: u32, v: u32) -> Self {
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
        Self { width, height, stride: width, origin: (0.0, 0.0), data }
    }

    /// `covered`: how many of its samples the picture takes, along x and y.
    pub(super) fn oriented(self, orientation: u8, covered: (f64, f64)) -> Self {
        let Self { width, height, data, .. } = self;
        // What the last samples have too much comes first where a side is reversed.
        let (over_x, over_y) = (f64::from(width) - covered.0, f64::from(height) - covered.1);
        let origin = match orientation {
            2 => (over_x, 0.0),
            3 => (over_x, over_y),
            4 => (0.0, over_y),
            6 => (over_y, 0.0),
            7 => (over_y, over_x),
            8 => (0.0, over_x),
            _ => (0.0, 0.0),
        };
        let turned = Raster { width, height, channels: Channels::Gray, data }.oriented(orientation);
        Self { width: turned.width, height: turned.height, stride: turned.width, origin, data: turned.data }
    }

    /// Blends a row in, by sums of alphas, of which `full` hides what was there, and of the values weighted by them.
    pub(super) fn blend(&mut self, left: usize, y: usize, sums: impl Iterator<Item = (u32, u32)>, full: u32) {
        let start = y * self.stride as usize + left;
        for (sample, (alpha, weighted)) in self.data[start..].iter_mut().zip(sums) {
            *sample = ((weighted + u32::from(*sample) * (full - alpha) + full / 2) / full) as u8;
        }
    }
}
