//! Pictures in Y, Cb and Cr planes, and what can be done to them without leaving those.
//!
//! Chroma is thought of as centred between the luma samples that share it (JFIF), so that luma
//! and chroma stay together through odd sizes, crops and quarter turns.

use fast_image_resize::Resizer;
use libjpeg_turbo_rs::RawImage;

use crate::Result;
use crate::codec::jpeg;
use crate::codec::jpeg::coefficients::{Coefficients, Component};
use crate::ops::geometry::Placement;
use crate::ops::watermark::{Layer, Mark, Strip, mix, scaled};
use crate::raster::{Channels, Raster};

use super::plane::Plane;
use super::region::Region;

/// A picture as a JPEG stores it: luma, and two chroma planes of fewer samples.
#[derive(Debug, Clone)]
pub(in crate::routes) struct Planes {
    width: u32,
    height: u32,
    /// How many pixels a side share one luma sample: 1, or more in a picture decoded at a reduced scale.
    shrink: u8,
    /// How many luma samples share one of chroma, along x and y.
    sampling: (u8, u8),
    /// Y, Cb and Cr.
    channels: [Plane; 3],
}

impl Planes {
    /// `None` if the decoder's planes do not have the size that `sampling` gives.
    pub(in crate::routes) fn new(raw: RawImage, sampling: (u8, u8)) -> Option<Self> {
        let (width, height) = (u32::try_from(raw.width).ok()?, u32::try_from(raw.height).ok()?);
        let mut planes = Vec::with_capacity(3);
        for (i, data) in raw.planes.into_iter().enumerate() {
            let (stride, rows) = (*raw.plane_widths.get(i)?, *raw.plane_heights.get(i)?);
            let (h, v) = if i == 0 { (1, 1) } else { (sampling.0.into(), sampling.1.into()) };
            let plane = Plane {
                width: width.div_ceil(h),
                height: height.div_ceil(v),
                stride: u32::try_from(stride).ok()?,
                origin: (0.0, 0.0),
                data,
            };
            let enough =
                plane.stride >= plane.width && rows >= plane.height as usize && plane.data.len() >= stride * rows;
            if !enough {
                return None;
            }
            planes.push(plane);
        }
        Some(Self { width, height, shrink: 1, sampling, channels: planes.try_into().ok()? })
    }

    /// At 1/`shrink` (1, 2, 4 or 8) of the size. `None` unless there are luma and two chroma components.
    pub(in crate::routes) fn of(coefficients: &Coefficients, shrink: u8) -> Option<Self> {
        let Coefficients { width, height, .. } = *coefficients;
        let [luma, cb, cr] = coefficients.components.as_slice() else { return None };
        let sampling = (luma.h as u8, luma.v as u8);
        let plane = |component: &Component, (h, v): (u8, u8)| {
            let size = 8 / u32::from(shrink);
            Plane {
                width: width.div_ceil(u32::from(shrink) * u32::from(h)),
                height: height.div_ceil(u32::from(shrink) * u32::from(v)),
                stride: component.across as u32 * size,
                origin: (0.0, 0.0),
                data: component.samples(size as usize),
            }
        };
        let channels = [plane(luma, (1, 1)), plane(cb, sampling), plane(cr, sampling)];
        Some(Self { width, height, shrink, sampling, channels })
    }

    /// The samples of some of its MCUs; their pixels beyond the picture's `size` are not its.
    pub(in crate::routes) fn part(coefficients: &Coefficients, mcus: &Region, size: (u32, u32)) -> Option<Self> {
        let [luma, ..] = coefficients.components.as_slice() else { return None };
        let sampling = (luma.h as u8, luma.v as u8);
        let planes = coefficients.components.iter().map(|component| {
            let (blocks, count) = mcus.blocks(component.h, component.v);
            let (width, height) = (8 * count.0 as u32, 8 * count.1 as u32);
            Plane { width, height, stride: width, origin: (0.0, 0.0), data: component.part(blocks, count) }
        });
        let channels = planes.collect::<Vec<_>>().try_into().ok()?;
        Some(Self { width: size.0, height: size.1, shrink: 1, sampling, channels })
    }

    pub(in crate::routes) fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    pub(in crate::routes) fn is_packed(&self) -> bool {
        self.channels.iter().all(Plane::is_packed)
    }

    /// Without padding between rows.
    pub(in crate::routes) fn packed(self) -> Self {
        Self { channels: self.channels.map(Plane::packed), ..self }
    }

    pub(in crate::routes) fn samples(&self) -> [&[u8]; 3] {
        self.channels.each_ref().map(|plane| &plane.data[..])
    }

