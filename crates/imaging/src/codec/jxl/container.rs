//! The container around the code stream, and the first bits of the stream: what is read before the decoder sees the file.

use std::io::{BufRead, Seek};

use crate::codec::Facts;
use crate::codec::reader::{HeaderReader, MAX_BOXES};
use crate::{Format, Result, metadata};

const CODESTREAM: [u8; 2] = [0xff, 0x0a];
/// EXIF and XMP beyond this are not read.
const MAX_METADATA_BYTES: u64 = 1 << 20;

/// EXIF and XMP, which stand in boxes of their own; compressed ones are not read.
pub(super) fn read_advice<R: BufRead + Seek>(reader: &mut HeaderReader<R>, facts: &mut Facts) -> Result<()> {
    if reader.bytes::<2>()? == CODESTREAM {
        return Ok(());
    }
    let mut at = 12;
    for _ in 0..MAX_BOXES {
        let Container { kind, header, size } = Container::read(reader, at)?;
        let length = size.checked_sub(header).ok_or_else(|| reader.corrupt("a box is shorter than its header"))?;
        match &kind {
            b"Exif" if length <= MAX_METADATA_BYTES => {
                let block = reader.vec(length as usize)?;
                facts.exif = metadata::behind_offset(&block).map(<[u8]>::to_vec);
            }
            b"xml " if length <= MAX_METADATA_BYTES => facts.xmp = Some(reader.vec(length as usize)?),
            _ => {}
        }
        at = at.saturating_add(size);
    }
    Ok(())
}

/// A box of the container around the code stream.
struct Container {
    kind: [u8; 4],
    header: u64,
    size: u64,
}

impl Container {
    /// The one that begins there.
    fn read<R: BufRead + Seek>(reader: &mut HeaderReader<R>, at: u64) -> Result<Self> {
        reader.seek(at)?;
        let (short, kind) = (u64::from(reader.be32()?), reader.bytes::<4>()?);
        let (header, size) = match short {
            1 => (16, u64::from(reader.be32()?) << 32 | u64::from(reader.be32()?)),
            // Up to the file's end.
            0 => (8, u64::MAX),
            size => (8, size),
        };
        Ok(Self { kind, header, size })
    }
}

/// The sides as stored.
pub(super) fn size<R: BufRead + Seek>(source: &mut R) -> Result<(u32, u32)> {
    let mut reader = HeaderReader::new(source, Format::Jxl);
    let start = reader.bytes::<2>()?;
    if start != CODESTREAM {
        find_codestream(&mut reader)?;
        if reader.bytes::<2>()? != CODESTREAM {
            return Err(reader.corrupt("its code stream does not begin as one does"));
        }
    }
    // 80 bits hold the longest size header; a shorter file ends before its first frame.
    let mut bits = Bits {
        word: u128::from_le_bytes({
            let mut bytes = [0; 16];
            bytes[..10].copy_from_slice(&reader.bytes::<10>()?);
            bytes
        }),
    };
    let small = bits.take(1) == 1;
    let side = |bits: &mut Bits| {
        if small {
            (bits.take(5) + 1) * 8
        } else {
            let width = [9, 13, 18, 30][bits.take(2) as usize];
            bits.take(width) + 1
        }
    };
    let height = side(&mut bits);
    let width = match bits.take(3) {
        0 => side(&mut bits),
        ratio => {
            let (num, den) = [(1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1)][ratio as usize - 1];
            (u64::from(height) * num / den).min(u32::MAX.into()) as u32
        }
    };
    Ok((width, height))
}

/// To the first byte of the code stream inside the container.
fn find_codestream<R: BufRead + Seek>(reader: &mut HeaderReader<R>) -> Result<()> {
    let mut at = 12;
    for _ in 0..MAX_BOXES {
        let Container { kind, header, size } = Container::read(reader, at)?;
        match &kind {
            b"jxlc" => return Ok(()),
            b"jxlp" => return reader.skip(4),
            _ if size < header => return Err(reader.corrupt("a box is shorter than its header")),
            _ => at = at.saturating_add(size),
        }
    }
    Err(reader.corrupt("its code stream is not found"))
}

/// From the lowest bit up.
pub(super) struct Bits {
    pub(super) word: u128,
}

impl Bits {
    pub(super) fn take(&mut self, count: u32) -> u32 {
        let taken = (self.word & ((1 << count) - 1)) as u32;
        self.word >>= count;
        taken
    }
}
