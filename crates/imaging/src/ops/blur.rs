//! Gaussian blur and the unsharp mask that is made of it.
//!
//! A Gaussian is separable: rows first, then columns. Both are worked on in strips of 16-bit samples in which those that
//! are handled alike stand side by side, so that one loop serves both ways and fills vector registers. Narrow Gaussians
//! are convolved as they are, wide ones are three extended box filters (Gwosdek and others, "Theoretical Foundations of
//! Gaussian Convolution by Extended Box Filtering", 2011), whose cost does not grow with sigma. Edges are extended.
//! Alpha is premultiplied, or the colour of transparent pixels would show.

#![expect(clippy::inline_always, reason = "loops are compiled for the registers of those that they are in")]

use crate::operation::{Blur, Sharpen};
use crate::raster::{Channels, Raster, Sample};
use crate::wide::wide;

/// Samples that a loop handles at once, and rows that are turned at once.
const BLOCK: usize = 16;
/// Samples of a row that are worked on at once, of whole pixels.
const COLUMNS: usize = 12 * BLOCK;
/// From this sigma on boxes are cheaper, and as good to the eye.
const WIDE: f32 = 3.0;
const PASSES: usize = 3;

pub(crate) fn blur<S: Sample>(mut picture: Raster<S>, wanted: &Blur) -> Raster<S> {
    gaussian(&mut picture, wanted.sigma);
    picture
}

pub(crate) fn sharpen<S: Sample>(mut picture: Raster<S>, wanted: &Sharpen) -> Raster<S> {
    let mut soft = picture.clone();
    gaussian(&mut soft, wanted.sigma);
    let amount = (wanted.amount * 256.0).round() as i32;
    let threshold = S::widen(wanted.threshold).number() as i32;
    // Alpha keeps its edge.
    let alpha = picture.has_alpha();
    wide!({
        if alpha {
            let pixels = picture.data.as_chunks_mut::<4>().0.iter_mut().zip(soft.data.as_chunks::<4>().0);
            for (sharp, soft) in pixels {
                for (value, soft) in sharp.iter_mut().zip(soft).take(3) {
                    *value = sharpened(*value, *soft, amount, threshold);
                }
            }
        } else {
            for (value, soft) in picture.data.iter_mut().zip(&soft.data) {
                *value = sharpened(*value, *soft, amount, threshold);
            }
        }
    });
    picture
}

#[inline(always)]
fn sharpened<S: Sample>(value: S, soft: S, amount: i32, threshold: i32) -> S {
    let value_number = value.number() as i32;
    let difference = value_number - soft.number() as i32;
    let raised = (value_number * 256 + difference * amount + 128) >> 8;
    let raised = S::from_number(raised.max(0) as u32);
    if difference.abs() >= threshold { raised } else { value }
}

/// How samples along a line are averaged.
enum Kernel {
    /// The middle's weight, then those of its neighbours on either side.
    Taps(Vec<f32>),
    Boxes {
        radius: usize,
        inner: f32,
        /// Of the two samples just outside of the radius.
        outer: f32,
    },
}

impl Kernel {
    fn of(sigma: f32) -> Self {
        if sigma < WIDE {
            let reach = (3.0 * sigma).ceil().max(1.0) as usize;
            let weight = |at: usize| (-0.5 * (at as f32 / sigma).powi(2)).exp();
            let sum = weight(0) + 2.0 * (1..=reach).map(weight).sum::<f32>();
            return Self::Taps((0..=reach).map(|at| weight(at) / sum).collect());
        }
        let variance = sigma * sigma / PASSES as f32;
        let radius = (((12.0 * variance + 1.0).sqrt() - 1.0) / 2.0).floor();
        let width = 2.0 * radius + 1.0;
        let beyond =
            width * (radius * (radius + 1.0) - 3.0 * variance) / (6.0 * (variance - (radius + 1.0) * (radius + 1.0)));
        let inner = 1.0 / (width + 2.0 * beyond);
        Self::Boxes { radius: radius as usize, inner, outer: inner * beyond }
    }

