//! Resources that this process and its children use, as reported by Linux in `/proc`.

use std::fs;

use rustix::process::{Resource, getrlimit};

/// Unit of processor time in `/proc`: the kernel's `USER_HZ`, which is 100 per second on all Linux platforms except
/// Alpha and Itanium, independent of the kernel's own clock.
const TICKS: f64 = 100.0;

/// The resources that one or more processes use.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Processor time in user mode and in the kernel.
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
}

/// This process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Own {
    pub usage: Usage,
    pub virtual_bytes: u64,
    pub open_fds: u64,
    /// `None` if there is no limit.
    pub max_fds: Option<u64>,
    /// Seconds since 1970.
    pub started_at_s: f64,
}

/// The child processes: the running ones, and the processor time of ended ones.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Children {
    pub running: u64,
    pub usage: Usage,
}

/// `None` if `/proc` is not that of Linux.
pub fn own() -> Option<Own> {
    let (times, memory) = (Times::of("self")?, Memory::of("self")?);
    let machine = fs::read_to_string("/proc/stat").ok()?;
    let booted: f64 = machine.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())?;
    Some(Own {
        usage: Usage { cpu_seconds: times.cpu_seconds, resident_bytes: memory.resident_bytes },
        virtual_bytes: memory.virtual_bytes,
        open_fds: fs::read_dir("/proc/self/fd").ok()?.count() as u64,
        max_fds: getrlimit(Resource::Nofile).current,
        started_at_s: booted + times.started_after_s,
    })
}

/// `None` where `/proc` does not list child processes.
pub fn children() -> Option<Children> {
    let mut children = Children::default();
    children.usage.cpu_seconds = Times::of("self")?.ended_children_cpu_seconds;
    for thread in fs::read_dir("/proc/self/task").ok()?.flatten() {
        // The thread may have ended meanwhile.
        let Ok(pids) = fs::read_to_string(thread.path().join("children")) else { continue };
        for (times, memory) in pids.split_ascii_whitespace().filter_map(|pid| Times::of(pid).zip(Memory::of(pid))) {
            children.running += 1;
            children.usage.cpu_seconds += times.cpu_seconds;
            children.usage.resident_bytes += memory.resident_bytes;
        }
    }
    Some(children)
}

/// `/proc/<pid>/stat`, see `proc_pid_stat(5)`.
#[derive(Debug, PartialEq)]
struct Times {
    cpu_seconds: f64,
    ended_children_cpu_seconds: f64,
    /// Seconds from the boot of the machine.
    started_after_s: f64,
}

/// From `/proc/<pid>/status`, which does not count in pages.
#[derive(Debug, PartialEq)]
struct Memory {
    resident_bytes: u64,
    virtual_bytes: u64,
}

impl Memory {
    fn of(pid: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
    }

    /// `None` for a process that has ended but was not waited for, because it has no memory.
    fn parse(text: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let kib = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"))?;
            kib.parse::<u64>().ok().map(|kib| kib << 10)
        };
        Some(Self { resident_bytes: bytes("VmRSS:")?, virtual_bytes: bytes("VmSize:")? })
    }
}

impl Times {
    fn of(pid: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The program's name is in brackets, and may itself contain spaces and brackets.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // The manual counts fields from 1, and the first field here is the third.
        let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok().map(|ticks| ticks / TICKS);
        Some(Self {
            cpu_seconds: ticks(14)? + ticks(15)?,
            ended_children_cpu_seconds: ticks(16)? + ticks(17)?,
            started_after_s: ticks(22)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_a_name_with_brackets() {
        let text = "7 (a) b) S 1 7 7 0 -1 4194560 9 0 0 0 150 50 30 20 20 0 4 0 12345 1000000 3 18446744073709551615";
        let times = Times { cpu_seconds: 2.0, ended_children_cpu_seconds: 0.5, started_after_s: 123.45 };
        assert_eq!(Times::parse(text), Some(times));
        assert_eq!(Times::parse("7 (short) S 1"), None);
    }

    #[test]
    fn memory_is_read_in_kilobytes() {
        let text = "Name:\ta\nVmSize:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(Memory::parse(text), Some(Memory { resident_bytes: 1 << 20, virtual_bytes: 2 << 20 }));
        assert_eq!(Memory::parse("Name:\ta\nState:\tZ (zombie)\n"), None);
    }

    #[test]
    fn own_figures_are_plausible() {
        let own = own().unwrap();
        assert!(own.usage.resident_bytes > 1 << 20 && own.virtual_bytes > own.usage.resident_bytes, "{own:?}");
        assert!(own.open_fds > 2 && own.max_fds.is_none_or(|most| most >= own.open_fds), "{own:?}");
        let now = jiff::Timestamp::now().as_millisecond() as f64 / 1e3;
        assert!((now - own.started_at_s).abs() < 24.0 * 3600.0, "{own:?}");
    }
}
