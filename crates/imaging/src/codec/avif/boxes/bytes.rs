//! Fields and boxes, taken from the front of a box's bytes.

use crate::codec::reader::corrupt;
use crate::{Error, Format, Result};

/// Bytes that are taken from the front.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(|| broken("a box is too short"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn skip(&mut self, length: usize) -> Result<()> {
        self.take(length).map(|_| ())
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("as many as were taken"))
    }

    /// A big-endian number of up to eight bytes; 0 for a length of 0.
    pub(super) fn number(&mut self, length: usize) -> Result<u64> {
        Ok(self.take(length)?.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// Version and flags.
    pub(super) fn full(&mut self) -> Result<(u8, u32)> {
        let word = self.number(4)? as u32;
        Ok(((word >> 24) as u8, word & 0x00ff_ffff))
    }

    /// The next box; `None` at the end.
    pub(super) fn child(&mut self) -> Result<Option<([u8; 4], Bytes<'a>)>> {
        if self.0.len() < 8 {
            return Ok(None);
        }
        let (mut length, kind) = (self.number(4)?, self.array()?);
        let mut header = 8;
        if length == 1 {
            length = self.number(8)?;
            header = 16;
        }
        let body = match length {
            0 => self.0.len(),
            length => usize::try_from(length)
                .ok()
                .and_then(|length| length.checked_sub(header))
                .ok_or_else(|| broken("a box is shorter than its header"))?,
        };
        Ok(Some((kind, Bytes(self.take(body)?))))
    }

    /// The first box of this kind.
    pub(super) fn find(&self, wanted: [u8; 4]) -> Result<Option<Bytes<'a>>> {
        let mut rest = *self;
        while let Some((kind, body)) = rest.child()? {
            if kind == wanted {
                return Ok(Some(body));
            }
        }
        Ok(None)
    }
}

pub(super) fn broken(what: &str) -> Error {
    corrupt(Format::Avif, what)
}
