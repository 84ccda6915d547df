//! Which colours a picture has, and how many pixels each.

use super::space::{Point, placed};
use super::{MAX_COARSENESS, MAX_COLORS, Palette, Pixel};

/// More colours are counted in cells of some levels a channel.
const MAX_CELLS: usize = 1 << 15;
/// Fewer pixels in a colour of their own hardly show.
const SEEN: f32 = 4.0;

/// The colours of a picture, and how many pixels have each.
pub(crate) struct Census {
    /// How many of the lowest bits of each channel are passed over to have room for all.
    pub(super) coarseness: u32,
    cells: Colors,
    /// Of each cell's pixels: the sum of each channel, and their number.
    sums: Vec<([u64; 4], u64)>,
}

/// How far pixels are from a palette's colours, in squared distances.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Misfit {
    pub(crate) mean: f32,
    /// The largest distance of a colour that more than a few pixels have.
    pub(crate) worst: f32,
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
    pub(super) fn few(&self) -> Option<&[Pixel]> {
        (self.coarseness == 0 && self.cells.all.len() <= MAX_COLORS).then_some(&self.cells.all[..])
    }

    pub(super) fn points(&self) -> impl Iterator<Item = Point> {
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

/// A set of colours, each with the index of its turn.
pub(super) struct Colors {
    pub(super) all: Vec<Pixel>,
    most: usize,
    /// Open addressing; index and one more, so that 0 is free.
    slots: Vec<u32>,
}

impl Colors {
    pub(super) fn new(most: usize) -> Self {
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

    pub(super) fn find(&self, color: Pixel) -> Option<usize> {
        self.slots[self.slot(color)].checked_sub(1).map(|index| index as usize)
    }

    /// The colour's index; `None` where there is no room for another.
    pub(super) fn insert(&mut self, color: Pixel) -> Option<usize> {
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

/// All transparent pixels count as one colour.
pub(super) fn seen(pixel: Pixel) -> Pixel {
    if pixel[3] == 0 { [0; 4] } else { pixel }
}

/// The cell of a colour. Opaque and transparent colours never share a cell with others.
pub(super) fn coarse(color: Pixel, coarseness: u32) -> Pixel {
    let mask = u8::MAX.unbounded_shl(coarseness);
    let [r, g, b, a] = color.map(|value| value & mask);
    match color[3] {
        whole @ (0 | 255) => [r, g, b, whole],
        _ => [r, g, b, a.max(1)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn census_of_any_number_of_colours_is_bounded() {
        let noise = (0..200_000_u32).map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes());
        let census = Census::of(noise.clone());
        assert!(census.cells.all.len() <= MAX_CELLS && census.distinct().is_none());
        assert_eq!(census.sums.iter().map(|(_, count)| count).sum::<u64>(), 200_000);
        assert!(census.cells.all.iter().filter(|cell| cell[3] == 255).count() > 100, "opaque ones stay apart");
        assert!(!are_few(&noise.collect::<Vec<_>>()));
    }
}
