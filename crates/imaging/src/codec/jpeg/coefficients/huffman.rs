//! Huffman tables for reading. A single lookup finds a common code together with the number after it.

use super::bits::Reader;

/// Bits of the first lookup.
const LOOK: u32 = 11;
/// Bits of a lookup that skips symbols, mostly two at a time. A longer lookup skips more, but its table does not fit
/// the nearest cache.
const PASS: u32 = 12;

/// A table as files define it.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    /// Number of codes for each length from 1 to 16 bits.
    pub(super) counts: [u8; 16],
    pub(super) symbols: Vec<u8>,
}

/// A symbol: the number of zeros before a number, and the number's length in bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Symbol {
    pub(super) run: usize,
    pub(super) value: i32,
}

#[derive(Debug)]
pub(super) struct Table {
    /// Indexed by the next bits. Lowest byte: number of bits used, or 0. Next byte: the symbol. Above: the number, or 0
    /// if its bits have not been read yet.
    looks: Box<[u32; 1 << LOOK]>,
    /// For each length, the first 16-bit value beyond the codes of that length, and the value to add to a code to get
    /// its index.
    ends: [(u32, i32); 17],
    symbols: Vec<u8>,
}

impl Table {
    /// `None` for a table that no encoder of 8-bit files writes.
    pub(super) fn new(definition: &Definition, allowed: impl Fn(u8) -> bool) -> Option<Self> {
        let mut looks = Box::new([0; 1 << LOOK]);
        let mut ends = [(0, 0); 17];
        let (mut code, mut index) = (0_u32, 0_usize);
        for (length, &count) in (1..=16_u32).zip(&definition.counts) {
            code <<= 1;
            let offset = index as i32 - code as i32;
            for _ in 0..count {
                let &symbol = definition.symbols.get(index)?;
                if !allowed(symbol) || code >> length != 0 {
                    return None;
                }
                if length <= LOOK {
                    fill(&mut looks[..], code, length, symbol);
                }
                code += 1;
                index += 1;
            }
            if code > 1 << length {
                return None;
            }
            ends[length as usize] = (code << (16 - length), offset);
        }
        Some(Self { looks, ends, symbols: definition.symbols.clone() })
    }

    /// The next symbol with its number; `None` if the bits are not a code.
    #[inline]
    pub(super) fn next(&self, bits: &mut Reader<'_>) -> Option<Symbol> {
        bits.prepare();
        let look = self.looks[bits.peek(LOOK) as usize];
        bits.skip(look & 255);
        let value = look as i32 >> 16;
        if value != 0 {
            return Some(Symbol { run: (look as usize >> 12) & 15, value });
        }
        let [size, symbol, ..] = look.to_le_bytes();
        let symbol = if size == 0 { self.long(bits)? } else { symbol };
        let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 {
            return Some(Symbol { run, value: 0 });
        }
        let value = extended(bits.peek(size), size);
        bits.skip(size);
        Some(Symbol { run, value })
    }

    #[cold]
    fn long(&self, bits: &mut Reader<'_>) -> Option<u8> {
        let code = bits.peek(16);
        let length = (LOOK + 1..=16).find(|&length| code < self.ends[length as usize].0)?;
        bits.skip(length);
        let index = (code >> (16 - length)) as i32 + self.ends[length as usize].1;
        self.symbols.get(usize::try_from(index).ok()?).copied()
    }
}

/// Skips symbols and their numbers.
#[derive(Debug)]
pub(super) struct Passes {
    /// Indexed by the next bits, for the complete symbols in them. Lowest four bits: number of bits used. Next bit:
    /// whether the last symbol ends the block. Above: number of places filled. 0 if there is no complete symbol.
    looks: Box<[u16; 1 << PASS]>,
}

impl Passes {
    pub(super) fn of(table: &Table) -> Self {
        Self { looks: Box::new(std::array::from_fn(|window| passed(table, window as u32))) }
    }

    /// The number of places filled, at most `left`, and whether the block has ended. `None` if the next symbol has to
    /// be read separately.
    #[inline]
    pub(super) fn next(&self, bits: &mut Reader<'_>, left: usize) -> Option<(usize, bool)> {
        bits.prepare();
        let look = self.looks[bits.peek(PASS) as usize];
        let places = usize::from(look >> 5);
        if look == 0 || places > left {
            return None;
        }
        bits.skip(u32::from(look & 15));
        Some((places, look & 16 != 0))
    }
}

/// The entry of [`Passes`] for these bits.
fn passed(table: &Table, window: u32) -> u16 {
    let (mut used, mut places, mut is_over) = (0, 0, 0);
    while is_over == 0 {
        let look = table.looks[((window << used & ((1 << PASS) - 1)) >> (PASS - LOOK)) as usize];
        let [done, symbol, ..] = look.to_le_bytes();
        let (run, size) = (u16::from(symbol >> 4), u32::from(symbol & 15));
        let length = u32::from(done) + if look >> 16 == 0 { size } else { 0 };
        if done == 0 || used + length > PASS {
            break;
        }
        match (run, size) {
            (0, 0) => is_over = 1,
            (15, 0) => places += 16,
            // No encoder writes this; the reader refuses it.
            (_, 0) => break,
            _ => places += run + 1,
        }
        used += length;
    }
    places << 5 | is_over << 4 | used as u16
}

/// Fills all entries that begin with `code`.
fn fill(looks: &mut [u32], code: u32, length: u32, symbol: u8) {
    let rest = LOOK - length;
    let size = u32::from(symbol & 15);
    for tail in 0..1 << rest {
        let known = size > 0 && size <= rest;
        let (value, used) = if known { (extended(tail >> (rest - size), size), length + size) } else { (0, length) };
        looks[(code << rest | tail) as usize] = (value as u32) << 16 | u32::from(symbol) << 8 | used;
    }
}

/// The number coded by `size` bits. Numbers that begin with a zero are negative.
#[inline]
fn extended(bits: u32, size: u32) -> i32 {
    let bits = bits as i32;
    if bits >> (size - 1) == 0 { bits - (1 << size) + 1 } else { bits }
}
