//! The disk with the queue's file. Network disks are refused, because SQLite's locks and shared memory do not work
//! there. New work is refused while the free space is needed for existing work.

use std::path::Path;
use std::sync::Arc;

use crate::{Error, Result};

/// Bytes to keep free for claims, settlements and the WAL, which may grow to some MB before it is copied into the file.
const RESERVE: u64 = 16 << 20;
/// Bytes: twice what the `-shm` file grows by at a time. SQLite's error does not say that the disk is full.
const BESIDE: u64 = 64 << 10;

/// Makes room on a full disk, e.g. by removing a file that was kept for that; returns whether it could. May block.
pub type MakeRoom = Arc<dyn Fn() -> bool + Send + Sync>;

/// For a queue that has nothing to remove.
pub(crate) fn no_room() -> MakeRoom {
    Arc::new(|| false)
}

/// Checks whether new work of `bytes` fits on the disk.
///
/// # Errors
/// `StorageFull` if it does not fit beside the reserve.
#[cfg(target_os = "linux")]
pub(super) fn room(path: &Path, bytes: u64) -> Result<()> {
    #[allow(clippy::unnecessary_cast, reason = "the fields' types differ between targets")]
    let free = about(path).map_or(u64::MAX, |disk| disk.f_bavail as u64 * disk.f_bsize as u64);
    // Written twice: to the WAL and to the file.
    if free >= RESERVE + 2 * bytes {
        return Ok(());
    }
    let (path, free_kb, reserve_mb) = (path.display(), free >> 10, RESERVE >> 20);
    Err(Error::StorageFull(format!(
        "no space for new work: the disk of {path} has {free_kb} KB left, and {reserve_mb} MB are kept for work in \
         progress; free some"
    )))
}

/// Whether `path`'s disk has no room for the files that SQLite keeps beside the queue's.
#[cfg(target_os = "linux")]
#[allow(clippy::unnecessary_cast, reason = "the fields' types differ between targets")]
pub(super) fn is_full(path: &Path) -> bool {
    about(path).is_some_and(|disk| (disk.f_bavail as u64) * (disk.f_bsize as u64) < BESIDE)
}

#[cfg(target_os = "linux")]
fn about(path: &Path) -> Option<rustix::fs::StatFs> {
    rustix::fs::statfs(path).ok()
}

/// # Errors
/// `Invalid` if `path` is on a network file system.
#[cfg(target_os = "linux")]
pub(super) fn refuse_network(path: &Path) -> Result<()> {
    // If the disk's type is unknown, opening the file decides.
    let Some(disk) = about(path) else { return Ok(()) };
    #[allow(clippy::unnecessary_cast, clippy::cast_lossless, reason = "the field's type differs between targets")]
    match network_name(disk.f_type as u32) {
        None => Ok(()),
        Some(kind) => Err(Error::Invalid(format!(
            "{} lies on {kind}, where SQLite's locks do not hold: put the queue on a local disk, or use Redis",
            path.display()
        ))),
    }
}

#[cfg(not(target_os = "linux"))]
#[allow(clippy::unnecessary_wraps, reason = "the signature of the one that can refuse")]
pub(super) fn refuse_network(_: &Path) -> Result<()> {
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_full(_: &Path) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
#[allow(clippy::unnecessary_wraps, reason = "the signature of the one that can refuse")]
pub(super) fn room(_: &Path, _: u64) -> Result<()> {
    Ok(())
}

/// Magic numbers of statfs(2).
#[cfg(target_os = "linux")]
fn network_name(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517B => "SMB",
        0xFE53_4D42 => "SMB2",
        0xFF53_4D42 => "CIFS",
        0x6573_5546 => "FUSE",
        0x0102_1997 => "9P",
        0x00C3_6400 => "Ceph",
        0x0BD0_0BD0 => "Lustre",
        0x5346_414F => "AFS",
        0x4750_4653 => "GPFS",
        _ => return None,
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::network_name;

    #[test]
    fn network_disks_are_told_from_local_ones() {
        assert_eq!([0x6969, 0xFF53_4D42, 0x6573_5546].map(network_name), [Some("NFS"), Some("CIFS"), Some("FUSE")]);
        let (ext4, tmpfs, overlay) = (0xEF53, 0x0102_1994, 0x794C_7630);
        assert_eq!([ext4, tmpfs, overlay].map(network_name), [None; 3]);
    }
}
