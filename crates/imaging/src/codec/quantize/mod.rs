//! A picture in at most 256 colours: choosing them, and drawing with them.
//!
//! Few colours are kept as they are. Many are counted (`census`), one by one while there is room. They are split where their
//! variance is largest (`split`), moved to the means of the colours nearest to them (two rounds of k-means), and drawn by Floyd
//! and Steinberg's error diffusion. Distances are taken with colours multiplied by their alpha (`space`), because errors in
//! pixels that hardly show hardly matter.

mod census;
mod space;
mod split;
#[cfg(test)]
mod tests;

use crate::Result;
pub(crate) use census::{Census, Misfit, are_few};
use census::{Colors, coarse, seen};
use space::{Point, placed, unplaced};
use split::split;

/// Red, green, blue and alpha, not premultiplied.
pub(crate) type Pixel = [u8; 4];

/// The most colours that a palette holds.
pub(crate) const MAX_COLORS: usize = 256;

/// Most pixel values that the nearest colour is remembered for.
const MAX_KNOWN: usize = 1 << 16;
/// The share of an error that is handed on: all of it draws worms into flat areas.
const HANDED_ON: f32 = 0.85;
/// Errors beyond this come from colours out of the palette's reach and would smear.
const MAX_ERROR: f32 = 48.0;
const ROUNDS: usize = 2;
/// Opaque pixels in cells of four levels a channel share their nearest colour, where errors are handed on.
const MAX_COARSENESS: u32 = 2;

/// The colours that a picture is drawn with.
pub(crate) struct Palette {
    pub(crate) colors: Vec<Pixel>,
    /// Whether the palette has every colour of the picture that it was made for.
    pub(crate) is_exact: bool,
    exact: Colors,
    /// The colours in the space of distances, a channel after the other.
    placed: [Vec<f32>; 4],
    /// How coarsely opaque pixels are looked up.
    coarseness: u32,
    /// Pixels that were looked up; `nearest` has the index of each one's nearest colour.
    known: Colors,
    nearest: Vec<u8>,
}

impl Palette {
    /// At most `max` colours for the pixels of a census.
    pub(crate) fn of(census: &Census, max: usize) -> Self {
        let max = max.clamp(1, MAX_COLORS);
        if let Some(few) = census.few().filter(|few| few.len() <= max) {
            return Self::with(few, true, 0);
        }
        let points: Vec<Point> = census.points().collect();
        let coarseness = census.coarseness.min(MAX_COARSENESS);
        let mut palette = Self::with(&split(points.clone(), max), false, coarseness);
        for _ in 0..ROUNDS {
            palette = Self::with(&palette.means(&points), false, coarseness);
        }
        palette
    }

    /// Adds the colours of a census, if both are exact and there is room. Colours that it already has keep their indices.
    pub(crate) fn take_in(&mut self, census: &Census, max: usize) -> bool {
        let (true, Some(few)) = (self.is_exact, census.few()) else { return false };
        let new: Vec<Pixel> = few.iter().copied().filter(|&color| self.exact.find(color).is_none()).collect();
        if self.colors.len() + new.len() > max {
            return false;
        }
        if !new.is_empty() {
            *self = Self::with(&[&self.colors[..], &new].concat(), true, 0);
        }
        true
    }

    fn with(colors: &[Pixel], is_exact: bool, coarseness: u32) -> Self {
        let mut exact = Colors::new(MAX_COLORS);
        for &color in colors {
            exact.insert(color);
        }
        let colors = exact.all.clone();
        let points: Vec<[f32; 4]> = colors.iter().map(|color| placed(color.map(f32::from))).collect();
        let placed = std::array::from_fn(|axis| points.iter().map(|point| point[axis]).collect());
        Self { colors, is_exact, exact, placed, coarseness, known: Colors::new(0), nearest: Vec::new() }
    }

