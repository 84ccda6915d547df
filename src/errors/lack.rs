//! Resources that a process or its disk may run out of: space, file descriptors, memory. No picture is to blame for
//! that.

use std::error::Error as StdError;
use std::io;

use rustix::io::Errno;

/// What a system call could not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// Space on the disk or in its quota.
    Room,
    /// File descriptors or memory, of the process or the machine.
    Means,
}

impl Lack {
    /// The lack that made the call fail; `None` if it failed for another reason.
    pub fn of(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => return Some(Self::Room),
            io::ErrorKind::OutOfMemory => return Some(Self::Means),
            _ => {}
        }
        let errno = Errno::from_io_error(error)?;
        [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS].contains(&errno).then_some(Self::Means)
    }

    /// As [`of`](Self::of), for the first I/O error with a lack among `error` and its causes.
    pub fn behind(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(inner) = cause {
            if let Some(lack) = inner.downcast_ref::<io::Error>().and_then(Self::of_whole) {
                return Some(lack);
            }
            cause = inner.source();
        }
        None
    }

    /// An I/O error may hold another one, which `source` skips.
    fn of_whole(error: &io::Error) -> Option<Self> {
        Self::of(error).or_else(|| Self::behind(error.get_ref()?))
    }

    /// The error code of this lack.
    pub fn code(self) -> &'static str {
        match self {
            Self::Room => "storage-full",
            Self::Means => "overloaded",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.raw_os_error())
    }

    #[test]
    fn full_disk_is_told_from_a_process_without_descriptors_and_from_a_broken_file() {
        assert_eq!([Errno::NOSPC, Errno::DQUOT].map(|errno| Lack::of(&of(errno))), [Some(Lack::Room); 2]);
        assert_eq!(
            [Errno::MFILE, Errno::NFILE, Errno::NOMEM].map(|errno| Lack::of(&of(errno))),
            [Some(Lack::Means); 3]
        );
        assert_eq!([Errno::IO, Errno::NOENT, Errno::ROFS].map(|errno| Lack::of(&of(errno))), [None; 3]);
    }

    #[test]
    fn lack_is_found_behind_other_errors() {
        let inner = io::Error::other(io::Error::other(of(Errno::MFILE)));
        assert_eq!(Lack::behind(&inner), Some(Lack::Means));
        assert_eq!(Lack::behind(&io::Error::other("no cause")), None);
    }
}
