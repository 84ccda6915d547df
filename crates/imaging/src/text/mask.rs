//! Coverage: the ink on each pixel, and operations on it.

use ab_glyph_rasterizer::{Rasterizer, point};
use harfrust::font::glyph::outline::PathElement;

/// How much ink covers each pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mask {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(super) coverage: Vec<u8>,
}

impl Mask {
    pub(super) fn empty(width: u32, height: u32) -> Self {
        Self { width, height, coverage: vec![0; width as usize * height as usize] }
    }

    pub(crate) fn rows(&self) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator {
        self.coverage.chunks_exact(self.width.max(1) as usize)
    }

    pub(crate) fn row(&self, y: usize) -> &[u8] {
        &self.coverage[y * self.width as usize..][..self.width as usize]
    }

    /// Draws a closed path. Where there is ink already, the stronger value is kept.
    pub(super) fn fill(&mut self, path: &[PathElement]) {
        let Some([left, top, right, bottom]) = bounds(path) else { return };
        let (left, top) = (left.floor(), top.floor());
        let (width, height) = ((right.ceil() - left) as usize, (bottom.ceil() - top) as usize);
        if width == 0 || height == 0 {
            return;
        }
        let mut raster = Rasterizer::new(width, height);
        let at = |x: f32, y: f32| point(x - left, y - top);
        let (mut start, mut pen) = (point(0.0, 0.0), point(0.0, 0.0));
        for &element in path {
            match element {
                PathElement::MoveTo { x, y } => {
                    raster.draw_line(pen, start);
                    (start, pen) = (at(x, y), at(x, y));
                }
                PathElement::LineTo { x, y } => {
                    raster.draw_line(pen, at(x, y));
                    pen = at(x, y);
                }
                PathElement::QuadTo { cx0, cy0, x, y } => {
                    raster.draw_quad(pen, at(cx0, cy0), at(x, y));
                    pen = at(x, y);
                }
                PathElement::CurveTo { cx0, cy0, cx1, cy1, x, y } => {
                    raster.draw_cubic(pen, at(cx0, cy0), at(cx1, cy1), at(x, y));
                    pen = at(x, y);
                }
                PathElement::Close => {
                    raster.draw_line(pen, start);
                    pen = start;
                }
            }
        }
        raster.draw_line(pen, start);
        let (left, top) = (left as i64, top as i64);
        let (columns, rows) = (i64::from(self.width), i64::from(self.height));
        raster.for_each_pixel_2d(|x, y, ink| {
            let (x, y) = (left + i64::from(x), top + i64::from(y));
            if (0..columns).contains(&x) && (0..rows).contains(&y) {
                let pixel = &mut self.coverage[(y * columns + x) as usize];
                *pixel = (*pixel).max((ink * 255.0 + 0.5) as u8);
            }
        });
    }

    /// Keeps the stronger of two inks on each pixel.
    pub(super) fn merge(&mut self, other: &Self) {
        for (ink, &other) in self.coverage.iter_mut().zip(&other.coverage) {
            *ink = (*ink).max(other);
        }
    }

    /// The ink and everything within `radius` pixels of it, inside the same bounds.
    ///
    /// Uses the distance to the ink's edge; a partly covered pixel contains the edge. Felzenszwalb and Huttenlocher,
    /// "Distance Transforms of Sampled Functions".
    pub(super) fn grown(&self, radius: f32) -> Self {
        let (width, height) = (self.width as usize, self.height as usize);
        let edge = |&ink: &u8| match ink {
            0 => FAR,
            ink => (0.5 - f32::from(ink) / 255.0).max(0.0).powi(2),
        };
        let mut field: Vec<f32> = self.coverage.iter().map(edge).collect();
        let mut transform = Transform::new(width.max(height));
        for x in 0..width {
            transform.run(&mut field[x..], height, width);
        }
        for row in field.chunks_exact_mut(width.max(1)) {
            transform.run(row, width, 1);
        }
        let grown = |(&distance, &ink): (&f32, &u8)| {
            let cover = (radius + 0.5 - distance.sqrt()).clamp(0.0, 1.0);
            ink.max((cover * 255.0 + 0.5) as u8)
        };
        let coverage = field.iter().zip(&self.coverage).map(grown).collect();
        Self { coverage, ..*self }
    }

