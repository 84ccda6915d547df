//! Pictures that are not done before the test says so.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};

/// What a pipe takes before anybody reads from it.
const PIPE: usize = 64 << 10;

/// Stands before a stored original: whoever reads it waits until the gate is opened.
pub struct Gate {
    original: PathBuf,
    bytes: Vec<u8>,
    /// Both ends of the pipe in the original's place, so that opening it is no wait.
    pipe: File,
}

impl Gate {
    pub fn before(original: &Path) -> Self {
        let bytes = fs::read(original).unwrap();
        assert!(bytes.len() <= PIPE, "the picture fits into a pipe");
        fs::remove_file(original).unwrap();
        mknodat(CWD, original, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let pipe = OpenOptions::new().read(true).write(true).open(original).unwrap();
        Self { original: original.into(), bytes, pipe }
    }

    /// Lets the one who waits go on, and those who come later.
    pub fn open(self) {
        self.let_others_pass();
        self.wake();
    }

    /// Whoever comes from now on finds the picture; who waits goes on waiting.
    pub fn let_others_pass(&self) {
        let aside = self.original.with_extension("aside");
        fs::write(&aside, &self.bytes).unwrap();
        fs::rename(&aside, &self.original).unwrap();
    }

    /// Lets the one who waits go on.
    pub fn wake(mut self) {
        self.pipe.write_all(&self.bytes).unwrap();
    }
}

/// Stands in a stored original's place: whoever opens it, or a link to it, waits.
pub struct Wall {
    original: PathBuf,
    bytes: Vec<u8>,
}

impl Wall {
    pub fn before(original: &Path) -> Self {
        let bytes = fs::read(original).unwrap();
        fs::remove_file(original).unwrap();
        mknodat(CWD, original, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        Self { original: original.into(), bytes }
    }

    /// Lets those in who wait: they find nothing in it.
    pub fn let_in(&self) {
        drop(OpenOptions::new().write(true).open(&self.original).unwrap());
    }

    /// Puts the original back.
    pub fn remove(self) {
        let aside = self.original.with_extension("aside");
        fs::write(&aside, &self.bytes).unwrap();
        fs::rename(&aside, &self.original).unwrap();
    }
}
