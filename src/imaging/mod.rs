//! Pictures: from the bytes of one source to the bytes of its outputs.
//!
//! Owns codecs, operations, text and the limits that guard them. Knows no async, files, HTTP or
//! Redis: bytes come in, bytes go out, and every refusal carries a [`Code`] that says whose fault
//! it was.

mod codec;
mod error;
mod format;
mod limits;
pub mod operation;
mod ops;
mod pipeline;
mod planar;
mod raster;
#[cfg(test)]
mod tests;
mod text;

use std::io::{BufRead, Cursor, Seek};

pub use error::{Code, Error, Result};
pub use format::Format;
pub use limits::Limits;
pub use operation::Operation;

/// What a picture takes beside its pixels: tables, a thread's stack, glyphs.
const OVERHEAD: u64 = 4 << 20;

/// What a source's header says, read before any pixel is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub format: Format,
    /// Pixels a side as stored: EXIF orientation is not applied.
    pub width: u32,
    pub height: u32,
    pub frames: u32,
}

/// One finished picture.
#[derive(Debug)]
pub struct Output {
    pub format: Format,
    pub width: u32,
    pub height: u32,
    /// The encoded file.
    pub data: Vec<u8>,
}

/// Reads the header of a source and holds it against `limits`.
///
/// # Errors
/// `empty-file`, `unsupported-format`, `corrupt-image`, `truncated-image`, or the limit that it
/// exceeds: `too-large`, `too-many-pixels`, `too-many-frames`.
pub fn probe<R: BufRead + Seek>(reader: R, limits: &Limits) -> Result<Header> {
    codec::inspect(reader, limits).map(|facts| facts.header)
}

/// The most memory that [`process`] takes for a source of this length and header, in bytes.
///
/// `bytes + decoding × pixels of the source + making × pixels of the largest picture made + 4 MiB`, with bytes a pixel
/// by format that no picture measured here exceeds; most stay far below.
pub fn estimate(bytes: u64, header: &Header, operations: &[Operation], limits: &Limits) -> u64 {
    let source = u64::from(header.width) * u64::from(header.height);
    // Whether it lies on its side is not in the header: both ways are looked at.
    let sizes = [(header.width, header.height), (header.height, header.width)];
    let made = sizes.into_iter().filter_map(|size| pipeline::largest_step(size, operations, limits)).max().unwrap_or(0);
    let (decoding, making) = codec::bytes_a_pixel(header.format);
    bytes + source * decoding + made * making + OVERHEAD
}

/// Decodes `source` once and applies each operation to a copy of it, upright.
///
/// `emit(i, output)` receives the output of operation `i` as soon as it is encoded, in any order;
/// `interrupted` is asked between steps and ends the work with `time-limit`.
///
/// # Errors
/// As [`probe`], and what decoding, drawing (`missing-glyph`) or `emit` bring (`storage`).
pub fn process(
    source: &[u8],
    operations: &[Operation],
    limits: &Limits,
    interrupted: &dyn Fn() -> bool,
    emit: &mut dyn FnMut(usize, Output) -> std::io::Result<()>,
) -> Result<()> {
    // Decoders have boundaries of their own; this one is for the rest.
    codec::contained(
        || make(source, operations, limits, interrupted, emit),
        |panic| Error::new(Code::DecoderFailure, format!("the picture could not be processed: {panic}")),
    )
}

fn make(
    source: &[u8],
    operations: &[Operation],
    limits: &Limits,
    interrupted: &dyn Fn() -> bool,
    emit: &mut dyn FnMut(usize, Output) -> std::io::Result<()>,
) -> Result<()> {
    let facts = codec::inspect(Cursor::new(source), limits)?;
    let plan = pipeline::Plan::new(&facts, operations, limits)?;
    if operations.is_empty() {
        return Ok(());
    }
    let mut run = pipeline::Run { limits, interrupted, emit };
    if planar::run(source, &facts, &plan, &mut run)? {
        return Ok(());
    }
    pipeline::run(source, &facts, &plan, &mut run)
}
