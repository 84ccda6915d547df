//! Pictures: from the bytes of one source to the bytes of its outputs.
//!
//! Owns codecs, operations, text and the limits that guard them. Knows no async, files, HTTP or
//! Redis: bytes come in, bytes go out, and every refusal carries a [`Code`] that says whose fault
//! it was.
//!
//! Modules import those before them in this order, and each other never in a circle: `error`, `format`, `limits`, `raster`,
//! `wide`, `length`, `save`, `metadata`, `codec`, `overlay`, `text`, `operation`, `ops`, `info`, `plan`, `routes`, `explain`.

mod codec;
mod error;
mod explain;
mod format;
mod info;
mod length;
mod limits;
mod metadata;
pub mod operation;
mod ops;
mod overlay;
mod plan;
mod raster;
mod routes;
mod save;
#[cfg(test)]
mod tests;
mod text;
mod wide;

use std::io::{BufRead, Cursor, Seek};
use std::time::Duration;

pub use error::{Code, Error, Result};
pub use explain::{Explanation, explain};
pub use format::Format;
pub use info::{Exif, GpsPosition, Info, Shade};
pub use limits::Limits;
pub use operation::Operation;
pub use overlay::Read as ReadOverlay;
use plan::Plan;
pub use plan::estimate;

/// Makes fonts and overlays known to this process, before its first picture: each font's file stem and content, and how an
/// overlay's bytes are had.
///
/// # Errors
/// For a file that is not a font, and for a second call.
pub fn provide(fonts: Vec<(String, Vec<u8>)>, overlays: Option<Box<ReadOverlay>>) -> Result<()> {
    text::provide(fonts)?;
    overlays.map_or(Ok(()), overlay::provide)
}

/// The facts of a source's header, read before any pixel is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub format: Format,
    /// Pixels a side as stored: EXIF orientation is not applied.
    pub width: u32,
    pub height: u32,
    pub frames: u32,
    /// More than eight bits a channel.
    pub deep: bool,
}

/// The conditions under which a source is processed.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    pub limits: &'a Limits,
    /// Makes outputs of a file that ends early too, with a warning.
    pub lenient: bool,
    /// Called between steps, and while reading. When it returns true, the work ends with `time-limit`.
    pub interrupted: &'a dyn Fn() -> bool,
}

impl<'a> Options<'a> {
    /// Strict, and never interrupted.
    pub fn new(limits: &'a Limits) -> Self {
        Self { limits, lenient: false, interrupted: &|| false }
    }
}

/// One finished picture.
#[derive(Debug)]
pub struct Output {
    pub format: Format,
    pub width: u32,
    pub height: u32,
    /// `None` for a single picture.
    pub animation: Option<Animation>,
    /// The encoded file.
    pub data: Vec<u8>,
    /// Each begins with a code, e.g. `truncated-image: …`.
    pub warnings: Vec<String>,
}

/// The frames and the duration of an animated output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Animation {
    pub frames: u32,
    /// The duration of one round.
    pub duration: Duration,
}

/// The result of an operation.
#[derive(Debug)]
pub enum Made {
    Picture(Output),
    /// The answer to an `info`.
    Info(Box<Info>),
}

impl Made {
    /// The picture; `None` for the answer to an `info`.
    pub fn picture(self) -> Option<Output> {
        match self {
            Self::Picture(output) => Some(output),
            Self::Info(_) => None,
        }
    }
}

/// Reads the header of a source and checks it against `limits`.
///
/// # Errors
/// `empty-file`, `unsupported-format`, `corrupt-image`, `truncated-image`, or the limit that it
/// exceeds: `too-large`, `too-many-pixels`, `too-many-frames`.
pub fn probe<R: BufRead + Seek>(reader: R, limits: &Limits) -> Result<Header> {
    codec::inspect(reader, limits).map(|facts| facts.header)
}

/// Decodes `source` once and applies each operation to a copy of it, upright.
///
/// `emit(i, made)` receives the result of operation `i` as soon as it is made, in any order.
///
/// # Errors
/// As [`probe`], and what decoding, drawing (`missing-glyph`) or `emit` bring (`storage`).
pub fn process(
    source: &[u8],
    operations: &[Operation],
    options: &Options<'_>,
    emit: &mut dyn FnMut(usize, Made) -> std::io::Result<()>,
) -> Result<()> {
    // Each decoder catches its own panics; this catches all others.
    codec::contained(
        || make(source, operations, options, emit),
        |panic| Error::new(Code::DecoderFailure, format!("the picture could not be processed: {panic}")),
    )
}

fn make(
    source: &[u8],
    operations: &[Operation],
    options: &Options<'_>,
    emit: &mut dyn FnMut(usize, Made) -> std::io::Result<()>,
) -> Result<()> {
    let mut facts = codec::inspect(Cursor::new(source), options.limits)?;
    if facts.header.format == Format::Tiff {
        facts.exif = codec::encode::exif_of_tiff(source);
    }
    let plan = Plan::new(&facts, operations, options.limits)?;
    let mut run = routes::Run { options, warnings: Vec::new(), emit };
    for pass in plan.passes {
        routes::run(source, pass, &mut run)?;
        run.warnings.clear();
    }
    Ok(())
}
