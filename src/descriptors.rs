//! File descriptors: the process raises its own limit, and accepts only as many connections as leave enough descriptors
//! for the store, the broker and the workers.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Descriptors of a service apart from its connections and jobs: connections that wait to be accepted, the log, the
/// runtime, the queue's files or connections, readers, folders.
const BASE: u64 = 160;
/// Descriptors of a connection and of the file that it uploads or downloads.
const A_CONNECTION: u64 = 2;
/// Descriptors of a picture: its process has two pipes, and its source and outputs are opened one after the other.
const A_PICTURE: u64 = 4;
/// Descriptors of an io job: a connection, a file and a folder.
const A_JOB: u64 = 3;

/// Raises the limit of open files as far as this process may; returns the new limit.
pub fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // This fails if the system allows less than it reports.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The number of connections that may be open at a time: `wanted`, or less if a limit of `files` requires it for
/// `pictures` and io `jobs`. Connections get at least half of the limit.
pub fn connections(wanted: usize, files: u64, pictures: usize, jobs: usize) -> usize {
    let reserve = BASE + A_PICTURE * pictures as u64 + A_JOB * jobs as u64;
    let left = files.saturating_sub(reserve).max(files / 2) / A_CONNECTION;
    let most = usize::try_from(left).unwrap_or(usize::MAX).clamp(1, wanted.max(1));
    if most < wanted {
        warn!(
            "only {files} files may be open (ulimit -n): {most} connections are taken at a time instead of {wanted} \
             (server.max_connections); raise the one or lower the other"
        );
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_enough_for_the_work() {
        assert_eq!(connections(8_192, 1 << 20, 4, 100), 8_192);
        let few = connections(8_192, 1_024, 4, 100) as u64;
        assert_eq!(2 * few + BASE + 4 * A_PICTURE + 100 * A_JOB, 1_024);
        assert_eq!(connections(8_192, 256, 64, 100), 64, "a tiny limit is shared by halves");
        assert_eq!(connections(8_192, 2, 64, 100), 1);
        assert_eq!(connections(10, u64::MAX, 64, 100), 10);
    }
}
