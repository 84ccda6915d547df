//! The chunks of a RIFF list, as files and frames of animations are.

use super::super::reader::truncated;
use crate::{Format, Result};

pub(in crate::codec) struct Chunks<'a> {
    rest: &'a [u8],
}

type Chunk<'a> = ([u8; 4], &'a [u8]);

impl<'a> Chunks<'a> {
    pub(in crate::codec) fn new(list: &'a [u8]) -> Self {
        Self { rest: list }
    }

    /// From the next on.
    pub(in crate::codec) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// # Errors
    /// `truncated-image` where the list ends inside a chunk.
    pub(in crate::codec) fn peek(&self) -> Result<Option<Chunk<'a>>> {
        // Less than a header is padding.
        let Some((header, rest)) = self.rest.split_first_chunk::<8>() else { return Ok(None) };
        let [kind @ .., a, b, c, d] = *header;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let ends_early = || truncated(Format::WebP, "the file ends inside a chunk");
        Ok(Some((kind, rest.get(..length).ok_or_else(ends_early)?)))
    }

    /// # Errors
    /// As `peek`.
    pub(in crate::codec) fn next(&mut self) -> Result<Option<Chunk<'a>>> {
        let chunk = self.peek()?;
        if let Some((_, body)) = chunk {
            let length = 8 + body.len() + body.len() % 2;
            self.rest = self.rest.get(length..).unwrap_or_default();
        }
        Ok(chunk)
    }
}
