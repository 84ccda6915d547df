//! From coefficients to samples, at full, half, quarter or eighth size, and back.
//!
//! Reduced sizes use only the lowest frequencies: an inverse DCT of four, two or one. This keeps edges sharper than
//! averages of neighbours, which libjpeg's reduced transforms give.

use std::f32::consts::PI;
use std::sync::LazyLock;

use libjpeg_turbo_rs::simd;

use super::super::header::{NATURAL_ORDER, natural};
use super::{Block, Component};

/// Positions of the coefficients of the lowest 4 × 4 frequencies. The others come after them.
const LOW: [u8; 64] = {
    let mut places = [16; 64];
    let mut i = 0;
    while i < 64 {
        let (row, column) = (NATURAL_ORDER[i] / 8, NATURAL_ORDER[i] % 8);
        if row < 4 && column < 4 {
            places[i] = row * 4 + column;
        }
        i += 1;
    }
    places
};

/// The last of them is coefficient 24.
const LOW_MASK: u64 = (1 << 25) - 1;

impl Component {
    /// The plane including padding blocks, with `size` (8, 4, 2 or 1) samples per side of a block.
    pub(crate) fn samples(&self, size: usize) -> Vec<u8> {
        let mut plane = vec![0; self.across * size * self.down * size];
        let stride = self.across * size;
        let full = FullSize::new(self);
        let quarters: [f32; 64] = self.table.map(|step| f32::from(step) / 2.0);
        for (blocks, rows) in self.blocks.chunks_exact(self.across).zip(plane.chunks_exact_mut(stride * size)) {
            match size {
                8 => {
                    for (x, block) in blocks.iter().enumerate() {
                        place(&full.samples(block), rows, stride, x);
                    }
                }
                4 => {
                    for (x, block) in blocks.iter().enumerate() {
                        place(&self.four(block, &quarters), rows, stride, x);
                    }
                }
                2 => {
                    for (x, block) in blocks.iter().enumerate() {
                        place(&self.two(block), rows, stride, x);
                    }
                }
                _ => {
                    for (sample, block) in rows.iter_mut().zip(blocks) {
                        *sample = self.one(block);
                    }
                }
            }
        }
        plane
    }

    /// The plane of a rectangle of blocks, at full size.
    pub(crate) fn part(&self, (left, top): (usize, usize), (across, down): (usize, usize)) -> Vec<u8> {
        let mut plane = vec![0; across * 8 * down * 8];
        let full = FullSize::new(self);
        for (y, rows) in plane.chunks_exact_mut(across * 64).enumerate() {
            let start = (top + y) * self.across + left;
            for (x, block) in self.blocks[start..start + across].iter().enumerate() {
                place(&full.samples(block), rows, across * 8, x);
            }
        }
        plane
    }

    fn four(&self, block: &Block, steps: &[f32; 64]) -> [u8; 16] {
        let first = f32::from(block.dc) * steps[0];
        if block.mask & LOW_MASK == 0 {
            return [rounded(first / 4.0); 16];
        }
        let mut low = [0.0_f32; 32];
        low[0] = first;
        for (place, value) in self.of(block).take_while(|(place, _)| *place < 25) {
            low[usize::from(LOW[place] & 31)] = value as f32 * steps[place];
        }
        let rows = [0, 1, 2, 3].map(|row| [low[4 * row], low[4 * row + 1], low[4 * row + 2], low[4 * row + 3]]);
        let columns = inverse(transposed(inverse(rows)));
        let mut samples = [0; 16];
        for (samples, column) in samples.as_chunks_mut::<4>().0.iter_mut().zip(transposed(columns)) {
            *samples = column.map(rounded);
        }
        samples
    }

    fn two(&self, block: &Block) -> [u8; 4] {
        let mut low = [0.0; 5];
        for (place, value) in self.of(block).take_while(|(place, _)| *place < 5) {
            low[place] = (value * i32::from(self.table[place])) as f32;
        }
        let first = f32::from(block.dc) * f32::from(self.table[0]);
        let [_, across, down, _, both] = low;
        [
            first + across + down + both,
            first - across + down - both,
            first + across - down - both,
            first - across - down + both,
        ]
        .map(|sum| rounded(sum / 8.0))
    }

