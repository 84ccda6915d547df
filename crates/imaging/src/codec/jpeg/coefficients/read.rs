//! Reads common JPEGs: baseline with all components in one scan, or progressive.

use super::bits::Reader;
use super::huffman::{Definition, Passes, Table};
use super::{Block, Coefficients, Component, steps};
use crate::codec::{Facts, jpeg};
use crate::{Limits, Result};

/// Largest sizes of coefficients in 8-bit files, in bits: of differences between first coefficients, and of the others.
const MAX_DC: u8 = 11;
const MAX_AC: u8 = 10;

/// Number of values allowed for even the smallest picture.
const LEAST_VALUES: usize = 1 << 16;

/// What the file defines before the scan, apart from the header.
struct Scan<'a> {
    tables: Vec<(Table, Table)>,
    /// Number of MCUs between two restart markers; 0 if there are none.
    interval: usize,
    data: &'a [u8],
}

/// Reads the first `depth` coefficients of each block, in zigzag order.
///
/// Returns `None` if the file is damaged or unusual, which is left to the decoder. `go_on` is called before each row.
///
/// # Errors
/// Those of `go_on`.
pub(crate) fn read(
    source: &[u8],
    facts: &Facts,
    depth: usize,
    limits: &Limits,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Option<Coefficients>> {
    if facts.jpeg.as_ref().is_some_and(|header| header.progressive && !header.arithmetic) {
        return Ok(progressive(source, facts, limits));
    }
    match scan(source, facts) {
        Some(scan) if depth == 1 => blocks::<1>(&scan, facts, go_on),
        Some(scan) if depth <= 25 => blocks::<25>(&scan, facts, go_on),
        Some(scan) => blocks::<64>(&scan, facts, go_on),
        None => Ok(None),
    }
}

fn blocks<const DEPTH: usize>(
    scan: &Scan<'_>,
    facts: &Facts,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Option<Coefficients>> {
    let Some((mut picture, (columns, rows))) = empty(facts) else { return Ok(None) };
    // If there is more than one value per pixel, the decoder is used, whose memory does not depend on the contents.
    let most = (picture.width as usize * picture.height as usize).max(LEAST_VALUES);
    let mut bits = Reader::new(scan.data);
    let passes: Vec<_> = scan.tables.iter().map(|(_, ac)| (DEPTH == 1).then(|| Passes::of(ac))).collect();
    let mut predictions = [0_i32; 4];
    let (mut until_restart, mut restarts) = (scan.interval, 0_u8);
    for row in 0..rows {
        go_on()?;
        for column in 0..columns {
            if scan.interval > 0 {
                if until_restart == 0 {
                    if !bits.restart(restarts) {
                        return Ok(None);
                    }
                    restarts = restarts.wrapping_add(1);
                    predictions = [0; 4];
                    until_restart = scan.interval;
                }
                until_restart -= 1;
            }
            for (((component, (dc, ac)), passes), prediction) in
                picture.components.iter_mut().zip(&scan.tables).zip(&passes).zip(&mut predictions)
            {
                let tables = (dc, ac, passes.as_ref());
                let Component { h, v, across, .. } = *component;
                for y in row * v..row * v + v {
                    for x in column * h..column * h + h {
                        let Some(block) = block::<DEPTH>(&mut bits, tables, prediction, &mut component.values) else {
                            return Ok(None);
                        };
                        component.blocks[y * across + x] = block;
                    }
                }
            }
        }
        let values: usize = picture.components.iter().map(|component| component.values.len()).sum();
        if bits.is_spent() || values > most {
            return Ok(None);
        }
    }
    Ok(bits.is_at_end().then_some(picture))
}

#[inline]
pub(super) fn block<const DEPTH: usize>(
    bits: &mut Reader<'_>,
    (dc, ac, passes): (&Table, &Table, Option<&Passes>),
    prediction: &mut i32,
    values: &mut Vec<i16>,
) -> Option<Block> {
    *prediction += dc.next(bits)?.value;
    if !(-2048..2048).contains(prediction) {
        return None;
    }
    let mut block = Block { mask: 0, start: values.len() as u32, dc: *prediction as i16 };
    let mut place = 1;
    while place < 64 {
        if DEPTH == 1
            && let Some((places, is_over)) = passes.and_then(|passes| passes.next(bits, 63 - place))
        {
            if is_over {
                break;
            }
            place += places;
            continue;
        }
        let symbol = ac.next(bits)?;
        if symbol.value == 0 {
            match symbol.run {
                0 => break,
                15 => place += 16,
                _ => return None,
            }
            if place > 63 {
                return None;
            }
            continue;
        }
        place += symbol.run;
        if place > 63 {
            return None;
        }
        if place < DEPTH {
            block.mask |= 1 << place;
            values.push(symbol.value as i16);
        }
        place += 1;
    }
    Some(block)
}

/// The decoder assembles the coefficients of a progressive file, with the memory that this takes. Zeros are dropped
/// here.
fn progressive(source: &[u8], facts: &Facts, limits: &Limits) -> Option<Coefficients> {
    // The header only has the tables before the first scan.
    if jpeg::changes_tables(source) {
        return None;
    }
    // Only the parser has limits, so `read_coefficients` is called only for files that it accepted.
    jpeg::decoder(source, limits).ok()?;
    let (mut picture, _) = empty(facts)?;
    let all = libjpeg_turbo_rs::read_coefficients(source).ok()?;
    if all.components.len() != picture.components.len() {
        return None;
    }
    for (component, all) in picture.components.iter_mut().zip(all.components) {
        if all.blocks_x < component.across || all.blocks.len() < all.blocks_x * component.down {
            return None;
        }
        let in_range = |value: i16, bits: u8| i32::from(value).unsigned_abs() >> bits == 0;
        for (y, row) in all.blocks.chunks_exact(all.blocks_x).take(component.down).enumerate() {
            for (x, values) in row[..component.across].iter().enumerate() {
                let mut block = Block { mask: 0, start: component.values.len() as u32, dc: values[0] };
                for (place, &value) in values.iter().enumerate().skip(1).filter(|(_, value)| **value != 0) {
                    block.mask |= 1 << place;
                    component.values.push(value);
                    if !in_range(value, MAX_AC) {
                        return None;
                    }
                }
                if !in_range(block.dc, MAX_DC) {
                    return None;
                }
                component.blocks[y * component.across + x] = block;
            }
        }
    }
    Some(picture)
}

/// Coefficients that are all zero, in the frame's layout, and its number of MCUs along x and y.
fn empty(facts: &Facts) -> Option<(Coefficients, (usize, usize))> {
    let header = facts.jpeg.as_ref()?;
    let (width, height) = (facts.header.width, facts.header.height);
    // A picture of one component has no MCUs of several blocks, whatever its factors are.
    let single = header.components.len() == 1;
    let factor = |f: u8| if single { 1 } else { usize::from(f) };
    let max_h = header.components.iter().map(|c| factor(c.h)).max()?;
    let max_v = header.components.iter().map(|c| factor(c.v)).max()?;
    let used =
        |h: usize, v: usize| ((width as usize * h).div_ceil(8 * max_h), (height as usize * v).div_ceil(8 * max_v));
    let mcus = ((width as usize).div_ceil(8 * max_h), (height as usize).div_ceil(8 * max_v));
    let mut components = Vec::with_capacity(header.components.len());
    for (i, component) in header.components.iter().enumerate() {
        let (h, v) = (factor(component.h), factor(component.v));
        if !(1..=2).contains(&h) || !(1..=2).contains(&v) {
            return None;
        }
        components.push(Component::new((h, v), (mcus.0 * h, mcus.1 * v), used(h, v), steps(header, i)?));
    }
    Some((Coefficients { width, height, components }, mcus))
}

/// Walks the segments up to the scan.
fn scan<'a>(source: &'a [u8], facts: &Facts) -> Option<Scan<'a>> {
    let header = facts.jpeg.as_ref()?;
    if header.arithmetic {
        return None;
    }
    let mut definitions: [[Option<Definition>; 4]; 2] = Default::default();
    let mut interval = 0;
    let mut rest = source.strip_prefix(&[0xff, 0xd8])?;
    loop {
        let (&[0xff, marker], after) = rest.split_first_chunk::<2>()? else { return None };
        if marker == 0xff {
            rest = &rest[1..];
            continue;
        }
        let (length, _) = after.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let body = after.get(2..length)?;
        rest = &after[length..];
        match marker {
            0xc4 => huffman_tables(body, &mut definitions)?,
            0xdd => interval = usize::from(u16::from_be_bytes(body.try_into().ok()?)),
            0xda => {
                let tables = chosen(body, header, &definitions)?;
                return Some(Scan { tables, interval, data: rest });
            }
            // Segments that may change the coding in unsupported ways: other frames, DNL, DAC.
            0xc2..=0xcf | 0xd0..=0xd9 | 0xdc | 0xde | 0xdf | 0x01 => return None,
            _ => {}
        }
    }
}