    /// Averages along the lines of a strip; `lanes` samples of as many lines stand side by side.
    fn run(&self, strip: &mut Strip) {
        let Strip { samples, spare, sums, lanes } = strip;
        match self {
            Self::Taps(taps) => {
                wide!(convolve(taps, samples, spare, *lanes));
                std::mem::swap(samples, spare);
            }
            Self::Boxes { radius, inner, outer } => {
                for _ in 0..PASSES {
                    wide!(average(*radius, (*inner, *outer), samples, spare, sums, *lanes));
                    std::mem::swap(samples, spare);
                }
            }
        }
    }
}

/// Lines of 16-bit samples, sample by sample: the first of each line, then the second of each.
struct Strip {
    samples: Vec<u16>,
    spare: Vec<u16>,
    sums: Vec<i32>,
    /// How many lines there are; whole blocks.
    lanes: usize,
}

impl Strip {
    fn new(lanes: usize, length: usize) -> Self {
        let lanes = lanes.next_multiple_of(BLOCK);
        let samples = vec![0; lanes * length];
        Self { spare: samples.clone(), samples, sums: vec![0; lanes], lanes }
    }
}

fn gaussian<S: Sample>(picture: &mut Raster<S>, sigma: f32) {
    let kernel = Kernel::of(sigma);
    match picture.channels {
        Channels::Gray => both_ways::<S, 1>(picture, &kernel),
        Channels::Rgb => both_ways::<S, 3>(picture, &kernel),
        Channels::Rgba => both_ways::<S, 4>(picture, &kernel),
    }
}

fn both_ways<S: Sample, const N: usize>(picture: &mut Raster<S>, kernel: &Kernel) {
    let (stride, height) = (picture.stride(), picture.height as usize);
    // Rows stand side by side when they are turned: the first channel of all, then the second.
    let mut strip = Strip::new(BLOCK * N, stride / N);
    let mut raised = vec![0; BLOCK * stride];
    for rows in picture.data.chunks_mut(stride * BLOCK) {
        let raised = &mut raised[..rows.len()];
        wide!({
            raise::<S, N>(rows, raised);
            turn(raised, &mut strip.samples, stride);
        });
        kernel.run(&mut strip);
        wide!({
            turn_back(&strip.samples, raised, stride);
            lower::<S, N>(raised, rows);
        });
    }
    let columns = COLUMNS.min(stride);
    let mut strip = Strip::new(columns, height);
    for left in (0..stride).step_by(columns) {
        let right = stride.min(left + columns);
        for (row, line) in picture.data.chunks_exact(stride).zip(strip.samples.chunks_exact_mut(strip.lanes)) {
            wide!(raise::<S, N>(&row[left..right], &mut line[..right - left]));
        }
        kernel.run(&mut strip);
        for (row, line) in picture.data.chunks_exact_mut(stride).zip(strip.samples.chunks_exact(strip.lanes)) {
            wide!(lower::<S, N>(&line[..right - left], &mut row[left..right]));
        }
    }
}

/// Up to [`BLOCK`] rows of `stride` samples, to lines of as many.
#[inline(always)]
fn turn(rows: &[u16], lines: &mut [u16], stride: usize) {
    for (y, row) in rows.chunks_exact(stride).enumerate() {
        for (line, &sample) in lines.as_chunks_mut::<BLOCK>().0.iter_mut().zip(row) {
            line[y] = sample;
        }
    }
}

#[inline(always)]
fn turn_back(lines: &[u16], rows: &mut [u16], stride: usize) {
    for (y, row) in rows.chunks_exact_mut(stride).enumerate() {
        for (line, sample) in lines.as_chunks::<BLOCK>().0.iter().zip(row) {
            *sample = line[y];
        }
    }
}

/// Bits between a sample's own range and a strip's.
const fn shift<S: Sample>() -> u32 {
    16 - 8 * size_of::<S>() as u32
}

/// Pixels in a strip's 16 bits, premultiplied.
#[inline(always)]
fn raise<S: Sample, const N: usize>(from: &[S], to: &mut [u16]) {
    let raised = |v: S| (v.number() << shift::<S>()) as u16;
    if N < 4 {
        for (to, from) in to.iter_mut().zip(from) {
            *to = raised(*from);
        }
        return;
    }
    let max = S::MAX.number();
    for (to, from) in to.as_chunks_mut::<4>().0.iter_mut().zip(from.as_chunks::<4>().0) {
        let alpha = from[3].number();
        let colour = |v: S| ((u32::from(raised(v)) * alpha + max / 2) / max) as u16;
        *to = [colour(from[0]), colour(from[1]), colour(from[2]), raised(from[3])];
    }
}

