//! Writes coefficients as a baseline JPEG.

use libjpeg_turbo_rs::encode::huff_opt::gen_optimal_table;
use libjpeg_turbo_rs::encode::huffman_encode::build_huff_table;
use libjpeg_turbo_rs::encode::tables as standard;

use super::bits::Writer;
use super::{Block, Coefficients, Component};

/// Largest sizes of coefficients in a baseline file, in bits.
const MAX_DC: u32 = 11;
const MAX_AC: u32 = 10;

/// How coefficients are written.
#[derive(Debug)]
pub(crate) struct Coding<'a> {
    /// The quantisation table of each component, in zigzag order.
    pub(crate) tables: &'a [[u16; 64]],
    /// For each component, replaced blocks, quantised with these tables.
    pub(crate) patches: &'a [Patch],
    /// Whether to make Huffman tables for this picture: a few per cent fewer bytes for a second pass.
    pub(crate) optimise: bool,
}

/// Blocks that replace those of a rectangle.
#[derive(Debug)]
pub(crate) struct Patch {
    pub(crate) left: usize,
    pub(crate) top: usize,
    pub(crate) across: usize,
    /// Row by row; `None` for a block that stays as it is.
    pub(crate) blocks: Vec<Option<[i16; 64]>>,
}

impl Patch {
    fn at(&self, x: usize, y: usize) -> Option<&[i16; 64]> {
        let (x, y) = (x.checked_sub(self.left)?, y.checked_sub(self.top)?);
        if x >= self.across { None } else { self.blocks.get(y * self.across + x)?.as_ref() }
    }
}

/// The complete file; `None` if a value is too large for one.
pub(crate) fn write(picture: &Coefficients, coding: &Coding<'_>) -> Option<Vec<u8>> {
    let definitions = if coding.optimise {
        let mut counts = Counts([[0; 257]; 4]);
        walk(picture, coding, &mut counts)?;
        counts.0.each_ref().map(gen_optimal_table)
    } else {
        [
            (standard::DC_LUMINANCE_BITS, standard::DC_LUMINANCE_VALUES.to_vec()),
            (standard::AC_LUMINANCE_BITS, standard::AC_LUMINANCE_VALUES.to_vec()),
            (standard::DC_CHROMINANCE_BITS, standard::DC_CHROMINANCE_VALUES.to_vec()),
            (standard::AC_CHROMINANCE_BITS, standard::AC_CHROMINANCE_VALUES.to_vec()),
        ]
    };
    let values: usize =
        picture.components.iter().map(|component| component.values.len() + component.blocks.len()).sum();
    let mut codes = Codes::new(&definitions, values);
    walk(picture, coding, &mut codes)?;
    let mut file = Vec::new();
    head(picture, coding.tables, &definitions, &mut file);
    codes.bits.finish(&mut file);
    file.extend([0xff, 0xd9]);
    Some(file)
}

/// Receives the symbols of a scan. `table` is 0 or 1 for the first component, 2 or 3 for the others.
trait Sink {
    /// A symbol, and the `size` bits after it.
    fn put(&mut self, table: usize, symbol: usize, bits: u32, size: u32);
}

/// How often each symbol is used.
struct Counts([[u32; 257]; 4]);

impl Sink for Counts {
    #[inline]
    fn put(&mut self, table: usize, symbol: usize, _: u32, _: u32) {
        self.0[table][symbol] += 1;
    }
}

struct Codes {
    /// Each code, with its length in the lowest byte.
    codes: [[u32; 256]; 4],
    bits: Writer,
}

impl Codes {
    fn new(definitions: &[([u8; 17], Vec<u8>); 4], values: usize) -> Self {
        let codes = definitions.each_ref().map(|(counts, symbols)| {
            let table = build_huff_table(counts, symbols);
            std::array::from_fn(|symbol| u32::from(table.ehufco[symbol]) << 8 | u32::from(table.ehufsi[symbol]))
        });
        Self { codes, bits: Writer::new(values) }
    }
}

impl Sink for Codes {
    #[inline]
    fn put(&mut self, table: usize, symbol: usize, bits: u32, size: u32) {
        let code = self.codes[table][symbol & 255];
        self.bits.put((code >> 8) << size | bits, (code & 255) + size);
    }
}

/// Converts values to other quantisation steps.
struct Steps {
    from: [u32; 64],
    /// Half of each new step without ties, and the factor that replaces the division by it.
    to: [(u32, u64); 64],
}

impl Steps {
    /// `None` if the tables are the same.
    fn new(from: &[u16; 64], to: &[u16; 64]) -> Option<Self> {
        if from == to {
            return None;
        }
        // Exact for all values that occur: ten bits times a step of eight bits.
        let to = to.map(|step| ((u32::from(step) - 1) / 2, (1 << 32) / u64::from(step) + 1));
        Some(Self { from: from.map(u32::from), to })
    }

