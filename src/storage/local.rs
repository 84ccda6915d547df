//! The local folder under the store: its entries, the drafts in it, and a test that it can be written.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use uuid::Uuid;

use super::error::at;
use super::{Part, Result, Storage};

/// Folders of files that are no group's part.
const OTHERS: [&str; 3] = ["", "keys", "secrets"];

/// Bytes that [`Storage::try_write`] writes: a file that has a block of its own.
const PROBE: usize = 4 << 10;

impl Storage {
    /// Removes drafts that were last written to before `instant`: of writes that a kill broke off. Answers how many.
    /// Blocks on the disk.
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
    /// Where an upload could not be stored at present: no room, a read-only file system, no rights.
    pub fn try_write(&self) -> Result<()> {
        // The name of a draft, so that one that a kill leaves behind is removed like those.
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

/// Whether a file of this name is not yet what it is to be: `object_store` writes `<name>#<number>`, and we `.<uuid>`.
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
