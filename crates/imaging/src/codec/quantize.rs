//! A picture in at most 256 colours: choosing them, and drawing with them.
//!
//! Few colours are kept as they are. Many are counted, one by one while there is room; they are split where their variance is largest, moved to the means of what they
//! stand for (two rounds of k-means), and drawn by Floyd and Steinberg's error diffusion. Distances are taken with
//! colours multiplied by their alpha, because what hardly shows hardly matters.

use std::ops::Range;

use crate::Result;

/// Red, green, blue and alpha, not premultiplied.
pub(crate) type Pixel = [u8; 4];

/// The most colours that a palette holds.
pub(crate) const MAX_COLORS: usize = 256;

/// More colours are counted in cells of some levels a channel.
const MAX_CELLS: usize = 1 << 15;
/// Pixels whose nearest colour is remembered.
const MAX_KNOWN: usize = 1 << 16;
/// Opaque pixels in cells of four levels a channel share their nearest colour, where errors are handed on.
const MAX_COARSENESS: u32 = 2;
/// Fewer pixels in a colour of their own hardly show.
const SEEN: f32 = 4.0;
/// How far green's errors are seen beside red's and blue's, and alpha's beside them.
const WEIGHTS: [f32; 4] = [1.0, 1.45, 0.95, 1.3];
/// The share of an error that is handed on: all of it draws worms into flat areas.
const HANDED_ON: f32 = 0.85;
/// Errors beyond this come from colours out of the palette's reach and would smear.
const MAX_ERROR: f32 = 48.0;
const ROUNDS: usize = 2;

/// Which colours there are, and how many pixels have each.
pub(crate) struct Census {
    /// How many of the lowest bits of each channel are passed over to have room for all.
    coarseness: u32,
    cells: Colors,
    /// Of each cell's pixels: the sum of each channel, and their number.
    sums: Vec<([u64; 4], u64)>,
}

/// How far pixels are from a palette's colours, in squared distances.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Misfit {
    pub(crate) mean: f32,
    /// Of what is more than a few pixels.
    pub(crate) worst: f32,
}

/// A colour in the space of distances.
#[derive(Clone, Copy)]
struct Point {
    at: [f32; 4],
    weight: f32,
}

/// Whether the pixels have no more colours than a palette holds.
pub(crate) fn are_few(pixels: &[Pixel]) -> bool {
    let mut colors = Colors::new(MAX_COLORS);
    pixels.iter().all(|&pixel| colors.insert(seen(pixel)).is_some())
}

impl Census {
    pub(crate) fn of(pixels: impl Iterator<Item = Pixel>) -> Self {
        let mut census = Self { coarseness: 0, cells: Colors::new(MAX_CELLS), sums: Vec::new() };
        let mut run: Option<(Pixel, u64)> = None;
        for pixel in pixels.map(seen) {
            match &mut run {
                Some((color, count)) if *color == pixel => *count += 1,
                _ => census.add_run(run.replace((pixel, 1))),
            }
        }
        census.add_run(run);
        census
    }

    fn add_run(&mut self, run: Option<(Pixel, u64)>) {
        if let Some((color, count)) = run {
            self.add(color, color.map(|value| u64::from(value) * count), count);
        }
    }

    fn add(&mut self, color: Pixel, sum: [u64; 4], count: u64) {
        let index = loop {
            match self.cells.insert(coarse(color, self.coarseness)) {
                Some(index) => break index,
                None => self.coarsen(),
            }
        };
        if index == self.sums.len() {
            self.sums.push(([0; 4], 0));
        }
        let (sums, pixels) = &mut self.sums[index];
        for (all, one) in sums.iter_mut().zip(sum) {
            *all += one;
        }
        *pixels += count;
    }

    /// Makes room: cells become larger.
    fn coarsen(&mut self) {
        self.coarseness = (self.coarseness + 1).max(MAX_COARSENESS);
        let cells = std::mem::replace(&mut self.cells, Colors::new(MAX_CELLS));
        for (cell, (sum, count)) in cells.all.into_iter().zip(std::mem::take(&mut self.sums)) {
            self.add(cell, sum, count);
        }
    }

    /// All colours, where they are no more than a palette holds.
    fn few(&self) -> Option<&[Pixel]> {
        (self.coarseness == 0 && self.cells.all.len() <= MAX_COLORS).then_some(&self.cells.all[..])
    }

    fn points(&self) -> impl Iterator<Item = Point> {
        self.sums
            .iter()
            .map(|&(sums, count)| Point { at: placed(sums.map(|sum| sum as f32 / count as f32)), weight: count as f32 })
    }

    /// The number of colours, where they are no more than a palette holds.
    pub(crate) fn distinct(&self) -> Option<usize> {
        self.few().map(<[Pixel]>::len)
    }

