//! The disk under the store: its free space, and the ballast.
//!
//! The ballast is a file that reserves space for work that must continue when the disk is full: settling results,
//! erasing, opening the queue. If such work finds no space, it removes the file and uses its space. The file is created
//! again as soon as twice its size is free in addition to `limits.min_free_disk`. Processes that share a store share
//! its ballast.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use tracing::{info, warn};

use super::{Result, at};
use crate::errors::Lack;

/// File name of the ballast in the data folder, and its name until it has its full size.
const BALLAST: &str = "ballast";
const MAKING: &str = "ballast.making";
/// The ballast takes at most one part in this many of the disk.
const MOST: u64 = 8;
/// Bytes written at a time if the file system cannot reserve them.
const BLOCK: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    least: f64,
    ballast: u64,
}

/// The space on the disk under the store.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Space {
    /// Free bytes.
    pub free: u64,
    /// Bytes of the whole disk.
    pub size: u64,
    /// The share of the disk, 0 to 1, that must be free for new work (`limits.min_free_disk`), in addition to an
    /// existing ballast.
    pub least: f64,
    /// Bytes of the wanted ballast (`limits.ballast`, limited by the disk's size), and of the existing one.
    pub ballast_wanted: u64,
    pub ballast: u64,
}

impl Space {
    /// The share of the disk that is free, 0 to 1.
    pub fn free_share(&self) -> f64 {
        self.free as f64 / self.size.max(1) as f64
    }

    /// Bytes that must be free for new work: `limits.min_free_disk`, and twice the missing part of the ballast.
    pub fn needed(&self) -> u64 {
        let kept = (self.least * self.size as f64) as u64;
        kept.saturating_add(2 * self.ballast_wanted.saturating_sub(self.ballast))
    }

    /// Whether too little is free for new work: uploads, and pictures that have not begun.
    pub fn is_short(&self) -> bool {
        self.free < self.needed()
    }

    /// Whether so little is free that a write fails because of the disk, and not because of its size.
    pub fn is_full(&self) -> bool {
        self.is_short() || self.free < self.ballast_wanted
    }
}

impl fmt::Display for Space {
    /// Shows the free space and the space that new work needs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let (free, share, needed) = (megabytes(self.free), self.free_share() * 100.0, megabytes(self.needed()));
        write!(
            f,
            "{free:.1} MB of the disk ({share:.1} %) are free, new work needs {needed:.1} MB (limits.min_free_disk is {})",
            self.least
        )
    }
}

impl Disk {
    pub(super) fn new(root: &Path, least: f64, ballast: u64) -> Self {
        Self { root: root.into(), least, ballast }
    }

    pub(super) fn space(&self) -> Result<Space> {
        let disk = statvfs(&self.root).map_err(|error| at(&self.root, &error.into()))?;
        let size = disk.f_blocks.saturating_mul(disk.f_frsize);
        Ok(Space {
            free: disk.f_bavail.saturating_mul(disk.f_frsize),
            size,
            least: self.least,
            ballast_wanted: self.ballast.min(size / MOST),
            ballast: fs::metadata(self.root.join(BALLAST)).map_or(0, |about| about.len()),
        })
    }

    /// Removes the ballast; returns whether there was one.
    pub(super) fn release_ballast(&self) -> bool {
        // The second file is left by a process that was killed while it created the ballast.
        let released = [BALLAST, MAKING].map(|name| fs::remove_file(self.root.join(name)).is_ok());
        if released[0] {
            warn!("the disk of {} is full: its ballast is released", self.root.display());
        }
        released.contains(&true)
    }

    /// Creates the ballast if it is missing or has another size than the setting, and if there is space for it.
    pub(super) fn keep_ballast(&self) -> Result<()> {
        let space = self.space()?;
        if space.ballast == space.ballast_wanted {
            return Ok(());
        }
        if space.ballast > 0 {
            fs::remove_file(self.root.join(BALLAST)).map_err(|error| at(&self.root, &error))?;
            return self.keep_ballast();
        }
        if space.is_short() {
            return Ok(());
        }
        let (making, ballast) = (self.root.join(MAKING), self.root.join(BALLAST));
        let made = File::options().write(true).create(true).truncate(false).open(&making);
        let reserved = made.and_then(|file| reserve(&file, space.ballast_wanted));
        match reserved.and_then(|()| fs::rename(&making, &ballast)) {
            Ok(()) => {
                info!("{} bytes of the disk of {} are kept as ballast", space.ballast_wanted, self.root.display());
                Ok(())
            }
            // Another process was faster, or has just removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => {
                let _ = fs::remove_file(&making);
                if Lack::of(&error) == Some(Lack::Room) { Ok(()) } else { Err(at(&making, &error)) }
            }
        }
    }
}

/// Allocates the blocks for a file of this size.
fn reserve(mut file: &File, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => return file.sync_all(),
        Err(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT) => return Err(io::ErrorKind::StorageFull.into()),
        // Not every file system supports this.
        Err(_) => {}
    }
    // Random bytes, because zeros that a file system compresses would reserve no space.
    let (mut left, mut block) = (bytes, vec![0; BLOCK]);
    while left > 0 {
        fastrand::fill(&mut block);
        let part = left.min(BLOCK as u64) as usize;
        file.write_all(&block[..part])?;
        left -= part as u64;
    }
    file.set_len(bytes)?;
    file.sync_all()
}
