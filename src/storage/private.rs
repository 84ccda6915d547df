//! Small files that only the service's user may read: API keys and secrets. All calls block on the disk.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use uuid::Uuid;

use super::error::at;
use super::local::sync;
use super::{Error, Result, Storage};

/// Length of a secret in bytes.
const SECRET: usize = 32;

impl Storage {
    /// Stores a small file that only the service's user may read, unless the key exists; returns whether it was stored.
    /// If several calls run at the same time, exactly one stores its file, completely.
    pub fn create_private(&self, key: &str, bytes: &[u8]) -> Result<bool> {
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.root);
        if !folder.is_dir() {
            match std::fs::DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(at(folder, &error)),
                _ => {}
            }
            File::open(folder).and_then(|made| self.adopt(&made)).map_err(|error| at(folder, &error))?;
            sync(&self.root)?;
        }
        self.create(&path, bytes, 0o600)
    }

    /// Stores a small file that only the service's user may read, in the place of one under this key if there is one.
    /// Durable when it returns.
    pub fn replace_private(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.root);
        // The first file of a folder also makes the folder.
        let draft = format!("{key}.{}", Uuid::now_v7());
        self.create_private(&draft, bytes)?;
        std::fs::rename(self.path(&draft), &path).map_err(|error| at(&path, &error))?;
        sync(folder)
    }

    /// Removes a private file; returns whether there was one. Durable when it returns.
    pub fn remove_private(&self, key: &str) -> Result<bool> {
        let path = self.path(key);
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(at(&path, &error)),
        }
        sync(path.parent().unwrap_or(&self.root))?;
        Ok(true)
    }

    /// Waits until no other process or thread holds the lock of this name, and holds it until the file is dropped.
    pub fn lock_private(&self, key: &str) -> Result<File> {
        self.create_private(key, b"")?;
        let path = self.path(key);
        let file = File::open(&path).map_err(|error| at(&path, &error))?;
        file.lock().map_err(|error| at(&path, &error))?;
        Ok(file)
    }

    /// Writes a file whole, unless there is one; returns whether it did.
    pub(super) fn create(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<bool> {
        let folder = path.parent().unwrap_or(&self.root);
        let draft = folder.join(format!(".{}", Uuid::now_v7()));
        let written = File::options().write(true).create_new(true).mode(mode).open(&draft).and_then(|mut file| {
            file.write_all(bytes)?;
            self.adopt(&file)?;
            file.sync_all()
        });
        // Unlike a rename, a link never replaces a file.
        let linked = written.and_then(|()| std::fs::hard_link(&draft, path));
        let _ = std::fs::remove_file(&draft);
        match linked {
            Ok(()) => sync(folder).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(at(path, &error)),
        }
    }

    /// The names in a folder of private files, including drafts. A folder that does not exist has no names.
    ///
    /// # Errors
    /// If the folder cannot be read, or if it is a file, because then its former content is unknown.
    pub fn private_names(&self, folder: &str) -> Result<Vec<String>> {
        let folder = self.path(folder);
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| at(&folder, &error))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry.map_err(|error| at(&folder, &error))?.file_name().into_string().ok());
        }
        Ok(names)
    }

    /// A private file's content; `None` if it does not exist.
    pub fn read_private(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path(key);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&path, &error)),
        }
    }

    /// Moves a private file to another key in one step; returns whether it existed. Durable when it returns.
    pub fn rename_private(&self, from: &str, to: &str) -> Result<bool> {
        let path = self.path(from);
        match std::fs::rename(&path, self.path(to)) {
            Ok(()) => sync(path.parent().unwrap_or(&self.root)).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(at(&path, &error)),
        }
    }

    /// Gives a file created by root to the folder's owner. Otherwise the service that runs as that user could not read
    /// it.
    pub(super) fn adopt(&self, file: &File) -> io::Result<()> {
        let owner = std::fs::metadata(&self.root)?;
        if rustix::process::geteuid().is_root() && owner.uid() != 0 {
            std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))?;
        }
        Ok(())
    }

    /// The random bytes in `secrets/<name>`. The first call creates them; all later calls on this store get the same
    /// bytes.
    pub fn secret(&self, name: &str) -> Result<[u8; SECRET]> {
        let key = format!("secrets/{name}");
        let path = self.path(&key);
        let mut kept = self.read_private(&key)?;
        if kept.is_none() {
            let mut fresh = [0; SECRET];
            getrandom::fill(&mut fresh).map_err(|error| Error::Failed(format!("no randomness: {error}")))?;
            self.create_private(&key, &fresh)?;
            // Another process may have been faster.
            kept = self.read_private(&key)?;
        }
        let bytes = kept.unwrap_or_default();
        let damaged =
            |bytes: Vec<u8>| Error::Failed(format!("{}: {} bytes are no secret", path.display(), bytes.len()));
        bytes.try_into().map_err(damaged)
    }
}
