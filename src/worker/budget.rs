//! The memory budget for pictures.

use std::fs;
use std::path::{Path, PathBuf};

/// Estimated bytes that pictures may use together.
pub(super) struct Budget {
    limit: u64,
    used: u64,
    holders: usize,
}

impl Budget {
    /// `limit` in bytes; 0 for half of the memory available to this process.
    pub(super) fn new(limit: u64) -> Self {
        let limit = if limit == 0 { half_of_memory() } else { limit };
        Self { limit, used: 0, holders: 0 }
    }

    /// Takes a picture's peak if it fits. A peak above the whole budget fits only while no other picture has memory.
    pub(super) fn take(&mut self, peak: u64) -> bool {
        let fits = self.holders == 0 || self.used.saturating_add(peak) <= self.limit;
        if fits {
            self.used = self.used.saturating_add(peak);
            self.holders += 1;
        }
        fits
    }

    /// Bytes that the pictures being computed may use together.
    pub(super) fn bound(&self) -> u64 {
        self.limit.max(self.used)
    }

    pub(super) fn give_back(&mut self, peak: u64) {
        self.used = self.used.saturating_sub(peak);
        self.holders -= 1;
    }
}

/// Half of the machine's memory or of the control groups' limit, whichever is less.
fn half_of_memory() -> u64 {
    let system = rustix::system::sysinfo();
    let machine = system.totalram as u64 * u64::from(system.mem_unit);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limit(&groups, Path::new("/sys/fs/cgroup")).map_or(machine, |limit| limit.min(machine)) / 2
}

/// The lowest limit of the control groups in `/proc/self/cgroup` and of their parents, for both versions of control
/// groups.
///
/// In a container, the paths may be those of the host, while the mounted tree begins at the container's group. So the
/// root is always read as well.
fn limit(groups: &str, root: &Path) -> Option<u64> {
    let files = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let path = path.trim_start_matches('/');
        if number == "0" {
            Some((root.to_path_buf(), PathBuf::from(path), "memory.max"))
        } else {
            let memory = controllers.split(',').any(|controller| controller == "memory");
            memory.then(|| (root.join("memory"), PathBuf::from(path), "memory.limit_in_bytes"))
        }
    });
    // Without a limit, version 2 has "max", and version 1 a number larger than any memory.
    files
        .flat_map(|(root, path, file)| path.ancestors().map(|group| root.join(group).join(file)).collect::<Vec<_>>())
        .filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_share_what_fits_and_a_giant_waits_for_all_of_it() {
        let mut budget = Budget::new(100);
        assert!(budget.take(60) && budget.take(40));
        assert!(!budget.take(1));
        budget.give_back(60);
        assert!(!budget.take(500), "while another has memory");
        budget.give_back(40);
        assert!(budget.take(500), "alone");
        assert!(!budget.take(0), "beside a giant");
        assert_eq!(budget.bound(), 500);
        budget.give_back(500);
        assert_eq!(budget.bound(), 100);
        assert!(budget.take(100));
    }

    #[test]
    fn lowest_limit_on_the_way_to_the_root_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        assert_eq!(limit("0::/a/b\n", root.path()), None);
        write("a/b/memory.max", "max\n");
        write("a/memory.max", "4096\n");
        assert_eq!(limit("0::/a/b\n", root.path()), Some(4096));
        write("memory/memory.limit_in_bytes", "2048\n");
        assert_eq!(limit("5:cpu,memory:/docker/of-the-host\n0::/a/b\n", root.path()), Some(2048));
        assert_eq!(limit("5:cpu:/a\n", root.path()), None);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(half_of_memory() > 16 << 20);
    }
}
