//! Decodes sequential Huffman-coded files with any scans directly to planes.
//!
//! Each component is in one scan, alone or with others. Tables and the restart interval may change between scans. A
//! component uses the quantisation table that is in its slot when its scan begins.

use super::bits::Reader;
use super::huffman::{Definition, Table};
use super::read::{block, huffman_tables};
use super::{Component, JpegHeader};
use crate::codec::jpeg::header::segments;
use crate::codec::jpeg::planes::Plane;
use crate::codec::jpeg::{MAX_SCANS, too_many_scans};
use crate::codec::reader::{self, corrupt, truncated};
use crate::codec::{Facts, Reading};
use crate::{Format, Result};

/// The grey of a component without data.
const GREY: u8 = 128;

/// The tables defined by segments before a scan.
#[derive(Default)]
struct Tables {
    /// For first coefficients and for the others, by slot.
    huffman: [[Option<Definition>; 4]; 2],
    /// By slot, in zigzag order.
    steps: [Option<[u16; 64]>; 4],
    /// Number of MCUs between two restart markers; 0 if there are none.
    interval: usize,
}

/// A component of a scan.
struct Taking {
    /// Its index in the frame.
    place: usize,
    dc: Table,
    ac: Table,
    prediction: i32,
    /// One row of MCUs.
    row: Component,
}

/// The planes of all components, and whether data is missing, which only a lenient reading accepts.
///
/// # Errors
/// `corrupt-image` for invalid data, `truncated-image` if the data ends early, `too-large` for too many scans,
/// `time-limit`.
pub(crate) fn planes(source: &[u8], facts: &Facts, reading: &Reading<'_>) -> Result<(Vec<Plane>, bool)> {
    let header = facts.jpeg.as_ref().ok_or_else(|| broken("no header was read"))?;
    let size = (facts.header.width as usize, facts.header.height as usize);
    let mut planes = Plane::all(header, size, GREY);
    let mut tables = Tables::default();
    let mut seen = vec![false; planes.len()];
    let (mut scans, mut is_ended, mut cut_short) = (0, false, false);
    for segment in segments(source) {
        match segment.marker {
            0xc4 => huffman_tables(segment.body, &mut tables.huffman)
                .ok_or_else(|| broken("a Huffman table's segment is too short"))?,
            0xdb => header_tables(segment.body, &mut tables),
            0xdd => {
                let interval = segment.body.first_chunk().ok_or_else(|| broken("a restart interval has no bytes"))?;
                tables.interval = u16::from_be_bytes(*interval).into();
            }
            0xd9 => is_ended = true,
            0xda => {
                scans += 1;
                if scans > MAX_SCANS {
                    return Err(too_many_scans(scans));
                }
                let mut taking = chosen(segment.body, header, &tables, &planes)?;
                for part in &taking {
                    seen[part.place] = true;
                }
                let data = source.get(segment.end..).unwrap_or_default();
                if !scan(data, &mut taking, &mut planes, tables.interval, reading)? {
                    cut_short = true;
                    break;
                }
                // If the first scan has all components, decoders read no further scans.
                if taking.len() == planes.len() {
                    is_ended = true;
                    break;
                }
            }
            _ => {}
        }
    }
    cut_short |= !is_ended && seen.contains(&false);
    if cut_short && !reading.lenient {
        return Err(truncated(Format::Jpeg, "the data ends before the picture does"));
    }
    Ok((planes, cut_short))
}

fn broken(what: &str) -> crate::Error {
    corrupt(Format::Jpeg, what)
}

fn header_tables(body: &[u8], tables: &mut Tables) {
    let mut read = JpegHeader { quant_tables: tables.steps, ..JpegHeader::default() };
    read.define_quant_tables(body);
    tables.steps = read.quant_tables;
}