    /// Averages each `scale` × `scale` pixels to one.
    pub(super) fn reduced(self, scale: u32) -> Self {
        if scale == 1 {
            return self;
        }
        let (width, height) = (self.width / scale, self.height / scale);
        let area = scale * scale;
        let mut coverage = Vec::with_capacity(width as usize * height as usize);
        let mut sums = vec![0_u32; width as usize];
        for rows in self.coverage.chunks_exact(self.width.max(1) as usize * scale as usize) {
            sums.fill(0);
            for row in rows.chunks_exact(self.width as usize) {
                for (sum, inks) in sums.iter_mut().zip(row.chunks_exact(scale as usize)) {
                    *sum += inks.iter().map(|&ink| u32::from(ink)).sum::<u32>();
                }
            }
            coverage.extend(sums.iter().map(|&sum| ((sum + area / 2) / area) as u8));
        }
        Self { width, height, coverage }
    }

    /// The ink moved to the right and downwards, inside the same bounds.
    pub(super) fn moved(&self, x: i32, y: i32) -> Self {
        let mut moved = Self::empty(self.width, self.height);
        let (width, height) = (self.width as usize, self.height as usize);
        let (right, down) = ((x.max(0) as usize).min(width), (y.max(0) as usize).min(height));
        let (left, up) =
            ((x.min(0).unsigned_abs() as usize).min(width), (y.min(0).unsigned_abs() as usize).min(height));
        let targets = moved.coverage.chunks_exact_mut(width.max(1)).skip(down);
        for (target, source) in targets.zip(self.rows().skip(up)) {
            let length = width - right.max(left);
            target[right..right + length].copy_from_slice(&source[left..left + length]);
        }
        moved
    }

    /// Blurs like a Gaussian with this deviation, by three box filters.
    pub(super) fn blurred(mut self, deviation: f32) -> Self {
        let (width, height) = (self.width as usize, self.height as usize);
        let mut line = vec![0_u8; width.max(height)];
        for radius in boxes(deviation) {
            for row in self.coverage.chunks_exact_mut(width.max(1)) {
                smooth(row, 1, &mut line[..width], radius);
            }
            for x in 0..width {
                smooth(&mut self.coverage[x..], width, &mut line[..height], radius);
            }
        }
        self
    }

    /// Removes empty rows and columns, because the bounds of outlines are rounded to whole pixels.
    pub(super) fn trimmed(self) -> Self {
        let [left, top, right, bottom] = ink_box(self.width, self.rows(), |&ink| ink != 0);
        let cut = |row: &[u8]| row[left..right].to_vec();
        let coverage = self.rows().take(bottom).skip(top).flat_map(cut).collect();
        Self { width: (right - left) as u32, height: (bottom - top) as u32, coverage }
    }
}

/// The box around the ink in these rows: left, top, right and bottom.
pub(super) fn ink_box<'p, P: 'p>(
    width: u32,
    rows: impl Iterator<Item = &'p [P]>,
    inked: impl Fn(&P) -> bool,
) -> [usize; 4] {
    let [mut left, mut top, mut right, mut bottom] = [width as usize, usize::MAX, 0, 0];
    for (y, row) in rows.enumerate() {
        let Some(first) = row.iter().position(&inked) else { continue };
        left = left.min(first);
        right = right.max(row.iter().rposition(&inked).map_or(0, |last| last + 1));
        (top, bottom) = (top.min(y), y + 1);
    }
    if right == 0 { [0; 4] } else { [left, top, right, bottom] }
}

