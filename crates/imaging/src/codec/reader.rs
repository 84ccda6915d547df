//! Reads header fields from a seekable source, and has the errors that codecs share.
//!
//! A read past the end is `truncated-image`. If the source itself cannot be read, the service is at fault (`storage`).

use std::io::{BufRead, ErrorKind, Read, Seek, SeekFrom};

use crate::{Code, Error, Format, Result};

/// Most boxes that are read of a container. No real picture has as many.
pub(super) const MAX_BOXES: u32 = 1000;

/// Reads header fields; every short read is a `truncated-image`.
pub(super) struct HeaderReader<R> {
    inner: R,
    format: Format,
}

impl<R: BufRead + Seek> HeaderReader<R> {
    pub(super) fn new(inner: R, format: Format) -> Self {
        Self { inner, format }
    }

    /// The source itself, for a library that parses it.
    pub(super) fn source(&mut self) -> &mut R {
        &mut self.inner
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes).map_err(|error| self.failed(&error))?;
        Ok(bytes)
    }

    pub(super) fn vec(&mut self, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.inner.read_exact(&mut bytes).map_err(|error| self.failed(&error))?;
        Ok(bytes)
    }

    /// `len` bytes, or fewer if the source ends before.
    pub(super) fn at_most(&mut self, len: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.inner.by_ref().take(len).read_to_end(&mut bytes).map_err(|error| self.failed(&error))?;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        Ok(self.bytes::<1>()?[0])
    }

    pub(super) fn be16(&mut self) -> Result<u16> {
        self.bytes().map(u16::from_be_bytes)
    }

    pub(super) fn be32(&mut self) -> Result<u32> {
        self.bytes().map(u32::from_be_bytes)
    }

    pub(super) fn le16(&mut self) -> Result<u16> {
        self.bytes().map(u16::from_le_bytes)
    }

    pub(super) fn le32(&mut self) -> Result<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    /// Skips bytes. If that leads past the end, the next read fails.
    pub(super) fn skip(&mut self, len: u64) -> Result<()> {
        let len = i64::try_from(len).map_err(|_| self.corrupt("a length is out of range"))?;
        self.inner.seek_relative(len).map_err(|error| self.failed(&error))
    }

    pub(super) fn position(&mut self) -> Result<u64> {
        self.inner.stream_position().map_err(|error| self.failed(&error))
    }

    pub(super) fn seek(&mut self, position: u64) -> Result<()> {
        self.inner.seek(SeekFrom::Start(position)).map(|_| ()).map_err(|error| self.failed(&error))
    }

    pub(super) fn corrupt(&self, what: &str) -> Error {
        corrupt(self.format, what)
    }

    /// The error if the source ends within the header.
    pub(super) fn cut_short(&self) -> Error {
        truncated(self.format, "the file ends inside its header")
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        match error.kind() {
            ErrorKind::UnexpectedEof => self.cut_short(),
            // The file system's error for an offset that no file can have.
            ErrorKind::InvalidInput => self.corrupt("an offset is out of range"),
            _ => Error::new(Code::Storage, format!("reading the source: {error}")),
        }
    }
}

pub(super) fn corrupt(format: Format, what: impl std::fmt::Display) -> Error {
    Error::new(Code::CorruptImage, format!("{}: {what}", format.title()))
}

pub(super) fn truncated(format: Format, what: impl std::fmt::Display) -> Error {
    Error::new(Code::TruncatedImage, format!("{}: {what}", format.title()))
}

pub(super) fn unsupported(format: Format, what: impl std::fmt::Display) -> Error {
    Error::new(Code::UnsupportedFormat, format!("{}: {what}", format.title()))
}

/// The error of a decoder that was stopped because its time is over.
pub(super) fn interrupted() -> Error {
    Error::new(Code::TimeLimit, "the time for this picture is over")
}