/// The inverse of [`raise`].
#[inline(always)]
fn lower<S: Sample, const N: usize>(from: &[u16], to: &mut [S]) {
    let round = (1 << shift::<S>()) >> 1;
    let lowered = |v: u16| S::from_number((u32::from(v) + round) >> shift::<S>());
    if N < 4 {
        for (to, from) in to.iter_mut().zip(from) {
            *to = lowered(*from);
        }
        return;
    }
    for (to, from) in to.as_chunks_mut::<4>().0.iter_mut().zip(from.as_chunks::<4>().0) {
        let scale = if from[3] == 0 { 0.0 } else { S::MAX.number() as f32 / f32::from(from[3]) };
        let scales = [scale, scale, scale, 1.0 / (1 << shift::<S>()) as f32];
        *to = std::array::from_fn(|i| S::from_number(rounded(f32::from(from[i]) * scales[i])));
    }
}

#[inline(always)]
fn block(samples: &[u16], at: usize) -> &[u16; BLOCK] {
    samples[at..at + BLOCK].try_into().expect("a block")
}

#[inline(always)]
fn convolve(taps: &[f32], from: &[u16], to: &mut [u16], lanes: usize) {
    let last = from.len() / lanes - 1;
    for (i, line) in to.chunks_exact_mut(lanes).enumerate() {
        for (at, out) in line.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            let at = at * BLOCK;
            let mut sum = block(from, i * lanes + at).map(|v| f32::from(v) * taps[0]);
            for (reach, &tap) in taps.iter().enumerate().skip(1) {
                let before = block(from, i.saturating_sub(reach) * lanes + at);
                let behind = block(from, (i + reach).min(last) * lanes + at);
                for ((sum, before), behind) in sum.iter_mut().zip(before).zip(behind) {
                    *sum += tap * (i32::from(*before) + i32::from(*behind)) as f32;
                }
            }
            for (out, sum) in out.iter_mut().zip(sum) {
                *out = rounded(sum) as u16;
            }
        }
    }
}

#[inline(always)]
fn average(radius: usize, (inner, outer): (f32, f32), from: &[u16], to: &mut [u16], sums: &mut [i32], lanes: usize) {
    let last = from.len() / lanes - 1;
    let line = |i: usize| &from[i.min(last) * lanes..][..lanes];
    for (sum, &first) in sums.iter_mut().zip(line(0)) {
        *sum = i32::from(first) * (radius as i32 + 1);
    }
    for i in 1..=radius {
        for (sum, &sample) in sums.iter_mut().zip(line(i)) {
            *sum += i32::from(sample);
        }
    }
    for (i, out) in to.chunks_exact_mut(lanes).enumerate() {
        let ahead = blocks(line(i + radius + 1));
        let leaves = blocks(line(i.saturating_sub(radius)));
        let behind = blocks(line(i.saturating_sub(radius + 1)));
        let sums = sums.as_chunks_mut::<BLOCK>().0.iter_mut();
        let inputs = sums.zip(ahead).zip(leaves).zip(behind);
        for (out, (((sums, ahead), leaves), behind)) in out.as_chunks_mut::<BLOCK>().0.iter_mut().zip(inputs) {
            for at in 0..BLOCK {
                let edges = i32::from(ahead[at]) + i32::from(behind[at]);
                out[at] = rounded(sums[at] as f32 * inner + edges as f32 * outer) as u16;
                sums[at] += i32::from(ahead[at]) - i32::from(leaves[at]);
            }
        }
    }
}

#[inline(always)]
fn blocks(line: &[u16]) -> &[[u16; BLOCK]] {
    line.as_chunks().0
}

/// Of less than 2²³, which leaves a float no room for fractions when it is added: the last bits are the integer then.
#[inline(always)]
fn rounded(value: f32) -> u32 {
    (value + (1 << 23) as f32).to_bits() & 0x007f_ffff
}