    /// Whether `palette` has every colour.
    pub(crate) fn is_within(&self, palette: &Palette) -> bool {
        self.few().is_some_and(|few| few.iter().all(|&color| palette.exact.find(color).is_some()))
    }

    pub(crate) fn misfit(&self, palette: &Palette) -> Misfit {
        let (mut sum, mut pixels, mut worst) = (0.0, 0.0, 0.0_f32);
        for point in self.points() {
            let distance = palette.nearest(point.at).1;
            sum += f64::from(distance * point.weight);
            pixels += f64::from(point.weight);
            if point.weight >= SEEN {
                worst = worst.max(distance);
            }
        }
        Misfit { mean: (sum / f64::max(pixels, 1.0)) as f32, worst }
    }
}

/// The colours that a picture is drawn with.
pub(crate) struct Palette {
    pub(crate) colors: Vec<Pixel>,
    /// Whether they are the very colours of the picture that they were chosen for.
    pub(crate) is_exact: bool,
    exact: Colors,
    /// The colours in the space of distances, a channel after the other.
    placed: [Vec<f32>; 4],
    /// How coarsely opaque pixels are looked up.
    coarseness: u32,
    /// Pixels whose nearest colour was looked for, and its index.
    known: Colors,
    nearest: Vec<u8>,
}

impl Palette {
    /// At most `max` colours for what was counted.
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

    /// Takes in what was counted, where both are exact and there is room; the colours that it has keep their indices.
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

    /// The mean of the points nearest to each colour; a colour that none is nearest to is dropped.
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

/// A set of colours, each with the index of its turn.
struct Colors {
    all: Vec<Pixel>,
    most: usize,
    /// Open addressing; index and one more, so that 0 is free.
    slots: Vec<u32>,
}

impl Colors {
    fn new(most: usize) -> Self {
        Self { all: Vec::new(), most, slots: vec![0; (4 * most).next_power_of_two()] }
    }