    /// The index of the colour nearest to a point, and the squared distance.
    fn nearest(&self, at: [f32; 4]) -> (usize, f32) {
        let [r, g, b, a] = &self.placed;
        let mut distances = [f32::MAX; MAX_COLORS];
        for ((((distance, r), g), b), a) in distances.iter_mut().zip(r).zip(g).zip(b).zip(a) {
            let apart = [r - at[0], g - at[1], b - at[2], a - at[3]];
            *distance = apart[0] * apart[0] + apart[1] * apart[1] + apart[2] * apart[2] + apart[3] * apart[3];
        }
        let mut best = (0, f32::MAX);
        for (index, &distance) in distances[..r.len()].iter().enumerate() {
            if distance < best.1 {
                best = (index, distance);
            }
        }
        best
    }

    /// The mean of the points nearest to each colour. A colour without such points is dropped.
    fn means(&self, points: &[Point]) -> Vec<Pixel> {
        let mut sums = vec![([0.0_f64; 4], 0.0_f64); self.colors.len()];
        for point in points {
            let (sum, weight) = &mut sums[self.nearest(point.at).0];
            for (sum, value) in sum.iter_mut().zip(point.at) {
                *sum += f64::from(value * point.weight);
            }
            *weight += f64::from(point.weight);
        }
        let found = sums.into_iter().filter(|(_, weight)| *weight > 0.0);
        found.map(|(sum, weight)| unplaced(sum.map(|sum| (sum / weight) as f32))).collect()
    }

    /// The index of the colour for a pixel.
    fn index(&mut self, pixel: Pixel) -> u8 {
        let pixel = seen(pixel);
        if let Some(index) = self.exact.find(pixel) {
            return index as u8;
        }
        // Nothing makes up for a bad choice where alpha is soft: no error is handed on there.
        let coarseness = if pixel[3] == 255 { self.coarseness } else { 0 };
        let cell = coarse(pixel, coarseness);
        if let Some(index) = self.known.find(cell) {
            return self.nearest[index];
        }
        let nearest = self.nearest(placed(pixel.map(f32::from))).0 as u8;
        if self.known.insert(cell).is_none() {
            self.known = Colors::new(MAX_KNOWN);
            self.nearest.clear();
            self.known.insert(cell);
        }
        self.nearest.push(nearest);
        nearest
    }

    /// The picture as indices; `rest` where `drawn` says no. `go_on` is asked before every row.
    pub(crate) fn map(
        &mut self,
        width: usize,
        pixels: &[Pixel],
        drawn: impl Fn(usize) -> bool,
        rest: u8,
        go_on: impl Fn() -> Result<()>,
    ) -> Result<Vec<u8>> {
        let mut indices = vec![rest; pixels.len()];
        // The errors of the row that is drawn and of the next, with a column of margin on either side.
        let (mut here, mut below) = (vec![[0.0_f32; 3]; width + 2], vec![[0.0_f32; 3]; width + 2]);
        for (y, row) in pixels.chunks_exact(width.max(1)).enumerate() {
            go_on()?;
            // There and back again: errors then lean to neither side.
            let forward: isize = if y % 2 == 0 { 1 } else { -1 };
            for step in 0..width {
                let x = if forward > 0 { step } else { width - 1 - step };
                let at = y * width + x;
                if !drawn(at) {
                    continue;
                }
                let pixel = row[x];
                if self.is_exact || pixel[3] != 255 {
                    indices[at] = self.index(pixel);
                    continue;
                }
                let error = here[x + 1];
                let wanted: [f32; 3] = std::array::from_fn(|c| (f32::from(pixel[c]) + error[c]).clamp(0.0, 255.0));
                let [r, g, b] = wanted.map(|value| value.round() as u8);
                let index = self.index([r, g, b, 255]);
                indices[at] = index;
                let got = self.colors[usize::from(index)];
                let ahead = (x + 1).wrapping_add_signed(forward);
                let behind = (x + 1).wrapping_add_signed(-forward);
                for (c, (wanted, got)) in wanted.into_iter().zip(got).enumerate() {
                    let left = (wanted - f32::from(got)).clamp(-MAX_ERROR, MAX_ERROR) * HANDED_ON / 16.0;
                    here[ahead][c] += left * 7.0;
                    below[behind][c] += left * 3.0;
                    below[x + 1][c] += left * 5.0;
                    below[ahead][c] += left;
                }
            }
            std::mem::swap(&mut here, &mut below);
            below.fill([0.0; 3]);
        }
        Ok(indices)
    }
}