/// The scan's components with their tables.
fn chosen(body: &[u8], header: &JpegHeader, tables: &Tables, planes: &[Plane]) -> Result<Vec<Taking>> {
    let short = || broken("a scan's header is too short");
    let (&count, rest) = body.split_first().ok_or_else(short)?;
    let (pairs, _) = rest.split_at_checked(2 * usize::from(count)).ok_or_else(short)?;
    let single = count == 1;
    let mut taking: Vec<Taking> = Vec::with_capacity(count.into());
    for &[id, slots] in pairs.as_chunks::<2>().0 {
        let place = header.components.iter().position(|component| component.id == id);
        let place = place.filter(|place| taking.iter().all(|part| part.place != *place));
        let place = place.ok_or_else(|| broken("a scan names a component that is not the frame's, or one twice"))?;
        let definition = |class: usize, slot: u8| tables.huffman[class].get(usize::from(slot))?.as_ref();
        let dc = definition(0, slots >> 4).and_then(|definition| Table::new(definition, |symbol| symbol <= 15));
        let ac = definition(1, slots & 15).and_then(|definition| Table::new(definition, |_| true));
        let (Some(dc), Some(ac)) = (dc, ac) else {
            return Err(broken("a scan's Huffman table is missing or impossible"));
        };
        let slot = usize::from(header.components[place].table);
        let steps = tables.steps.get(slot).copied().flatten();
        let steps = steps.ok_or_else(|| broken("a component's quantisation table is missing"))?;
        let samples = &planes[place];
        let (h, v) = if single { (1, 1) } else { (samples.h, samples.v) };
        // A scan of one component has no blocks that are only padding.
        let across = if single { samples.width.div_ceil(8) } else { samples.stride / 8 };
        let row = Component::new((h, v), (across, v), (across, v), steps);
        taking.push(Taking { place, dc, ac, prediction: 0, row });
    }
    if taking.is_empty() {
        return Err(broken("a scan has no components"));
    }
    Ok(taking)
}

/// Reads one scan; `false` if its data ends early.
fn scan(
    data: &[u8],
    taking: &mut [Taking],
    planes: &mut [Plane],
    interval: usize,
    reading: &Reading<'_>,
) -> Result<bool> {
    let mut bits = Reader::new(data);
    let (columns, rows) = match &*taking {
        [only] => (only.row.across, planes[only.place].height.div_ceil(8)),
        [first, ..] => {
            let plane = &planes[first.place];
            (plane.stride / (8 * plane.h), plane.rows() / (8 * plane.v))
        }
        [] => (0, 0),
    };
    let (mut until_restart, mut restarts) = (interval, 0_u8);
    for row in 0..rows {
        if (reading.interrupted)() {
            return Err(reader::interrupted());
        }
        let mut whole = true;
        for part in taking.iter_mut() {
            part.row.values.clear();
            part.row.blocks.fill_with(Default::default);
        }
        'row: for column in 0..columns {
            if interval > 0 {
                if until_restart == 0 {
                    if !bits.restart(restarts) {
                        if bits.is_over() {
                            whole = false;
                            break 'row;
                        }
                        return Err(broken("a restart marker is missing"));
                    }
                    restarts = restarts.wrapping_add(1);
                    for part in taking.iter_mut() {
                        part.prediction = 0;
                    }
                    until_restart = interval;
                }
                until_restart -= 1;
            }
            for part in taking.iter_mut() {
                let Taking { dc, ac, prediction, row, .. } = part;
                let (h, v, across) = (row.h, row.v, row.across);
                for y in 0..v {
                    for x in column * h..column * h + h {
                        let block = block::<64>(&mut bits, (dc, ac, None), prediction, &mut row.values);
                        if bits.is_spent() {
                            whole = false;
                            break 'row;
                        }
                        let block = block.ok_or_else(|| broken("a code that is in no Huffman table"))?;
                        row.blocks[y * across + x] = block;
                    }
                }
            }
        }
        for part in taking.iter() {
            planes[part.place].put(row, part.row.v, &part.row.samples(8), 8 * part.row.across);
        }
        if !whole {
            let over = bits.is_over();
            return if over { Ok(false) } else { Err(broken("a scan's data ends before its last block")) };
        }
    }
    Ok(true)
}
