//! A JPEG's quantised DCT coefficients: read once, used for several outputs, written again.
//!
//! Only non-zero coefficients are kept, so those of a photograph take about as much memory as its file. [`read`] reads
//! common files (baseline in one scan, progressive). It leaves all others to the decoder and to [`planes`], which reads
//! sequential files with any scans. [`Component::samples`] makes planes of full or reduced size, and [`write`] makes a
//! file, with the same quantisation tables or with others.

mod bits;
mod huffman;
mod read;
mod scans;
mod transform;
mod turn;
mod write;

use crate::codec::jpeg::JpegHeader;

pub(crate) use read::read;
pub(super) use scans::planes;
pub(crate) use transform::forward;
pub(crate) use turn::is_turnable;
pub(crate) use write::{Coding, Patch, write};

/// All coefficients of a picture.
#[derive(Debug)]
pub(crate) struct Coefficients {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) components: Vec<Component>,
}

/// The coefficients of Y, Cb or Cr.
#[derive(Debug)]
pub(crate) struct Component {
    /// Blocks in an MCU, along x and y.
    pub(crate) h: usize,
    pub(crate) v: usize,
    /// Number of blocks in a row and in a column, including blocks beyond the picture's edge that fill its last MCUs.
    pub(crate) across: usize,
    pub(crate) down: usize,
    /// Number of blocks that contain the picture.
    used: (usize, usize),
    /// Its quantisation table, in zigzag order like all coefficients here.
    pub(crate) table: [u16; 64],
    blocks: Vec<Block>,
    values: Vec<i16>,
}

/// A block of 8 × 8 samples.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    /// Bit mask of the non-zero coefficients among 1 to 63.
    mask: u64,
    /// Index of the first of them in the component's values.
    start: u32,
    dc: i16,
}

/// A block's non-zero coefficients, without the first one.
#[derive(Debug, Clone)]
struct NonZero<'a> {
    mask: u64,
    values: std::slice::Iter<'a, i16>,
}

impl Iterator for NonZero<'_> {
    /// A coefficient's zigzag index and value.
    type Item = (usize, i32);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let value = *self.values.next()?;
        let place = self.mask.trailing_zeros() as usize;
        self.mask &= self.mask.wrapping_sub(1);
        Some((place & 63, value.into()))
    }
}

impl Component {
    fn new((h, v): (usize, usize), (across, down): (usize, usize), used: (usize, usize), table: [u16; 64]) -> Self {
        let blocks = vec![Block::default(); across * down];
        Self { h, v, across, down, used, table, blocks, values: Vec::new() }
    }

    fn of(&self, block: &Block) -> NonZero<'_> {
        let start = block.start as usize;
        let values = &self.values[start..start + block.mask.count_ones() as usize];
        NonZero { mask: block.mask, values: values.iter() }
    }
}

/// The quantisation table of a component, in zigzag order; `None` if its steps do not fit 8-bit files.
fn steps(header: &JpegHeader, component: usize) -> Option<[u16; 64]> {
    let slot = usize::from(header.components.get(component)?.table);
    let table = (*header.quant_tables.get(slot)?)?;
    table.iter().all(|step| (1..=255).contains(step)).then_some(table)
}

#[cfg(test)]
mod tests;
