//! WebP frames: the container is read here, and libwebp decodes each frame like a still picture.
//!
//! As in browsers, the canvas is transparent at first and when it is cleared, whatever background the file names.

use std::time::Duration;

use super::super::canvas::{Area, Canvas, Disposal};
use crate::codec::reader::{corrupt, truncated};
use crate::codec::webp::chunks::Chunks;
use crate::codec::webp::{is_cut, libwebp};
use crate::{Code, Error, Format, Result};

/// The size of an ANMF chunk's own fields.
const FRAME_HEADER: usize = 16;

pub(super) struct File<'a> {
    chunks: Chunks<'a>,
    plays: u32,
    interrupted: &'a dyn Fn() -> bool,
}

impl<'a> File<'a> {
    /// With `may_end_early`, a file without its last frames is accepted.
    pub(super) fn open(source: &'a [u8], may_end_early: bool, interrupted: &'a dyn Fn() -> bool) -> Result<Self> {
        // Only this shows that frames are missing.
        if is_cut(source) && !may_end_early {
            return Err(truncated(Format::WebP, "the file ends before its last frame does"));
        }
        let mut chunks = Chunks::new(source.get(12..).unwrap_or_default());
        let mut plays = 0;
        while let Some((kind, body)) = chunks.peek()? {
            match &kind {
                b"ANMF" => break,
                b"ANIM" => plays = u32::from(little(body, 4, 2)? as u16),
                _ => {}
            }
            chunks.next()?;
        }
        Ok(Self { chunks, plays, interrupted })
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
        let size = (area.width as u32, area.height as u32);
        let read = picture(body.get(FRAME_HEADER..).unwrap_or_default())
            .and_then(|picture| libwebp::read(picture, size, self.interrupted));
        let raster = match read {
            Ok((raster, false)) => raster,
            // The frame's chunk is complete, so the file is not truncated but corrupt.
            Ok((_, true)) => return Err(incomplete()),
            Err(error) if error.code == Code::TruncatedImage => return Err(incomplete()),
            Err(error) => return Err(error),
        };
        let disposal = if flags & 1 == 0 { Disposal::Keep } else { Disposal::Clear };
        canvas.draw(area, raster.rgba().iter().copied(), flags & 2 == 0, disposal);
        Ok(Some(delay))
    }
}

fn incomplete() -> Error {
    corrupt(Format::WebP, "a frame's data end before its picture does")
}

/// The chunks of a frame, beginning with the first one of its picture.
fn picture(frame: &[u8]) -> Result<&[u8]> {
    let mut chunks = Chunks::new(frame);
    while chunks.peek()?.is_some_and(|(kind, _)| !matches!(&kind, b"ALPH" | b"VP8 " | b"VP8L")) {
        chunks.next()?;
    }
    Ok(chunks.rest())
}

fn little(bytes: &[u8], at: usize, length: usize) -> Result<u32> {
    let part = bytes.get(at..at + length).ok_or_else(|| corrupt(Format::WebP, "a chunk is too short"))?;
    Ok(part.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte)))
}
