//! A JPEG's segments up to its first scan: sizes, sampling, tables, orientation, profile.
//!
//! The decoder's own parser is not used, because this one has to work on a stream, accept stray bytes as decoders do,
//! and return quantisation tables. Files that cannot be decoded at all (lossless, hierarchical, 12 bits) are refused
//! here.

use std::io::{BufRead, Seek};

use super::super::Facts;
use super::super::reader::{HeaderReader, unsupported};
use crate::{Format, Result, metadata};

/// Larger profiles are not collected.
const MAX_ICC_BYTES: usize = 4 << 20;
/// Their number is a byte.
const MAX_ICC_CHUNKS: usize = 255;
const MAX_EXIF_SEGMENTS: usize = 16;

/// The contents of a JPEG before its first scan.
#[derive(Debug, Clone, Default)]
pub(crate) struct JpegHeader {
    pub(crate) components: Vec<Component>,
    /// In zigzag order, as stored.
    pub(crate) quant_tables: [Option<[u16; 64]>; 4],
    pub(crate) progressive: bool,
    pub(crate) arithmetic: bool,
    /// The `transform` byte of Adobe's marker: 0 RGB or CMYK, 1 YCbCr, 2 YCCK.
    pub(crate) adobe: Option<u8>,
    pub(crate) jfif: bool,
    /// Number of components in the first scan.
    pub(crate) first_scan: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Component {
    pub(crate) id: u8,
    pub(crate) h: u8,
    pub(crate) v: u8,
    pub(crate) table: u8,
}

impl JpegHeader {
    /// Whether its three components are Y, Cb and Cr, by libjpeg's rules.
    pub(crate) fn is_ycbcr(&self) -> bool {
        let ids: Vec<u8> = self.components.iter().map(|c| c.id).collect();
        self.components.len() == 3
            && (self.jfif
                || match self.adobe {
                    Some(transform) => transform != 0,
                    None => ids != *b"RGB",
                })
    }

    /// Whether its four components are Y, Cb, Cr and K, by libjpeg's rules.
    pub(crate) fn is_ycck(&self) -> bool {
        self.components.len() == 4 && self.adobe.is_some_and(|transform| transform != 0)
    }

    /// Whether it is Huffman-coded and each coefficient is complete in one scan.
    pub(crate) fn is_sequential(&self) -> bool {
        !self.progressive && !self.arithmetic
    }

    /// Whether the file is sequential and its first scan has only some components.
    pub(crate) fn is_split(&self) -> bool {
        self.is_sequential() && usize::from(self.first_scan) < self.components.len()
    }

    /// The largest sampling factors.
    pub(crate) fn most(&self) -> (u8, u8) {
        let most = |factor: fn(&Component) -> u8| self.components.iter().map(factor).max().unwrap_or(1);
        (most(|component| component.h), most(|component| component.v))
    }

    /// The sampling factors of luma over chroma; `None` unless chroma is 1×1 in three components.
    pub(crate) fn sampling(&self) -> Option<(u8, u8)> {
        match self.components.as_slice() {
            [y, cb, cr] if (cb.h, cb.v) == (1, 1) && (cr.h, cr.v) == (1, 1) => Some((y.h, y.v)),
            _ => None,
        }
    }

    /// Quantisation table of a component, in row-major order.
    pub(crate) fn table(&self, component: usize) -> Option<[u16; 64]> {
        let stored = self.quant_tables[usize::from(self.components.get(component)?.table & 3)]?;
        Some(natural(&stored))
    }

