//! A score for how similar two pictures look, 0 to 100, for `quality: "auto"`.
//!
//! Luma is compared by structural similarity (Wang et al. 2004) in windows of 8×8 at three scales. Chroma is compared
//! at full size, only by its strong structure, because eyes do not see the rest, and by the shift of its means. Windows
//! are combined by their mean and by the mean of their fourth powers, because eyes notice the worst part.

use std::borrow::Cow;

use crate::raster::{Channels, Raster};

/// Side of a patchwork's parts in pixels. Windows never cross their borders.
const PATCH: u32 = 64;
/// Parts begin at multiples of this, where blocks begin in every codec.
const ALIGN: u32 = 16;
const WINDOW: usize = 8;
const STEP: usize = 4;
/// Weights of luma at full, half and quarter size.
const LUMA: [f32; 3] = [0.4, 0.25, 0.15];
/// Weight of each chroma plane.
const CHROMA: f32 = 0.1;
/// A window's mean chroma that shifts by this much counts as a complete loss.
const SHIFT: f32 = 10.0;

/// A picture of at most `side`²: the picture itself, or parts from all over it, placed beside each other. Each cell of
/// a grid gives the part with the largest variance, because that can lose most.
pub(super) fn patchwork(picture: &Raster, side: u32) -> Cow<'_, Raster> {
    let (width, height) = picture.size();
    if u64::from(width) * u64::from(height) <= u64::from(side) * u64::from(side) {
        return Cow::Borrowed(picture);
    }
    let most = (side / PATCH) * (side / PATCH);
    let columns = (width / PATCH).clamp(1, side / PATCH);
    let rows = (height / PATCH).clamp(1, most / columns);
    let columns = (width / PATCH).clamp(1, most / rows);
    let patch = (PATCH.min(width), PATCH.min(height));
    let count = picture.channels.count();
    let (stride, bytes) = (picture.stride(), patch.0 as usize * count);
    let blocks = Blocks::of(picture);
    let starts = |i: u32, parts: u32, length: u32, patch: u32| {
        let first = length * i / parts;
        let last = (length * (i + 1) / parts - patch).max(first);
        (first / ALIGN..=last / ALIGN).map(|at| at * ALIGN)
    };
    let mut data = Vec::with_capacity(columns as usize * bytes * (rows * patch.1) as usize);
    for row in 0..rows {
        let parts: Vec<(u32, u32)> = (0..columns)
            .map(|column| {
                let lefts = starts(column, columns, width, patch.0);
                let places = lefts.flat_map(|left| starts(row, rows, height, patch.1).map(move |top| (left, top)));
                let variance = |place: &(u32, u32)| blocks.variance(*place, patch);
                places.max_by(|a, b| variance(a).total_cmp(&variance(b))).expect("a cell holds a part")
            })
            .collect();
        for y in 0..patch.1 {
            for (left, top) in &parts {
                let at = (top + y) as usize * stride + *left as usize * count;
                data.extend_from_slice(&picture.data[at..at + bytes]);
            }
        }
    }
    Cow::Owned(Raster { width: columns * patch.0, height: rows * patch.1, channels: picture.channels, data })
}

/// Sums for the variance of a picture's parts.
struct Blocks {
    /// Number of blocks in a row, each of [`ALIGN`] pixels a side.
    columns: usize,
    /// For each block, the sum of each channel, and of all squares.
    sums: Vec<([u32; 3], u32)>,
}

impl Blocks {
    /// The picture must have no alpha. Incomplete blocks at its edges are ignored.
    fn of(picture: &Raster) -> Self {
        let (align, count) = (ALIGN as usize, picture.channels.count());
        let columns = picture.width as usize / align;
        let mut sums = Vec::with_capacity(columns * (picture.height as usize / align));
        for rows in picture.data.chunks_exact(picture.stride() * align) {
            let first = sums.len();
            sums.resize(first + columns, ([0; 3], 0));
            for row in rows.chunks_exact(picture.stride()) {
                for (pixels, (channels, squares)) in row.chunks_exact(align * count).zip(&mut sums[first..]) {
                    for pixel in pixels.chunks_exact(count) {
                        for (sum, &value) in channels.iter_mut().zip(pixel) {
                            *sum += u32::from(value);
                            *squares += u32::from(value) * u32::from(value);
                        }
                    }
                }
            }
        }
        Self { columns, sums }
    }

