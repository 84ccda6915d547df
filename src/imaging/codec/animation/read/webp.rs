//! WebP's frames: the container is read here, each frame's picture by `image-webp` as a still.
//!
//! The canvas begins transparent and is cleared to transparent, whatever the file calls its background: so do browsers.

use std::io::ErrorKind;
use std::time::Duration;

use image_webp::{DecodingError, WebPDecoder};

use super::super::canvas::{Area, Canvas, Disposal};
use crate::imaging::codec::reader::{corrupt, interrupted, truncated};
use crate::imaging::codec::watched::Watched;
use crate::imaging::codec::webp::is_cut;
use crate::imaging::{Code, Error, Format, Options, Result};

/// The size of an ANMF chunk's own fields.
const FRAME_HEADER: usize = 16;

pub(super) struct File<'a> {
    chunks: Chunks<'a>,
    plays: u32,
    interrupted: &'a dyn Fn() -> bool,
}

impl<'a> File<'a> {
    pub(super) fn open(source: &'a [u8], options: &Options<'a>) -> Result<Self> {
        // Frames can be missing without a trace but this.
        if is_cut(source) && !options.lenient {
            return Err(ends_early());
        }
        let mut chunks = Chunks { rest: source.get(12..).unwrap_or_default() };
        let mut plays = 0;
        while let Some((kind, body)) = chunks.peek()? {
            match &kind {
                b"ANMF" => break,
                b"ANIM" => plays = u32::from(little(body, 4, 2)? as u16),
                _ => {}
            }
            chunks.next()?;
        }
        Ok(Self { chunks, plays, interrupted: options.interrupted })
    }

    pub(super) fn plays(&self) -> u32 {
        self.plays
    }

    pub(super) fn draw(&mut self, canvas: &mut Canvas) -> Result<Option<Duration>> {
        let body = loop {
            match self.chunks.next()? {
                Some((kind, body)) if &kind == b"ANMF" => break body,
                Some(_) => {}
                None => return Ok(None),
            }
        };
        let area = Area {
            left: little(body, 0, 3)? as usize * 2,
            top: little(body, 3, 3)? as usize * 2,
            width: little(body, 6, 3)? as usize + 1,
            height: little(body, 9, 3)? as usize + 1,
        };
        let delay = Duration::from_millis(little(body, 12, 3)?.into());
        let flags = little(body, 15, 1)?;
        if canvas.clip(area) != area {
            return Err(corrupt(Format::WebP, "a frame lies outside its canvas"));
        }
        let still = still(area, body.get(FRAME_HEADER..).unwrap_or_default())?;
        let mut decoder = WebPDecoder::new(Watched::new(&still, self.interrupted)).map_err(|error| failed(&error))?;
        if decoder.dimensions() != (area.width as u32, area.height as u32) {
            return Err(corrupt(Format::WebP, "a frame's size contradicts its picture's"));
        }
        let count = if decoder.has_alpha() { 4 } else { 3 };
        let mut data = vec![0; area.pixels() * count];
        decoder.read_image(&mut data).map_err(|error| failed(&error))?;
        let pixels = data.chunks_exact(count).map(|p| [p[0], p[1], p[2], p.get(3).copied().unwrap_or(255)]);
        let disposal = if flags & 1 == 0 { Disposal::Keep } else { Disposal::Clear };
        canvas.draw(area, pixels, flags & 2 == 0, disposal);
        Ok(Some(delay))
    }
}

/// A frame's chunks as a file of their own.
fn still(area: Area, frame: &[u8]) -> Result<Vec<u8>> {
    let mut chunks = Chunks { rest: frame };
    let mut pictures = Vec::with_capacity(frame.len() + 64);
    let mut has_alpha = false;
    while let Some((kind, body)) = chunks.next()? {
        if !matches!(&kind, b"ALPH" | b"VP8 " | b"VP8L") {
            continue;
        }
        has_alpha |= &kind == b"ALPH";
        pictures.extend(kind);
        pictures.extend((body.len() as u32).to_le_bytes());
        pictures.extend(body);
        pictures.extend(&[0][..body.len() % 2]);
    }
    let mut extended = Vec::new();
    if has_alpha {
        extended.extend(*b"VP8X\x0a\0\0\0\x10\0\0\0");
        extended.extend(&(area.width as u32 - 1).to_le_bytes()[..3]);
        extended.extend(&(area.height as u32 - 1).to_le_bytes()[..3]);
    }
    let mut file = b"RIFF".to_vec();
    file.extend((4 + extended.len() as u32 + pictures.len() as u32).to_le_bytes());
    file.extend(b"WEBP");
    file.extend(extended);
    file.extend(pictures);
    Ok(file)
}

/// The chunks of a RIFF list.
struct Chunks<'a> {
    rest: &'a [u8],
}

type Chunk<'a> = ([u8; 4], &'a [u8]);

impl<'a> Chunks<'a> {
    fn peek(&self) -> Result<Option<Chunk<'a>>> {
        // Less than a header is padding.
        let Some((header, rest)) = self.rest.split_first_chunk::<8>() else { return Ok(None) };
        let [kind @ .., a, b, c, d] = *header;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let body = rest.get(..length).ok_or_else(ends_early)?;
        Ok(Some((kind, body)))
    }

    fn next(&mut self) -> Result<Option<Chunk<'a>>> {
        let chunk = self.peek()?;
        if let Some((_, body)) = chunk {
            let length = 8 + body.len() + body.len() % 2;
            self.rest = self.rest.get(length..).unwrap_or_default();
        }
        Ok(chunk)
    }
}

fn little(bytes: &[u8], at: usize, length: usize) -> Result<u32> {
    let part = bytes.get(at..at + length).ok_or_else(|| corrupt(Format::WebP, "a chunk is too short"))?;
    Ok(part.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte)))
}

fn ends_early() -> Error {
    truncated(Format::WebP, "the file ends before its last frame does")
}

fn failed(error: &DecodingError) -> Error {
    match error {
        DecodingError::IoError(io) if io.kind() == ErrorKind::UnexpectedEof => ends_early(),
        DecodingError::IoError(io) if io.kind() == ErrorKind::TimedOut => interrupted(),
        DecodingError::MemoryLimitExceeded | DecodingError::ImageTooLarge => {
            Error::new(Code::TooLarge, format!("WebP: {error}"))
        }
        other => corrupt(Format::WebP, other),
    }
}