    /// Takes the quantisation tables from a segment.
    pub(super) fn define_quant_tables(&mut self, mut body: &[u8]) {
        while let Some((&first, rest)) = body.split_first() {
            let wide = first >> 4 != 0;
            let size = if wide { 128 } else { 64 };
            let Some(values) = rest.get(..size) else { return };
            let mut table = [0; 64];
            for (i, value) in table.iter_mut().enumerate() {
                *value = if wide { u16::from_be_bytes([values[2 * i], values[2 * i + 1]]) } else { values[i].into() };
            }
            self.quant_tables[usize::from(first & 3)] = Some(table);
            body = &rest[size..];
        }
    }
}

/// A table in row-major order, from one in zigzag order.
pub(super) fn natural(zigzag: &[u16; 64]) -> [u16; 64] {
    let mut table = [0; 64];
    for (step, place) in zigzag.iter().zip(NATURAL_ORDER) {
        table[usize::from(place)] = *step;
    }
    table
}

pub(crate) fn inspect<R: BufRead + Seek>(reader: R) -> Result<Facts> {
    let mut reader = HeaderReader::new(reader, Format::Jpeg);
    reader.skip(2)?;
    let mut header = JpegHeader::default();
    let mut facts = Facts::new(Format::Jpeg, 0, 0, 1);
    let mut icc = Vec::new();
    let mut exif_segments = 0;
    loop {
        let marker = next_marker(&mut reader)?;
        // Markers without a body.
        if matches!(marker, 0x01 | 0xd0..=0xd8) {
            continue;
        }
        if marker == 0xd9 {
            return Err(reader.corrupt("it ends before its first scan"));
        }
        let length =
            reader.be16()?.checked_sub(2).ok_or_else(|| reader.corrupt("a segment is shorter than its own length"))?;
        match marker {
            0xc4 | 0xc8 | 0xcc => reader.skip(length.into())?,
            0xc0..=0xcf => {
                let body = reader.vec(length.into())?;
                frame(&body, marker, &reader, &mut header, &mut facts)?;
            }
            0xda => {
                header.first_scan = reader.byte()?;
                break;
            }
            0xdb => header.define_quant_tables(&reader.vec(length.into())?),
            0xe0 => header.jfif |= reader.vec(length.into())?.starts_with(b"JFIF\0"),
            0xe1 if exif_segments < MAX_EXIF_SEGMENTS => {
                let body = reader.vec(length.into())?;
                if let Some(block) = body.strip_prefix(metadata::EXIF_PREFIX) {
                    exif_segments += 1;
                    if facts.exif.is_none() {
                        facts.exif = Some(block.to_vec());
                    }
                    // The first block with an orientation decides.
                    if facts.orientation == 1 {
                        facts.orientation = metadata::orientation(block);
                    }
                } else if let Some(packet) = body.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
                    exif_segments += 1;
                    if facts.xmp.is_none() {
                        facts.xmp = Some(packet.to_vec());
                    }
                }
            }
            0xe2 => icc_chunk(&reader.vec(length.into())?, &mut icc),
            0xee => {
                let body = reader.vec(length.into())?;
                if body.starts_with(b"Adobe") && body.len() >= 12 {
                    header.adobe = Some(body[11]);
                }
            }
            _ => reader.skip(length.into())?,
        }
    }
    if header.components.is_empty() {
        return Err(reader.corrupt("its first scan stands before its frame header"));
    }
    facts.icc = assembled(icc);
    facts.jpeg = Some(header);
    Ok(facts)
}

fn next_marker<R: BufRead + Seek>(reader: &mut HeaderReader<R>) -> Result<u8> {
    // Stray bytes between segments violate the standard but are common; decoders skip them.
    loop {
        while reader.byte()? != 0xff {}
        let mut marker = reader.byte()?;
        while marker == 0xff {
            marker = reader.byte()?;
        }
        if marker != 0 {
            return Ok(marker);
        }
    }
}

fn frame<R: BufRead + Seek>(
    body: &[u8],
    marker: u8,
    reader: &HeaderReader<R>,
    header: &mut JpegHeader,
    facts: &mut Facts,
) -> Result<()> {
    if !header.components.is_empty() {
        return Err(reader.corrupt("it has two frame headers"));
    }
    let &[precision, h1, h0, w1, w0, count, ref components @ ..] = body else {
        return Err(reader.corrupt("its frame header is too short"));
    };
    if matches!(marker, 0xc3 | 0xc5..=0xc7 | 0xcb | 0xcd..=0xcf) {
        return Err(unsupported(Format::Jpeg, "lossless and hierarchical coding are not supported"));
    }
    if precision != 8 {
        return Err(unsupported(Format::Jpeg, format!("{precision} bits a sample are not supported")));
    }
    facts.header.height = u16::from_be_bytes([h1, h0]).into();
    facts.header.width = u16::from_be_bytes([w1, w0]).into();
    if !matches!(count, 1 | 3 | 4) {
        return Err(unsupported(Format::Jpeg, format!("{count} components are not supported")));
    }
    for component in components.as_chunks::<3>().0.iter().take(count.into()) {
        let [id, sampling, table] = *component;
        if !matches!((sampling >> 4, sampling & 15), (1..=4, 1..=4)) {
            return Err(reader.corrupt("a sampling factor is not from 1 to 4"));
        }
        header.components.push(Component { id, h: sampling >> 4, v: sampling & 15, table });
    }
    if header.components.len() != usize::from(count) {
        return Err(reader.corrupt("its frame header is too short"));
    }
    header.progressive = matches!(marker, 0xc2 | 0xca);
    header.arithmetic = matches!(marker, 0xc9 | 0xca);
    Ok(())
}

fn icc_chunk(body: &[u8], chunks: &mut Vec<(u8, Vec<u8>)>) {
    if let Some([number, _count, data @ ..]) = body.strip_prefix(b"ICC_PROFILE\0")
        && chunks.len() < MAX_ICC_CHUNKS
        && chunks.iter().map(|(_, data)| data.len()).sum::<usize>() + data.len() <= MAX_ICC_BYTES
    {
        chunks.push((*number, data.to_vec()));
    }
}

fn assembled(mut chunks: Vec<(u8, Vec<u8>)>) -> Option<Vec<u8>> {
    chunks.sort_by_key(|(number, _)| *number);
    let in_sequence = chunks.iter().zip(1..).all(|((number, _), expected)| *number == expected);
    (in_sequence && !chunks.is_empty()).then(|| chunks.into_iter().flat_map(|(_, data)| data).collect())
}

