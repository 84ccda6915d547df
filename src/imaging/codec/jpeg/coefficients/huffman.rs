//! Huffman tables for reading: the codes that are common, and the numbers behind them, in one look.

use super::bits::Reader;

/// Bits of the first look.
const LOOK: u32 = 11;

/// A table as files define it.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    /// How many codes there are of 1 to 16 bits.
    pub(super) counts: [u8; 16],
    pub(super) symbols: Vec<u8>,
}

/// A symbol: how many zeros come before a number, and how many bits that has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Symbol {
    pub(super) run: usize,
    pub(super) value: i32,
}

#[derive(Debug)]
pub(super) struct Table {
    /// By the next bits. The lowest byte: how many are done with, or 0. The next one: the symbol. Above: the number,
    /// or 0 where its bits are still to be read.
    looks: Box<[u32; 1 << LOOK]>,
    /// By length: the first 16 bits that are beyond the codes of that length, and what to add to a code for its index.
    ends: [(u32, i32); 17],
    symbols: Vec<u8>,
}

impl Table {
    /// `None` for a table that no encoder of 8-bit files makes.
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

    /// The next symbol with its number; `None` for what is no code.
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

/// Enters all looks that begin with `code`.
fn fill(looks: &mut [u32], code: u32, length: u32, symbol: u8) {
    let rest = LOOK - length;
    let size = u32::from(symbol & 15);
    for tail in 0..1 << rest {
        let known = size > 0 && size <= rest;
        let (value, used) = if known { (extended(tail >> (rest - size), size), length + size) } else { (0, length) };
        looks[(code << rest | tail) as usize] = (value as u32) << 16 | u32::from(symbol) << 8 | used;
    }
}

/// The number that `size` bits stand for: those that begin with a zero are negative.
#[inline]
fn extended(bits: u32, size: u32) -> i32 {
    let bits = bits as i32;
    if bits >> (size - 1) == 0 { bits - (1 << size) + 1 } else { bits }
}