    /// A block's samples, of the plane of this channel.
    pub(in crate::routes) fn block(&self, channel: usize, x: usize, y: usize) -> [u8; 64] {
        let plane = &self.channels[channel];
        let mut samples = [0; 64];
        for (i, row) in samples.chunks_exact_mut(8).enumerate() {
            let start = (8 * y + i) * plane.stride as usize + 8 * x;
            row.copy_from_slice(&plane.data[start..start + 8]);
        }
        samples
    }

    /// Repeats the picture's last pixels beyond its edges, so that samples there cost few bytes and change no pixel inside.
    pub(in crate::routes) fn extended(mut self) -> Self {
        for (i, plane) in self.channels.iter_mut().enumerate() {
            let (h, v) = if i == 0 { (1, 1) } else { self.sampling };
            let (width, height) = (self.width.div_ceil(h.into()) as usize, self.height.div_ceil(v.into()) as usize);
            let stride = plane.stride as usize;
            for row in plane.data.chunks_exact_mut(stride).take(height) {
                let (inside, beyond) = row.split_at_mut(width);
                beyond.fill(inside[width - 1]);
            }
            for y in height..plane.height as usize {
                plane.data.copy_within((height - 1) * stride..height * stride, y * stride);
            }
        }
        self
    }

    /// Whether it is 4:2:0.
    pub(in crate::routes) fn is_halved(&self) -> bool {
        self.sampling == (2, 2)
    }

    /// At 4:2:0, by averaging, as encoders do.
    pub(in crate::routes) fn halved(self) -> Self {
        if self.is_halved() {
            return self;
        }
        let (h, v) = (2 / u32::from(self.sampling.0), 2 / u32::from(self.sampling.1));
        let [y, cb, cr] = self.channels;
        let channels = [y, cb.averaged(h, v), cr.averaged(h, v)];
        Self { sampling: (2, 2), channels, ..self }
    }

    /// Resampled to 4:2:0 at the placement's size.
    pub(in crate::routes) fn resized(&self, placement: &Placement, resizer: &mut Resizer) -> Result<Self> {
        let (width, height) = placement.scaled;
        let channels = self.resampled(placement, (2, 2), resizer)?;
        Ok(Self { width, height, shrink: 1, sampling: (2, 2), channels })
    }

    /// Resampled, and converted to RGB.
    pub(in crate::routes) fn to_rgb(&self, placement: &Placement, resizer: &mut Resizer) -> Result<Raster> {
        let (width, height) = placement.scaled;
        let [luma, cb, cr] = self.resampled(placement, (1, 1), resizer)?;
        let chroma = cb.data.iter().zip(&cr.data);
        let data = luma.data.iter().zip(chroma).flat_map(|(&y, (&cb, &cr))| jpeg::rgb(y, cb, cr)).collect();
        Ok(Raster { width, height, channels: Channels::Rgb, data })
    }

    /// The planes at the placement's size, chroma divided by `target`.
    fn resampled(&self, placement: &Placement, target: (u8, u8), resizer: &mut Resizer) -> Result<[Plane; 3]> {
        let (width, height) = placement.scaled;
        let full = [0.0, 0.0, f64::from(self.width), f64::from(self.height)];
        // The picture may be an intermediate, smaller than the one the crop was made for.
        let crop = if placement.whole { full } else { placement.crop };
        // A chroma sample stands in the middle of the luma samples that share it, so that chroma
        // scales as luma does. An odd side leaves the last sample half outside: the crop then ends beyond the plane.
        let along = |[start, length]: [f64; 2], origin: f64, side: u32, from: u8, to: u8| {
            let samples = side.div_ceil(to.into());
            let covered = f64::from(samples) * f64::from(to) / f64::from(side);
            let from = f64::from(from) * f64::from(self.shrink);
            (samples, start / from + origin, length / from * covered)
        };
        let mut scale = |plane: &Plane, from: (u8, u8), to: (u8, u8)| {
            let (w, left, crop_w) = along([crop[0], crop[2]], plane.origin.0, width, from.0, to.0);
            let (h, top, crop_h) = along([crop[1], crop[3]], plane.origin.1, height, from.1, to.1);
            let plane = plane.reaching(left + crop_w, top + crop_h);
            let crop_w = crop_w.min(f64::from(plane.width) - left);
            let crop_h = crop_h.min(f64::from(plane.height) - top);
            let part = Placement { crop: [left, top, crop_w, crop_h], scaled: (w, h), canvas: None, ..*placement };
            plane.scaled(&part, resizer)
        };
        let [y, cb, cr] = &self.channels;
        Ok([scale(y, (1, 1), (1, 1))?, scale(cb, self.sampling, target)?, scale(cr, self.sampling, target)?])
    }