pub(super) fn huffman_tables(mut body: &[u8], definitions: &mut [[Option<Definition>; 4]; 2]) -> Option<()> {
    while let Some((&kind, rest)) = body.split_first() {
        let (counts, rest) = rest.split_first_chunk::<16>()?;
        let total: usize = counts.iter().map(|&count| usize::from(count)).sum();
        let symbols = rest.get(..total)?.to_vec();
        let slot = definitions.get_mut(usize::from(kind >> 4))?.get_mut(usize::from(kind & 15))?;
        *slot = Some(Definition { counts: *counts, symbols });
        body = &rest[total..];
    }
    Some(())
}

/// The tables for each component of the scan; `None` unless it has all components, in the frame's order.
fn chosen(
    body: &[u8],
    header: &super::JpegHeader,
    definitions: &[[Option<Definition>; 4]; 2],
) -> Option<Vec<(Table, Table)>> {
    let (&count, rest) = body.split_first()?;
    let (pairs, end) = rest.split_at_checked(2 * usize::from(count))?;
    if usize::from(count) != header.components.len() || end != [0, 63, 0] {
        return None;
    }
    let mut tables = Vec::with_capacity(pairs.len() / 2);
    for (pair, component) in pairs.chunks_exact(2).zip(&header.components) {
        if pair[0] != component.id {
            return None;
        }
        let definition = |class: usize, slot: u8| definitions[class].get(usize::from(slot))?.as_ref();
        let dc = Table::new(definition(0, pair[1] >> 4)?, |symbol| symbol <= MAX_DC)?;
        let ac = Table::new(definition(1, pair[1] & 15)?, |symbol| symbol & 15 <= MAX_AC)?;
        tables.push((dc, ac));
    }
    Some(tables)
}
