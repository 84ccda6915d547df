//! A source in memory. Its reader fails when the time is over, which ends the decoder. It can also supply an end that
//! the file lacks.

use std::io::{self, BufRead, ErrorKind, Read, Seek, SeekFrom};

/// Bytes between two checks of the time.
const STRIDE: usize = 32 << 10;
/// The text of the error.
pub(super) const OVER: &str = "the time for this picture is over";

/// Reads a slice; fails with [`ErrorKind::TimedOut`] when `interrupted`.
pub(crate) struct Watched<'a> {
    source: &'a [u8],
    /// Bytes that follow the source.
    tail: &'static [u8],
    at: usize,
    /// Bytes until the next check of the time.
    left: usize,
    interrupted: &'a dyn Fn() -> bool,
}

impl<'a> Watched<'a> {
    pub(crate) fn new(source: &'a [u8], interrupted: &'a dyn Fn() -> bool) -> Self {
        Self { source, tail: &[], at: 0, left: 0, interrupted }
    }

    /// Adds bytes after the source.
    pub(crate) fn followed_by(self, tail: &'static [u8]) -> Self {
        Self { tail, ..self }
    }

    fn go_on(&mut self) -> io::Result<()> {
        if self.left == 0 {
            // Not `Interrupted`, because readers would retry for ever.
            if (self.interrupted)() {
                return Err(io::Error::new(ErrorKind::TimedOut, OVER));
            }
            self.left = STRIDE;
        }
        Ok(())
    }
}

impl BufRead for Watched<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.go_on()?;
        let rest = match self.at.checked_sub(self.source.len()) {
            Some(behind) => self.tail.get(behind..).unwrap_or_default(),
            None => &self.source[self.at..],
        };
        Ok(&rest[..rest.len().min(self.left)])
    }

    fn consume(&mut self, length: usize) {
        self.at += length;
        self.left = self.left.saturating_sub(length);
    }
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl Seek for Watched<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, offset) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::End(offset) => ((self.source.len() + self.tail.len()) as u64, offset),
            SeekFrom::Current(offset) => (self.at as u64, offset),
        };
        let at = base.checked_add_signed(offset).and_then(|at| usize::try_from(at).ok());
        self.at = at.ok_or(ErrorKind::InvalidInput)?;
        // A decoder that seeks makes a check each time.
        self.left = 0;
        Ok(self.at as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn reader_fails_when_the_time_is_over() {
        let source = vec![7; 3 * STRIDE];
        let asked = Cell::new(0);
        let interrupted = || {
            asked.set(asked.get() + 1);
            asked.get() > 2
        };
        let mut bytes = Vec::new();
        let error = Watched::new(&source, &interrupted).read_to_end(&mut bytes).unwrap_err();
        assert_eq!((error.kind(), bytes.len()), (ErrorKind::TimedOut, 2 * STRIDE));
    }

    #[test]
    fn tail_is_read_behind_the_source() {
        let mut reader = Watched::new(b"abc", &|| false).followed_by(b"de");
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"abcde");
        assert_eq!(reader.seek(SeekFrom::End(-1)).unwrap(), 4);
        assert_eq!(reader.fill_buf().unwrap(), b"e");
        reader.seek(SeekFrom::Start(9)).unwrap();
        assert_eq!(reader.fill_buf().unwrap(), b"");
    }

    #[test]
    fn seeking_past_the_end_reads_nothing() {
        let mut reader = Watched::new(b"abc", &|| false);
        assert_eq!(reader.seek(SeekFrom::Start(9)).unwrap(), 9);
        assert_eq!(reader.fill_buf().unwrap(), b"");
        reader.seek(SeekFrom::End(-1)).unwrap();
        assert_eq!(reader.fill_buf().unwrap(), b"c");
    }
}