/// A marker with its segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment<'a> {
    pub(crate) marker: u8,
    /// Without its length.
    pub(crate) body: &'a [u8],
    /// Position of the marker, and of the first byte after the segment.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Whether one of eight bytes is 0xFF.
pub(super) fn has_marker(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    (!word).wrapping_sub(ONES) & word & (ONES << 7) != 0
}

/// The position of the first 0xFF. Most of a file is entropy-coded data, so this has to be fast.
fn marker_byte(data: &[u8]) -> Option<usize> {
    let words = data.as_chunks::<8>().0.iter();
    let passed = 8 * words.take_while(|word| !has_marker(u64::from_ne_bytes(**word))).count();
    data[passed..].iter().position(|&byte| byte == 0xff).map(|found| passed + found)
}

/// The complete segments of a file up to and including its end marker, without restart markers.
pub(crate) fn segments(source: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let mut at = Some(2);
    std::iter::from_fn(move || {
        loop {
            let from = at.take()?;
            let start = from + marker_byte(source.get(from..)?)?;
            let marker = *source.get(start + 1)?;
            match marker {
                // A fill byte may be the first byte of a marker.
                0xff => at = Some(start + 1),
                0 | 0x01 | 0xd0..=0xd8 => at = Some(start + 2),
                0xd9 => return Some(Segment { marker, body: &[], start, end: start + 2 }),
                _ => {
                    let length = usize::from(u16::from_be_bytes(*source.get(start + 2..)?.first_chunk()?));
                    let body = source.get(start + 4..start + 2 + length)?;
                    at = Some(start + 2 + length);
                    return Some(Segment { marker, body, start, end: start + 2 + length });
                }
            }
        }
    })
}

/// How much of a file consists of complete segments and the data between them.
pub(super) struct Extent {
    pub(super) end: usize,
    /// Whether the end marker follows.
    pub(super) is_ended: bool,
}

/// Walks over a file's segments up to its end marker, or to where it is truncated.
pub(super) fn extent(source: &[u8]) -> Extent {
    let mut at = 2;
    loop {
        let rest = source.get(at..).unwrap_or_default();
        let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff);
        let Some(step) = rest.windows(2).position(is_marker) else {
            return Extent { end: source.len(), is_ended: false };
        };
        let (start, marker) = (at + step, rest[step + 1]);
        at = match (marker, rest.get(step + 2..step + 4)) {
            (0xd9, _) => return Extent { end: start, is_ended: true },
            // Markers without a body.
            (0x01 | 0xd0..=0xd8, _) => start + 2,
            (_, Some(&[high, low])) => start + 2 + usize::from(u16::from_be_bytes([high, low])),
            _ => source.len() + 1,
        };
        if at > source.len() {
            return Extent { end: start, is_ended: false };
        }
    }
}

/// The row-major index of each zigzag position.
#[rustfmt::skip]
pub(crate) const NATURAL_ORDER: [u8; 64] = [
     0,  1,  8, 16,  9,  2,  3, 10, 17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// The tables of the standard's annex K, row-major.
#[rustfmt::skip]
pub(super) const STANDARD_LUMA: [u8; 64] = [
    16, 11, 10, 16,  24,  40,  51,  61,
    12, 12, 14, 19,  26,  58,  60,  55,
    14, 13, 16, 24,  40,  57,  69,  56,
    14, 17, 22, 29,  51,  87,  80,  62,
    18, 22, 37, 56,  68, 109, 103,  77,
    24, 35, 55, 64,  81, 104, 113,  92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103,  99,
];

#[rustfmt::skip]
pub(super) const STANDARD_CHROMA: [u8; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99,
    18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_beyond_what_a_byte_numbers_are_not_collected() {
        // A limit on bytes does not catch empty chunks: 200,000 of them made the probe take ten seconds.
        let mut chunks = Vec::new();
        for _ in 0..1000 {
            icc_chunk(b"ICC_PROFILE\0\x01\x01", &mut chunks);
        }
        assert_eq!(chunks.len(), MAX_ICC_CHUNKS);
    }

    #[test]
    fn extent_ends_with_the_last_whole_segment() {
        // A comment, a scan with a stuffed byte and a restart, and the end.
        let file = b"\xff\xd8\xff\xfe\0\x04\xff\xd9\xff\xda\0\x03\x01\x07\xff\0\x07\xff\xd0\x07\xff\xd9";
        for (cut, end) in [(22, 20), (21, 21), (20, 20), (13, 13), (12, 8), (10, 8), (9, 9), (8, 8), (7, 2), (2, 2)] {
            let Extent { end: found, is_ended } = extent(&file[..cut]);
            assert_eq!((found, is_ended), (end, cut == 22), "cut at {cut}");
        }
    }
}