    /// Ties are rounded to zero, which is as near as the other side and takes fewer bits.
    #[inline]
    fn requantised(&self, place: usize, value: i32) -> i32 {
        let (half, reciprocal) = self.to[place];
        let scaled = value.unsigned_abs() * self.from[place] + half;
        let result = ((u64::from(scaled) * reciprocal) >> 32) as i32;
        if value < 0 { -result } else { result }
    }
}

fn walk(picture: &Coefficients, coding: &Coding<'_>, sink: &mut impl Sink) -> Option<()> {
    let steps: Vec<Option<Steps>> =
        picture.components.iter().zip(coding.tables).map(|(component, to)| Steps::new(&component.table, to)).collect();
    let first = picture.components.first()?;
    let (columns, rows) = (first.across / first.h, first.down / first.v);
    let mut predictions = [0; 4];
    for row in 0..rows {
        for column in 0..columns {
            for (i, (component, steps)) in picture.components.iter().zip(&steps).enumerate() {
                let Component { h, v, across, .. } = *component;
                let table = if i == 0 { 0 } else { 2 };
                let prediction = &mut predictions[i];
                for y in row * v..row * v + v {
                    for x in column * h..column * h + h {
                        if x >= component.used.0 || y >= component.used.1 {
                            // The block is outside the picture, so it gets the shortest code.
                            block(*prediction, std::iter::empty(), prediction, table, sink)?;
                            continue;
                        }
                        if let Some(patch) = coding.patches.get(i).and_then(|patch| patch.at(x, y)) {
                            let values = (1..64).map(|place| (place, i32::from(patch[place])));
                            block(patch[0].into(), values, prediction, table, sink)?;
                            continue;
                        }
                        let own: &Block = &component.blocks[y * across + x];
                        match steps {
                            None => block(own.dc.into(), component.of(own), prediction, table, sink)?,
                            Some(steps) => {
                                let values = component.of(own);
                                let values = values.map(|(place, value)| (place, steps.requantised(place, value)));
                                block(steps.requantised(0, own.dc.into()), values, prediction, table, sink)?;
                            }
                        }
                    }
                }
            }
        }
    }
    Some(())
}

#[inline]
fn block(
    dc: i32,
    values: impl Iterator<Item = (usize, i32)>,
    prediction: &mut i32,
    table: usize,
    sink: &mut impl Sink,
) -> Option<()> {
    let difference = dc - *prediction;
    *prediction = dc;
    let size = size(difference);
    if size > MAX_DC {
        return None;
    }
    sink.put(table, size as usize, magnitude(difference, size), size);
    let mut next = 1;
    for (place, value) in values {
        if value == 0 {
            continue;
        }
        let mut run = place - next;
        next = place + 1;
        while run > 15 {
            sink.put(table + 1, 0xf0, 0, 0);
            run -= 16;
        }
        let size = self::size(value);
        if size > MAX_AC {
            return None;
        }
        sink.put(table + 1, run << 4 | size as usize, magnitude(value, size), size);
    }
    if next < 64 {
        sink.put(table + 1, 0, 0, 0);
    }
    Some(())
}

/// Number of bits of a number.
#[inline]
fn size(value: i32) -> u32 {
    32 - value.unsigned_abs().leading_zeros()
}

/// The bits of a number. Those of negative numbers begin with a zero.
#[inline]
fn magnitude(value: i32, size: u32) -> u32 {
    (value + (value >> 31)) as u32 & ((1 << size) - 1)
}

/// Everything before the scan's data.
fn head(picture: &Coefficients, tables: &[[u16; 64]], definitions: &[([u8; 17], Vec<u8>); 4], file: &mut Vec<u8>) {
    file.extend([0xff, 0xd8]);
    let mut segment = |marker: u8, parts: &[&[u8]]| {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        file.extend([0xff, marker]);
        file.extend((length as u16 + 2).to_be_bytes());
        for part in parts {
            file.extend_from_slice(part);
        }
    };
    segment(0xe0, &[b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"]);
    let coloured = picture.components.len() > 1;
    for (slot, table) in tables.iter().enumerate().take(if coloured { 2 } else { 1 }) {
        segment(0xdb, &[&[slot as u8], &table.map(|step| step as u8)]);
    }
    let mut frame = vec![8];
    frame.extend((picture.height as u16).to_be_bytes());
    frame.extend((picture.width as u16).to_be_bytes());
    frame.push(picture.components.len() as u8);
    let mut scan = vec![picture.components.len() as u8];
    for (i, component) in picture.components.iter().enumerate() {
        let slot = u8::from(i > 0);
        frame.extend([i as u8 + 1, (component.h << 4 | component.v) as u8, slot]);
        scan.extend([i as u8 + 1, slot << 4 | slot]);
    }
    scan.extend([0, 63, 0]);
    segment(0xc0, &[&frame]);
    for (i, (counts, symbols)) in definitions.iter().enumerate().take(if coloured { 4 } else { 2 }) {
        let kind = (i as u8 & 1) << 4 | i as u8 >> 1;
        segment(0xc4, &[&[kind], &counts[1..], symbols]);
    }
    segment(0xda, &[&scan]);
}