    /// The upright picture.
    pub(in crate::routes) fn oriented(self, orientation: u8) -> Self {
        let turned = orientation >= 5;
        let unit = |factor: u8| f64::from(factor) * f64::from(self.shrink);
        let (h, v) = self.sampling;
        let mut first = true;
        let channels = self.channels.map(|plane| {
            let (h, v) = if std::mem::take(&mut first) { (1, 1) } else { (h, v) };
            let covered = (f64::from(self.width) / unit(h), f64::from(self.height) / unit(v));
            plane.packed().oriented(orientation, covered)
        });
        let (width, height) = if turned { (self.height, self.width) } else { (self.width, self.height) };
        Self { width, height, sampling: if turned { (v, h) } else { (h, v) }, channels, ..self }
    }

    /// Blends the mark in, as `watermark::draw` does in RGB.
    ///
    /// # Errors
    /// The error of `go_on`, which is called at each place.
    pub(in crate::routes) fn draw(&mut self, mark: &Mark, go_on: &dyn Fn() -> Result<()>) -> Result<()> {
        let size = self.size();
        let mut sums = vec![[0; 3]; self.channels[1].width as usize];
        match mark.layer() {
            Layer::Plain { mask, color, alpha } => {
                let color = ycbcr(color);
                for at in mark.places(size) {
                    go_on()?;
                    self.blend(mark.strips(at, size), &mut sums, |strip| {
                        let row = mask.row(strip.row)[strip.columns.clone()].iter();
                        row.map(move |&coverage| (color, scaled(alpha, coverage)))
                    });
                }
            }
            Layer::Picture { raster, alpha } => {
                // Converted once for all places.
                let pixels = raster.data.as_chunks::<4>().0.iter();
                let layer: Vec<_> = pixels.map(|&[r, g, b, a]| (ycbcr([r, g, b]), scaled(alpha, a))).collect();
                for at in mark.places(size) {
                    go_on()?;
                    self.blend(mark.strips(at, size), &mut sums, |strip| {
                        layer[strip.row * raster.width as usize..][strip.columns.clone()].iter().copied()
                    });
                }
            }
        }
        Ok(())
    }

