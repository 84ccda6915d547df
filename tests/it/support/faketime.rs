//! Processes whose clock is another one: libfaketime's settings, and what it leaves behind.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Pid;

/// A clock that tests set while the processes run that go by it. Deadlines and intervals stay real.
pub struct FakeClock {
    file: PathBuf,
}

impl FakeClock {
    /// In this file, at first as the machine's own.
    pub fn at(file: PathBuf) -> Self {
        let clock = Self { file };
        clock.set("+0");
        clock
    }

    /// Sets it: `-1h` is an hour behind the machine's own. All processes see it at once.
    pub fn set(&self, moved: &str) {
        let aside = self.file.with_extension("aside");
        std::fs::write(&aside, moved).unwrap();
        std::fs::rename(&aside, &self.file).unwrap();
    }

    /// Has a process go by it.
    pub fn preload(&self, command: &mut Command) {
        // Without its cache: processes of one machine would differ by the change for up to a second.
        preload(command).env("FAKETIME_TIMESTAMP_FILE", &self.file).env("FAKETIME_NO_CACHE", "1");
    }
}

/// Has a process go by a clock that is to be set by further variables.
pub fn preload(command: &mut Command) -> &mut Command {
    command.env("LD_PRELOAD", library()).env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

pub fn library() -> PathBuf {
    let found = glob::glob("/usr/lib/*/faketime/libfaketime.so.1").unwrap().find_map(Result::ok);
    found.expect("libfaketime is not installed: apt-get install faketime")
}

/// Removes what libfaketime keeps in shared memory for a process, and leaves there when it is killed.
pub fn tidy(process: Pid) {
    let id = process.as_raw_nonzero();
    for left in [format!("faketime_shm_{id}"), format!("sem.faketime_sem_{id}")] {
        let _ = std::fs::remove_file(Path::new("/dev/shm").join(left));
    }
}