    /// The variance of a part, multiplied by its number of pixels.
    fn variance(&self, (left, top): (u32, u32), (width, height): (u32, u32)) -> f64 {
        let range = |from: u32, length: u32| (from / ALIGN) as usize..((from + length) / ALIGN) as usize;
        let (mut all, mut squares, mut pixels) = ([0_u64; 3], 0_u64, 0.0_f64);
        for row in range(top, height) {
            for (sums, square) in &self.sums[row * self.columns..][range(left, width)] {
                all.iter_mut().zip(sums).for_each(|(all, &sum)| *all += u64::from(sum));
                squares += u64::from(*square);
                pixels += f64::from(ALIGN * ALIGN);
            }
        }
        squares as f64 - all.iter().map(|&sum| (sum as f64).powi(2)).sum::<f64>() / pixels.max(1.0)
    }
}

/// A picture's luma at three scales, and its chroma.
pub(super) struct Planes {
    luma: [Plane; 3],
    chroma: Option<[Plane; 2]>,
}

struct Plane {
    width: usize,
    height: usize,
    data: Vec<f32>,
    /// Windows are inside squares of this side.
    cell: usize,
}

impl Planes {
    /// The picture must have no alpha.
    pub(super) fn of(picture: &Raster) -> Self {
        let (width, height) = (picture.width as usize, picture.height as usize);
        let plane = |data: Vec<f32>| Plane { width, height, data, cell: PATCH as usize };
        if picture.channels == Channels::Gray {
            let luma = plane(picture.data.iter().map(|&v| f32::from(v)).collect());
            return Self { luma: scales(luma), chroma: None };
        }
        let mut planes = [const { Vec::new() }; 3];
        for plane in &mut planes {
            plane.reserve(width * height);
        }
        for pixel in picture.data.chunks_exact(picture.channels.count()) {
            let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(f32::from);
            let y = 0.299 * r + 0.587 * g + 0.114 * b;
            planes[0].push(y);
            planes[1].push((b - y) * 0.564);
            planes[2].push((r - y) * 0.713);
        }
        let [y, cb, cr] = planes.map(plane);
        Self { luma: scales(y), chroma: Some([cb, cr]) }
    }
}

fn scales(full: Plane) -> [Plane; 3] {
    let half = full.halved();
    let quarter = half.halved();
    [full, half, quarter]
}

impl Plane {
    fn halved(&self) -> Self {
        let (width, height) = ((self.width / 2).max(1), (self.height / 2).max(1));
        let mut data = Vec::with_capacity(width * height);
        for y in 0..height {
            let upper = &self.data[(2 * y).min(self.height - 1) * self.width..][..self.width];
            let lower = &self.data[(2 * y + 1).min(self.height - 1) * self.width..][..self.width];
            data.extend((0..width).map(|x| {
                let right = (2 * x + 1).min(self.width - 1);
                (upper[2 * x] + upper[right] + lower[2 * x] + lower[right]) / 4.0
            }));
        }
        Self { width, height, data, cell: self.cell / 2 }
    }
}

/// The score of two pictures of the same size; 100 if they are equal.
pub(super) fn score(original: &Planes, other: &Planes) -> f64 {
    let luma = original.luma.iter().zip(&other.luma).zip(LUMA);
    let mut loss: f32 = luma.map(|((a, b), weight)| weight * difference(a, b, STEP, structure)).sum();
    if let (Some(original), Some(other)) = (&original.chroma, &other.chroma) {
        loss += original.iter().zip(other).map(|(a, b)| CHROMA * difference(a, b, WINDOW, colour)).sum::<f32>();
    }
    100.0 * f64::from(1.0 - loss.min(1.0))
}

/// 0 if the planes are equal. `loss` is called for windows that are `step` apart.
fn difference(a: &Plane, b: &Plane, step: usize, loss: fn(&Window) -> f32) -> f32 {
    let (mut sum, mut fourth, mut windows) = (0.0_f64, 0.0_f64, 0_u32);
    let fits = |at: usize, cell: usize| at % cell + WINDOW <= cell;
    for y in (0..=a.height.saturating_sub(WINDOW)).step_by(step).filter(|&y| fits(y, a.cell)) {
        for x in (0..=a.width.saturating_sub(WINDOW)).step_by(step).filter(|&x| fits(x, a.cell)) {
            let loss = f64::from(loss(&Window::of(a, b, x, y))).max(0.0);
            sum += loss;
            fourth += loss.powi(4);
            windows += 1;
        }
    }
    let windows = f64::from(windows.max(1));
    (0.5 * (sum / windows) + 0.5 * (fourth / windows).powf(0.25)) as f32
}

/// The same window in two planes: means, variances and covariance.
struct Window {
    means: [f32; 2],
    variances: [f32; 2],
    covariance: f32,
}