    /// The slot that holds the colour, or the free one where it belongs.
    fn slot(&self, color: Pixel) -> usize {
        let last = self.slots.len() - 1;
        let mixed = u64::from(u32::from_le_bytes(color)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut slot = (mixed >> 40) as usize & last;
        while self.slots[slot] != 0 && self.all[self.slots[slot] as usize - 1] != color {
            slot = (slot + 1) & last;
        }
        slot
    }

    fn find(&self, color: Pixel) -> Option<usize> {
        self.slots[self.slot(color)].checked_sub(1).map(|index| index as usize)
    }

    /// The colour's index; `None` where there is no room for another.
    fn insert(&mut self, color: Pixel) -> Option<usize> {
        let slot = self.slot(color);
        if self.slots[slot] == 0 {
            if self.all.len() == self.most {
                return None;
            }
            self.all.push(color);
            self.slots[slot] = self.all.len() as u32;
        }
        Some(self.slots[slot] as usize - 1)
    }
}

/// The colour of what cannot be seen is nobody's.
fn seen(pixel: Pixel) -> Pixel {
    if pixel[3] == 0 { [0; 4] } else { pixel }
}

/// The cell that a colour lies in; opaque ones and clear ones keep to themselves.
fn coarse(color: Pixel, coarseness: u32) -> Pixel {
    let mask = u8::MAX.unbounded_shl(coarseness);
    let [r, g, b, a] = color.map(|value| value & mask);
    match color[3] {
        whole @ (0 | 255) => [r, g, b, whole],
        _ => [r, g, b, a.max(1)],
    }
}

/// A colour where distances are as they are seen.
fn placed([r, g, b, a]: [f32; 4]) -> [f32; 4] {
    let alpha = a / 255.0;
    [r * alpha * WEIGHTS[0], g * alpha * WEIGHTS[1], b * alpha * WEIGHTS[2], a * WEIGHTS[3]]
}

fn unplaced(at: [f32; 4]) -> Pixel {
    let alpha = at[3] / WEIGHTS[3];
    let share = (alpha / 255.0).max(1.0 / 512.0);
    let value = |axis: usize| (at[axis] / WEIGHTS[axis] / share).round() as u8;
    [value(0), value(1), value(2), alpha.round() as u8]
}

/// The means of at most `max` boxes of points: always the widest box is cut, across its widest axis, at its mean.
fn split(mut points: Vec<Point>, max: usize) -> Vec<Pixel> {
    let mut boxes = vec![Cut::of(&points, 0..points.len())];
    while boxes.len() < max {
        let widest = (0..boxes.len()).max_by(|&a, &b| boxes[a].spread.total_cmp(&boxes[b].spread));
        let Some(widest) = widest.filter(|&widest| boxes[widest].spread > 0.0) else { break };
        let Cut { range, mean, axis, .. } = boxes[widest].clone();
        let part = &mut points[range.clone()];
        let mut low = 0;
        for i in 0..part.len() {
            if part[i].at[axis] < mean[axis] {
                part.swap(i, low);
                low += 1;
            }
        }
        // All on one side: rounding made the spread up.
        if low == 0 || low == part.len() {
            boxes[widest].spread = 0.0;
            continue;
        }
        let middle = range.start + low;
        boxes[widest] = Cut::of(&points, range.start..middle);
        boxes.push(Cut::of(&points, middle..range.end));
    }
    boxes.into_iter().map(|cut| unplaced(cut.mean)).collect()
}

/// A box of points.
#[derive(Clone)]
struct Cut {
    range: Range<usize>,
    mean: [f32; 4],
    /// The axis along which the points lie furthest apart, and the sum of their squared distances from the mean on it.
    axis: usize,
    spread: f32,
}

impl Cut {
    fn of(points: &[Point], range: Range<usize>) -> Self {
        let (mut sum, mut squares, mut weight) = ([0.0_f64; 4], [0.0_f64; 4], 0.0_f64);
        for point in &points[range.clone()] {
            let n = f64::from(point.weight);
            weight += n;
            for axis in 0..4 {
                let value = f64::from(point.at[axis]);
                sum[axis] += value * n;
                squares[axis] += value * value * n;
            }
        }
        let weight = weight.max(1.0);
        let mean = sum.map(|sum| sum / weight);
        let spreads: [f64; 4] = std::array::from_fn(|axis| squares[axis] - mean[axis] * sum[axis]);
        let axis = (0..4).max_by(|&a, &b| spreads[a].total_cmp(&spreads[b])).unwrap_or(0);
        let spread = if range.len() > 1 { spreads[axis].max(0.0) as f32 } else { 0.0 };
        Self { range, mean: mean.map(|mean| mean as f32), axis, spread }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(width: usize, height: usize) -> Vec<Pixel> {
        (0..width * height)
            .map(|i| {
                let (x, y) = (i % width * 255 / width, i / width * 255 / height);
                [x as u8, y as u8, (255 - x) as u8, 255]
            })
            .collect()
    }

    #[test]
    fn few_colours_are_kept_as_they_are() {
        let pixels: Vec<Pixel> = (0..=255).map(|i| [i, i / 2, 7, 255]).collect();
        let census = Census::of(pixels.iter().copied());
        let mut palette = Palette::of(&census, 256);
        assert!(palette.is_exact && census.distinct() == Some(256) && census.is_within(&palette));
        let indices = palette.map(16, &pixels, |_| true, 0, || Ok(())).unwrap();
        let drawn: Vec<Pixel> = indices.iter().map(|&index| palette.colors[usize::from(index)]).collect();
        assert_eq!(drawn, pixels);
    }

    #[test]
    fn many_colours_are_met_closely() {
        let pixels = gradient(128, 128);
        let census = Census::of(pixels.iter().copied());
        let mut palette = Palette::of(&census, 255);
        assert!(!palette.is_exact && palette.colors.len() > 200 && census.distinct().is_none());
        assert!(census.misfit(&palette).mean < 140.0, "{}", census.misfit(&palette).mean);
        let indices = palette.map(128, &pixels, |_| true, 0, || Ok(())).unwrap();
        // Diffused errors cancel out: the means of blocks of 8 by 8 are the picture's.
        for (left, top) in [(8, 8), (64, 40), (100, 100)] {
            for (c, channel) in ["red", "green", "blue"].into_iter().enumerate() {
                let mean = |value: &dyn Fn(usize) -> u8| {
                    let block = (top..top + 8).flat_map(|y| (left..left + 8).map(move |x| y * 128 + x));
                    block.map(|at| f32::from(value(at))).sum::<f32>() / 64.0
                };
                let wanted = mean(&|at| pixels[at][c]);
                let got = mean(&|at| palette.colors[usize::from(indices[at])][c]);
                assert!((wanted - got).abs() < 4.0, "{channel} at {left},{top}: {got}, wanted {wanted}");
            }
        }
    }

    #[test]
    fn only_what_is_drawn_is_touched() {
        let pixels = gradient(32, 32);
        let mut palette = Palette::of(&Census::of(pixels.iter().copied()), 16);
        let indices = palette.map(32, &pixels, |at| at >= 512, 99, || Ok(())).unwrap();
        assert!(indices[..512].iter().all(|&index| index == 99));
        assert!(indices[512..].iter().all(|&index| index < 16));
    }

    #[test]
    fn what_hardly_shows_shares_its_colour() {
        // Faint pixels of every hue beside opaque greys: the palette goes to what is seen.
        let faint = gradient(64, 64).into_iter().map(|[r, g, b, _]| [r, g, b, 3]);
        let grey = (0..4096).map(|i| [(i / 16) as u8; 3]).map(|[r, g, b]| [r, g, b, 255]);
        let palette = Palette::of(&Census::of(faint.chain(grey)), 64);
        let opaque = palette.colors.iter().filter(|color| color[3] > 200).count();
        assert!(opaque > 56, "{opaque} of {}", palette.colors.len());
    }

    #[test]
    fn palette_takes_in_what_it_has_room_for() {
        let census = |values: std::ops::Range<u8>| Census::of(values.map(|v| [v, 0, 0, 255]));
        let mut palette = Palette::of(&census(0..10), 16);
        assert!(palette.take_in(&census(5..16), 16) && palette.colors.len() == 16);
        assert!(palette.colors.iter().enumerate().all(|(i, color)| usize::from(color[0]) == i));
        assert!(!palette.take_in(&census(15..17), 16) && palette.colors.len() == 16);
    }

    #[test]
    fn nothing_to_count_is_no_trouble() {
        let mut palette = Palette::of(&Census::of(std::iter::empty()), 255);
        let indices = palette.map(4, &[[0; 4]; 8], |_| false, 0, || Ok(())).unwrap();
        assert!(palette.colors.is_empty() && indices == [0; 8]);
    }

    /// The mean squared error of what shows, over black and over white.
    fn shown_error(pixels: &[Pixel], palette: &Palette, indices: &[u8]) -> f64 {
        let over = |[r, g, b, a]: Pixel, ground: f64| {
            [r, g, b].map(|value| ground + (f64::from(value) - ground) * f64::from(a) / 255.0)
        };
        let squares = pixels.iter().zip(indices).flat_map(|(&pixel, &index)| {
            let got = palette.colors[usize::from(index)];
            [0.0, 255.0].map(|ground| {
                let apart = over(pixel, ground).into_iter().zip(over(got, ground));
                apart.map(|(a, b)| (a - b).powi(2)).sum::<f64>() / 3.0
            })
        });
        squares.sum::<f64>() / (2 * pixels.len()) as f64
    }

    fn drawn(pixels: &[Pixel], width: usize) -> (Palette, f64) {
        let mut palette = Palette::of(&Census::of(pixels.iter().copied()), 256);
        let indices = palette.map(width, pixels, |_| true, 0, || Ok(())).unwrap();
        let error = shown_error(pixels, &palette, &indices);
        (palette, error)
    }

    #[test]
    fn soft_alpha_gets_all_the_colours_there_are() {
        let glow: Vec<Pixel> = (0..300 * 200)
            .map(|at| {
                let (x, y) = ((at % 300) as f32, (at / 300) as f32);
                let alpha = 230.0 - (x - 150.0).hypot(y - 100.0) * 1.7;
                [255, 255 - (x / 4.0) as u8, 200, alpha.max(0.0) as u8]
            })
            .collect();
        let (palette, error) = drawn(&glow, 300);
        assert!(palette.colors.len() > 240, "{}", palette.colors.len());
        // 40 dB; with cells of 16 levels there were 45 colours and 32 dB.
        assert!(error < 6.5, "{error}");
    }

    #[test]
    fn narrow_gradients_get_all_the_colours_there_are() {
        let dark: Vec<Pixel> = (0..600 * 300)
            .map(|at| {
                let (x, y) = (at % 600, at / 600);
                [(5 + x * 20 / 600) as u8, (8 + y * 18 / 300) as u8, (10 + x * 12 / 600 + y * 10 / 300) as u8, 255]
            })
            .collect();
        let (palette, error) = drawn(&dark, 600);
        assert!(palette.colors.len() > 240, "{}", palette.colors.len());
        assert!(error < 1.0, "{error}");
    }

    #[test]
    fn census_of_any_number_of_colours_is_bounded() {
        let noise = (0..200_000_u32).map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes());
        let census = Census::of(noise.clone());
        assert!(census.cells.all.len() <= MAX_CELLS && census.distinct().is_none());
        assert_eq!(census.sums.iter().map(|(_, count)| count).sum::<u64>(), 200_000);
        assert!(census.cells.all.iter().filter(|cell| cell[3] == 255).count() > 100, "opaque ones stay apart");
        assert!(!are_few(&noise.collect::<Vec<_>>()));
    }

    #[test]
    fn misfit_names_the_worst_that_is_more_than_a_few_pixels() {
        let palette = Palette::of(&Census::of([[9, 9, 9, 255]; 8].into_iter()), 256);
        let with = |count| Census::of([[9, 9, 9, 255]; 900].into_iter().chain([[255, 0, 255, 255]].repeat(count)));
        assert!(with(3).misfit(&palette).worst < 1.0);
        let misfit = with(64).misfit(&palette);
        assert!(misfit.worst > 60_000.0 && misfit.mean < 10_000.0, "{misfit:?}");
    }
}