    /// Blends strips of colours and their alpha in; chroma takes the mean of the pixels that share a sample.
    ///
    /// `sums` are, over each chroma sample's pixels, those of alpha, and of both colours weighted by it; 0 before and after.
    fn blend<R: Iterator<Item = ([u8; 3], u8)>>(
        &mut self,
        strips: impl Iterator<Item = Strip>,
        sums: &mut [[u32; 3]],
        ink: impl Fn(&Strip) -> R,
    ) {
        let (h, v) = (usize::from(self.sampling.0), usize::from(self.sampling.1));
        let full = 255 * (h * v) as u32;
        let stride = self.channels[0].stride as usize;
        let mut strips = strips.peekable();
        // The first of the sums that may be more than 0, and the first after them.
        let (mut first, mut end) = (usize::MAX, 0);
        while let Some(strip) = strips.next() {
            let (x, y) = (strip.x, strip.y);
            let row = &mut self.channels[0].data[y * stride + x..][..strip.columns.len()];
            for (x, (sample, ([luma, cb, cr], alpha))) in (x..).zip(row.iter_mut().zip(ink(&strip))) {
                *sample = mix(*sample, luma, alpha);
                let alpha = u32::from(alpha);
                for (sum, value) in sums[x / h].iter_mut().zip([1, u32::from(cb), u32::from(cr)]) {
                    *sum += alpha * value;
                }
            }
            first = first.min(x / h);
            end = end.max((x + strip.columns.len()).div_ceil(h));
            if strips.peek().is_none_or(|next| next.y / v != y / v) {
                let sums = &mut sums[first..end];
                for channel in [1, 2] {
                    let sums = sums.iter().map(|sum| (sum[0], sum[channel]));
                    self.channels[channel].blend(first, y / v, sums, full);
                }
                sums.fill([0; 3]);
                (first, end) = (usize::MAX, 0);
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Resize;
    use crate::ops::geometry;

    type Wave = dyn Fn(f64, f64) -> f64;

    /// By place in the picture, from 0 to 1 along x and y.
    fn wave(x: f64, y: f64) -> f64 {
        128.0 + 50.0 * (44.0 * x).sin() + 50.0 * (31.0 * y).sin()
    }

    /// A picture with the wave in its chroma.
    fn picture(width: u32, height: u32, sampling: (u8, u8)) -> Planes {
        let plane = |h: u8, v: u8| {
            let (across, down) = (width.div_ceil(h.into()), height.div_ceil(v.into()));
            let centre = |i: u32, factor: u8, side: u32| (f64::from(i) + 0.5) * f64::from(factor) / f64::from(side);
            let row = |y: u32| (0..across).map(move |x| wave(centre(x, h, width), centre(y, v, height)).round() as u8);
            Plane {
                width: across,
                height: down,
                stride: across,
                origin: (0.0, 0.0),
                data: (0..down).flat_map(row).collect(),
            }
        };
        let (luma, chroma) = (plane(1, 1), plane(sampling.0, sampling.1));
        Planes { width, height, shrink: 1, sampling, channels: [luma, chroma.clone(), chroma] }
    }

    fn scaled(planes: &Planes, width: u32, height: u32) -> Planes {
        let wanted = Resize::fill(width, height);
        planes.resized(&geometry::resize(&wanted, planes.size()), &mut Resizer::new()).unwrap()
    }

    /// How far chroma is off along x and y in the last quarter of both, in pixels. The last sample counts only where
    /// all of it is inside the picture: beyond the edge there is no wave.
    fn shift(planes: &Planes, wanted: &Wave) -> (f64, f64) {
        let (width, height) = (f64::from(planes.width), f64::from(planes.height));
        let chroma = &planes.channels[1];
        let mut sums = [(0.0, 0.0); 2];
        for j in chroma.height * 3 / 4..planes.height / 2 {
            for i in chroma.width * 3 / 4..planes.width / 2 {
                let (x, y) = (f64::from(2 * i + 1) / width, f64::from(2 * j + 1) / height);
                let off = f64::from(chroma.data[(j * chroma.stride + i) as usize]) - wanted(x, y);
                let slopes = [
                    (wanted(x + 0.5 / width, y) - wanted(x - 0.5 / width, y)),
                    (wanted(x, y + 0.5 / height) - wanted(x, y - 0.5 / height)),
                ];
                for (sum, slope) in sums.iter_mut().zip(slopes) {
                    *sum = (sum.0 + off * slope, sum.1 + slope * slope);
                }
            }
        }
        let [x, y] = sums.map(|(sum, weight): (f64, f64)| sum / weight);
        (x, y)
    }

    fn assert_in_place(name: &str, planes: &Planes, wanted: &Wave) {
        let (x, y) = shift(planes, wanted);
        assert!(x.abs() < 0.05 && y.abs() < 0.05, "{name}: chroma is off by {x:.3} and {y:.3} pixels");
    }

    const SIZES: [(u32, u32); 6] = [(500, 333), (500, 334), (375, 251), (376, 250), (333, 221), (113, 75)];

    #[test]
    fn chroma_stays_in_place_at_odd_and_even_sides() {
        for sampling in [(2, 2), (2, 1), (1, 2), (1, 1)] {
            for source in [(1000, 668), (999, 667), (1500, 1001)] {
                let planes = picture(source.0, source.1, sampling);
                for (width, height) in SIZES {
                    let name = format!("{source:?} with {sampling:?} to {width}×{height}");
                    assert_in_place(&name, &scaled(&planes, width, height), &wave);
                }
            }
        }
    }

    #[test]
    fn chroma_of_turned_pictures_stays_in_place() {
        let turned: [(u8, &Wave); 7] = [
            (2, &|x, y| wave(1.0 - x, y)),
            (3, &|x, y| wave(1.0 - x, 1.0 - y)),
            (4, &|x, y| wave(x, 1.0 - y)),
            (5, &|x, y| wave(y, x)),
            (6, &|x, y| wave(y, 1.0 - x)),
            (7, &|x, y| wave(1.0 - y, 1.0 - x)),
            (8, &|x, y| wave(1.0 - y, x)),
        ];
        for (orientation, wanted) in turned {
            for source in [(1000, 668), (999, 667)] {
                let planes = picture(source.0, source.1, (2, 2)).oriented(orientation);
                for (width, height) in SIZES {
                    let name = format!("{source:?} by {orientation} to {width}×{height}");
                    assert_in_place(&name, &scaled(&planes, width, height), wanted);
                }
            }
        }
    }

    #[test]
    fn chroma_stays_in_place_when_what_was_resized_is_resized_again() {
        let planes = picture(1600, 1068, (2, 2));
        for (width, height) in [(801, 535), (800, 534), (799, 533)] {
            let first = scaled(&planes, width, height);
            for (width, height) in SIZES {
                let name = format!("{:?} to {width}×{height}", first.size());
                assert_in_place(&name, &scaled(&first, width, height), &wave);
            }
        }
    }
}