    fn one(&self, block: &Block) -> u8 {
        rounded(f32::from(block.dc) * f32::from(self.table[0]) / 8.0)
    }
}

/// The transform of the decoder.
struct FullSize<'a> {
    component: &'a Component,
    routines: simd::SimdRoutines,
    table: [u16; 64],
}

impl<'a> FullSize<'a> {
    fn new(component: &'a Component) -> Self {
        Self { component, routines: simd::detect(), table: natural(&component.table) }
    }

    fn samples(&self, block: &Block) -> [u8; 64] {
        let mut coefficients = [0; 64];
        coefficients[0] = block.dc;
        for (place, value) in self.component.of(block) {
            coefficients[usize::from(NATURAL_ORDER[place])] = value as i16;
        }
        let mut samples = [0; 64];
        (self.routines.idct_islow)(&coefficients, &self.table, &mut samples);
        samples
    }
}

/// Writes a block into its rows.
fn place<const N: usize>(samples: &[u8; N], rows: &mut [u8], stride: usize, x: usize) {
    let size = N.isqrt();
    for (samples, row) in samples.chunks_exact(size).zip(rows.chunks_exact_mut(stride)) {
        row[x * size..x * size + size].copy_from_slice(samples);
    }
}

/// The inverse DCT of four for each column.
fn inverse([a, b, c, d]: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    // The orthonormal basis: cosines of one and three eighths of a half turn, divided by the root of two.
    const ONE: f32 = 0.653_281_5;
    const THREE: f32 = 0.270_598_05;
    let mut out = [[0.0; 4]; 4];
    for i in 0..4 {
        let (sum, difference) = ((a[i] + c[i]) * 0.5, (a[i] - c[i]) * 0.5);
        let (outer, inner) = (ONE * b[i] + THREE * d[i], THREE * b[i] - ONE * d[i]);
        out[0][i] = sum + outer;
        out[1][i] = difference + inner;
        out[2][i] = difference - inner;
        out[3][i] = sum - outer;
    }
    out
}

fn transposed(m: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    [0, 1, 2, 3].map(|i| [m[0][i], m[1][i], m[2][i], m[3][i]])
}

/// A sample. The transform works on samples minus 128.
#[inline]
fn rounded(value: f32) -> u8 {
    // The lowest bits of such a float are the integer. A cast would take several times as long.
    const WHOLE: f32 = 8_388_608.0;
    let value = value + 128.0;
    let value = if value > 0.0 { value } else { 0.0 };
    let value = if value < 255.0 { value } else { 255.0 };
    (value + WHOLE).to_bits() as u8
}

/// Half the cosines of the forward DCT of eight.
static COSINES: LazyLock<[[f32; 8]; 8]> = LazyLock::new(|| {
    std::array::from_fn(|frequency| {
        let scale = if frequency == 0 { 0.125_f32.sqrt() } else { 0.5 };
        std::array::from_fn(|x| scale * ((2 * x + 1) as f32 * frequency as f32 * PI / 16.0).cos())
    })
});

/// The coefficients of 8 × 8 samples, divided by the steps of `table`; everything in zigzag order.
pub(crate) fn forward(samples: &[u8; 64], table: &[u16; 64]) -> [i16; 64] {
    let cosines = &*COSINES;
    let mut rows = [[0.0_f32; 8]; 8];
    for (row, samples) in rows.iter_mut().zip(samples.as_chunks::<8>().0) {
        for (x, &sample) in samples.iter().enumerate() {
            let sample = f32::from(sample) - 128.0;
            for (value, cosines) in row.iter_mut().zip(cosines) {
                *value += sample * cosines[x];
            }
        }
    }
    let mut all = [[0.0_f32; 8]; 8];
    for (out, cosines) in all.iter_mut().zip(cosines) {
        for (row, &cosine) in rows.iter().zip(cosines) {
            for (value, &sample) in out.iter_mut().zip(row) {
                *value += sample * cosine;
            }
        }
    }
    std::array::from_fn(|i| {
        let place = usize::from(NATURAL_ORDER[i]);
        (all[place / 8][place % 8] / f32::from(table[i])).round() as i16
    })
}
