//! A JPEG's quantised DCT coefficients: read once, looked at by many, written again.
//!
//! Only those that are not zero are kept, so that a photograph's take about as much memory as its file. [`read`]
//! reads everyday files (baseline in one scan, progressive) and leaves all others, whatever is wrong or unusual about
//! them, to the decoder and to [`planes`], which reads sequential files of any scans; [`Component::samples`] makes
//! planes of them at full or reduced size; [`write`] makes a file of them, with the tables they have or with others.

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

/// All of a picture's.
#[derive(Debug)]
pub(crate) struct Coefficients {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) components: Vec<Component>,
}

/// Those of Y, Cb or Cr.
#[derive(Debug)]
pub(crate) struct Component {
    /// Blocks in an MCU, along x and y.
    pub(crate) h: usize,
    pub(crate) v: usize,
    /// Blocks in a row and in a column, those beyond the picture's edge that fill its last MCUs counted.
    pub(crate) across: usize,
    pub(crate) down: usize,
    /// How many of them hold some of the picture.
    used: (usize, usize),
    /// Its quantisation table, in zigzag order as all coefficients here.
    pub(crate) table: [u16; 64],
    blocks: Vec<Block>,
    values: Vec<i16>,
}

/// Eight by eight samples.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    /// Which of the coefficients 1 to 63 are not zero.
    mask: u64,
    /// Where these stand among the component's values.
    start: u32,
    dc: i16,
}

/// A block's coefficients that are not zero, but for the first.
#[derive(Debug, Clone)]
struct NonZero<'a> {
    mask: u64,
    values: std::slice::Iter<'a, i16>,
}

impl Iterator for NonZero<'_> {
    /// A coefficient's place in the zigzag, and its value.
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

/// The quantisation table of a component, in zigzag order, if its steps are those of 8-bit files.
fn steps(header: &JpegHeader, component: usize) -> Option<[u16; 64]> {
    let slot = usize::from(header.components.get(component)?.table);
    let table = (*header.quant_tables.get(slot)?)?;
    table.iter().all(|step| (1..=255).contains(step)).then_some(table)
}

#[cfg(test)]
mod tests;
