//! The local folder of the store: its entries, its drafts, and a test whether it can be written.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use uuid::Uuid;

use super::error::at;
use super::{Part, Result, Storage};

/// Folders of files that belong to no group.
const OTHERS: [&str; 3] = ["", "keys", "secrets"];

/// Bytes written by [`Storage::try_write`], enough that the file needs a block of its own.
const PROBE: usize = 4 << 10;

impl Storage {
    /// Removes drafts last written before `instant`, which killed processes left. Returns their number. Blocks on the
    /// disk.
    pub fn remove_drafts(&self, instant: SystemTime) -> Result<u64> {
        let flat = [Part::Outbox, Part::Erasures, Part::Erased, Part::Retention].map(Part::folder);
        let mut removed = 0;
        for folder in flat.into_iter().chain(OTHERS) {
            removed += remove_drafts_in(&self.root.join(folder), instant)?;
        }
        for part in [Part::Uploads, Part::Outputs] {
            for entry in entries(&self.root.join(part.folder()))? {
                removed += remove_drafts_in(&entry?, instant)?;
            }
        }
        Ok(removed)
    }

    /// Writes a file and removes it. Blocks on the disk.
    ///
    /// # Errors
    /// If an upload could not be stored at present: no space, a read-only file system, no permission.
    pub fn try_write(&self) -> Result<()> {
        // It has the name of a draft, so that it is removed with the drafts if a kill leaves it behind.
        let probe = self.root.join(format!(".{}", Uuid::now_v7()));
        let written = File::options().write(true).create_new(true).open(&probe);
        let written = written.and_then(|mut file| file.write_all(&[0; PROBE]));
        let removed = std::fs::remove_file(&probe);
        written.and(removed).map_err(|error| at(&self.root, &error))
    }
}

/// The paths of a folder's entries. A folder that does not exist has no entries.
pub(super) fn entries(folder: &Path) -> Result<impl Iterator<Item = Result<PathBuf>> + use<>> {
    let folder = folder.to_owned();
    let listed = match std::fs::read_dir(&folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => None,
        listed => Some(listed.map_err(|error| at(&folder, &error))?),
    };
    let path = move |entry: io::Result<std::fs::DirEntry>| {
        entry.map(|entry| entry.path()).map_err(|error| at(&folder, &error))
    };
    Ok(listed.into_iter().flatten().map(path))
}

fn remove_drafts_in(folder: &Path, instant: SystemTime) -> Result<u64> {
    let mut removed = 0;
    for path in entries(folder)? {
        let path = path?;
        if !path.file_name().is_some_and(is_draft) {
            continue;
        }
        match path.symlink_metadata().and_then(|about| Ok(about.is_file() && about.modified()? < instant)) {
            Ok(true) => {
                remove_file(&path)?;
                removed += 1;
            }
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(at(&path, &error)),
        }
    }
    Ok(removed)
}

/// Whether a file name is that of a draft, an unfinished file: `<name>#<number>` by `object_store`, `.<uuid>` by us.
pub(super) fn is_draft(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    let numbered = name.rsplit_once('#').is_some_and(|(_, number)| number.parse::<u64>().is_ok());
    numbered || name.strip_prefix('.').is_some_and(|id| Uuid::try_parse(id).is_ok())
}

pub(super) fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| at(path, &error))
}

pub(super) fn remove_folder(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(folder, &error)),
        _ => Ok(()),
    }
}

pub(super) fn remove_file(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(file, &error)),
        _ => Ok(()),
    }
}