/// The box around a path's points, including the control points of curves: left, top, right and bottom.
pub(super) fn bounds(path: &[PathElement]) -> Option<[f32; 4]> {
    let mut bounds: Option<[f32; 4]> = None;
    let mut add = |x: f32, y: f32| {
        let [left, top, right, bottom] = bounds.unwrap_or([x, y, x, y]);
        bounds = Some([left.min(x), top.min(y), right.max(x), bottom.max(y)]);
    };
    for &element in path {
        match element {
            PathElement::MoveTo { x, y } | PathElement::LineTo { x, y } => add(x, y),
            PathElement::QuadTo { cx0, cy0, x, y } => {
                add(cx0, cy0);
                add(x, y);
            }
            PathElement::CurveTo { cx0, cy0, cx1, cy1, x, y } => {
                add(cx0, cy0);
                add(cx1, cy1);
                add(x, y);
            }
            PathElement::Close => {}
        }
    }
    bounds
}

/// Larger than any distance, but finite.
const FAR: f32 = 1e12;

/// Squared distances along lines, with buffers for all lines.
struct Transform {
    line: Vec<f32>,
    /// The parabolas of the lower envelope, and the beginning of each.
    vertices: Vec<usize>,
    starts: Vec<f32>,
}

impl Transform {
    fn new(longest: usize) -> Self {
        Self { line: vec![0.0; longest], vertices: vec![0; longest], starts: vec![0.0; longest + 1] }
    }

    /// Replaces each of `length` values, `stride` apart, by the minimum over all values of value plus squared distance.
    fn run(&mut self, field: &mut [f32], length: usize, stride: usize) {
        let line = &mut self.line[..length];
        for (value, source) in line.iter_mut().zip(field.iter().step_by(stride)) {
            *value = *source;
        }
        if line.iter().all(|&value| value >= FAR) {
            return;
        }
        let crossing = |q: usize, v: usize| {
            let (fq, fv) = (q as f32, v as f32);
            // The difference of squares is written as a product to keep its precision.
            ((line[q] - line[v]) + (fq - fv) * (fq + fv)) / (2.0 * (fq - fv))
        };
        let mut last = 0;
        self.vertices[0] = 0;
        (self.starts[0], self.starts[1]) = (f32::NEG_INFINITY, f32::INFINITY);
        for q in 1..length {
            let mut start = crossing(q, self.vertices[last]);
            while start <= self.starts[last] {
                last -= 1;
                start = crossing(q, self.vertices[last]);
            }
            last += 1;
            self.vertices[last] = q;
            (self.starts[last], self.starts[last + 1]) = (start, f32::INFINITY);
        }
        let mut nearest = 0;
        for (q, value) in field.iter_mut().step_by(stride).take(length).enumerate() {
            while self.starts[nearest + 1] < q as f32 {
                nearest += 1;
            }
            let vertex = self.vertices[nearest];
            *value = line[vertex] + (q as f32 - vertex as f32).powi(2);
        }
    }
}

/// The radii of three box filters with the same variance as the Gaussian.
fn boxes(deviation: f32) -> [usize; 3] {
    let ideal = (4.0 * deviation * deviation + 1.0).sqrt();
    // Odd widths next to the ideal one. The variance decides how many have the smaller width.
    let narrow = (((ideal - 1.0) / 2.0).floor() * 2.0 + 1.0).max(1.0);
    let narrower = (12.0 * deviation * deviation - 3.0 * narrow * narrow - 12.0 * narrow - 9.0) / (-4.0 * narrow - 4.0);
    let radius = (narrow as usize - 1) / 2;
    [0, 1, 2].map(|i| if (i as f32) < narrower.round() { radius } else { radius + 1 })
}

/// Averages each value, `stride` apart, with `radius` neighbours on both sides. Values outside count as 0.
fn smooth(values: &mut [u8], stride: usize, line: &mut [u8], radius: usize) {
    if radius == 0 {
        return;
    }
    for (copy, value) in line.iter_mut().zip(values.iter().step_by(stride)) {
        *copy = *value;
    }
    let size = (2 * radius + 1) as u32;
    let mut sum: u32 = line.iter().take(radius).map(|&v| u32::from(v)).sum();
    for (i, value) in values.iter_mut().step_by(stride).take(line.len()).enumerate() {
        sum += line.get(i + radius).copied().map_or(0, u32::from);
        *value = ((sum + size / 2) / size) as u8;
        sum -= i.checked_sub(radius).map_or(0, |gone| u32::from(line[gone]));
    }
}