impl Window {
    fn of(a: &Plane, b: &Plane, x: usize, y: usize) -> Self {
        let (width, height) = (WINDOW.min(a.width), WINDOW.min(a.height));
        let (mut sa, mut sb, mut saa, mut sbb, mut sab) = (0.0_f32, 0.0_f32, 0.0_f32, 0.0_f32, 0.0_f32);
        for row in y..y + height {
            let at = row * a.width + x;
            for (&va, &vb) in a.data[at..at + width].iter().zip(&b.data[at..at + width]) {
                sa += va;
                sb += vb;
                saa += va * va;
                sbb += vb * vb;
                sab += va * vb;
            }
        }
        let count = (width * height) as f32;
        let (ma, mb) = (sa / count, sb / count);
        Self {
            means: [ma, mb],
            variances: [saa / count - ma * ma, sbb / count - mb * mb],
            covariance: sab / count - ma * mb,
        }
    }

    /// 1 if the structure is the same. `slight` is a variance that is hardly visible.
    fn likeness(&self, slight: f32) -> f32 {
        (2.0 * self.covariance + slight) / (self.variances[0] + self.variances[1] + slight)
    }
}

/// The loss in a window of luma: structural dissimilarity.
fn structure(window: &Window) -> f32 {
    const C1: f32 = (0.01 * 255.0) * (0.01 * 255.0);
    const C2: f32 = (0.03 * 255.0) * (0.03 * 255.0);
    let [a, b] = window.means;
    1.0 - (2.0 * a * b + C1) / (a * a + b * b + C1) * window.likeness(C2)
}

/// The loss in a window of chroma.
fn colour(window: &Window) -> f32 {
    const C2: f32 = (0.09 * 255.0) * (0.09 * 255.0);
    let [a, b] = window.means;
    1.0 - window.likeness(C2) + ((a - b) / SHIFT).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::samples;

    /// The picture with every sample changed by up to `by`.
    fn disturbed(picture: &Raster, by: i16) -> Raster {
        let noise = |i: usize| (i * 7919 % 13) as i16 * by / 6 - by;
        let data =
            picture.data.iter().enumerate().map(|(i, &v)| (i16::from(v) + noise(i)).clamp(0, 255) as u8).collect();
        Raster { data, ..picture.clone() }
    }

    #[test]
    fn score_falls_with_every_disturbance() {
        let picture = samples::photo(200, 150);
        let original = Planes::of(&picture);
        let scores: Vec<f64> =
            [0, 2, 6, 20, 60].map(|by| score(&original, &Planes::of(&disturbed(&picture, by)))).into();
        assert!((scores[0] - 100.0).abs() < 1e-3, "{scores:?}");
        assert!(scores.is_sorted_by(|a, b| a > b), "{scores:?}");
    }

    #[test]
    fn patchwork_finds_the_detail_wherever_it_is() {
        // A flat picture with squares of fine stripes, 64 pixels a side, at its corners and in its middle.
        let side = 2000;
        for (left, top) in [(150, 300), (650, 1130), (1210, 90)] {
            let mut picture = Raster::filled(side, side, Channels::Rgb, &[240; 3]);
            for (x, y) in (top..top + 64).flat_map(|y| (left..left + 64).map(move |x| (x, y))) {
                if x % 4 < 2 {
                    picture.data[(y * side as usize + x) * 3..][..3].copy_from_slice(&[200, 0, 0]);
                }
            }
            let found = patchwork(&picture, 256).data.chunks_exact(3).filter(|pixel| pixel[1] == 0).count();
            assert!(found > 64 * 64 / 4, "{found} pixels of the stripes at {left},{top}");
        }
    }

    #[test]
    fn shifted_and_blurred_colours_are_losses() {
        let flat = |pixel: [u8; 3]| Planes::of(&Raster::filled(64, 64, Channels::Rgb, &pixel));
        assert!(score(&flat([120, 120, 120]), &flat([126, 115, 126])) < 97.0, "grey turns purple");
        // Red on white, and the same after chroma was halved: luma is the same, colour is smeared.
        let text = |red: [u8; 3], white: [u8; 3]| {
            let data = (0..64 * 64).flat_map(|at| if at % 64 % 4 == 1 { red } else { white }).collect();
            Planes::of(&Raster { width: 64, height: 64, channels: Channels::Rgb, data })
        };
        let smeared = score(&text([200, 0, 0], [255; 3]), &text([128, 32, 38], [255, 249, 248]));
        assert!(smeared < 97.0, "red turns brown: {smeared}");
    }

    #[test]
    fn patchwork_is_bounded_for_every_shape() {
        for (width, height) in [(3000, 1000), (20, 9000), (9000, 20), (700, 700), (1, 40_000)] {
            let picture = Raster::filled(width, height, Channels::Gray, &[9]);
            let made = patchwork(&picture, 256);
            assert!(made.width * made.height <= 256 * 256, "{width}x{height}: {}x{}", made.width, made.height);
            assert_eq!(made.data.len(), (made.width * made.height) as usize);
            assert!(score(&Planes::of(&made), &Planes::of(&made)) > 99.9);
        }
    }
}
