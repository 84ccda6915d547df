//! Which store this is, and the files that only the service's user may read.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::Ordering;

use uuid::Uuid;

use super::error::at;
use super::local::sync;
use super::{Error, Result, Storage};

/// Bytes of a secret.
const SECRET: usize = 32;

/// The key of the store's identity.
const IDENTITY: &str = "store.id";

impl Storage {
    /// Stores a small file that only the service's user may read, unless there is one under this key; answers whether
    /// it did. Of several that do this at a time one wins, whole. Blocks on the disk.
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

    /// Writes a file whole, unless there is one; answers whether it did.
    fn create(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<bool> {
        let folder = path.parent().unwrap_or(&self.root);
        let draft = folder.join(format!(".{}", Uuid::now_v7()));
        let written = File::options().write(true).create_new(true).mode(mode).open(&draft).and_then(|mut file| {
            file.write_all(bytes)?;
            self.adopt(&file)?;
            file.sync_all()
        });
        // A link, unlike a rename, replaces nothing.
        let linked = written.and_then(|()| std::fs::hard_link(&draft, path));
        let _ = std::fs::remove_file(&draft);
        match linked {
            Ok(()) => sync(folder).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(at(path, &error)),
        }
    }

    /// The store's identity, kept in its file `store.id`. The first call makes it. It stays the same where the folder is
    /// moved or copied. Blocks on the disk.
    ///
    /// # Errors
    /// When it cannot be read or made, or is no identity.
    pub fn identity(&self) -> Result<Uuid> {
        let path = self.path(IDENTITY);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create(&path, format!("{}\n", Uuid::new_v4()).as_bytes(), 0o644)?;
                std::fs::read_to_string(&path)
            }
            read => read,
        };
        let text = text.map_err(|error| at(&path, &error))?;
        let no_id = |_| Error::Failed(format!("{}: {:?} is not the id of a store", path.display(), text.trim()));
        let id: Uuid = text.trim().parse().map_err(no_id)?;
        self.first.get_or_init(|| id);
        Ok(id)
    }

    /// As [`identity`](Self::identity), or `None` where the folder has none: where it is, say, the mount point of a disk
    /// that is gone. Blocks on the disk.
    pub fn identity_if_any(&self) -> Result<Option<Uuid>> {
        if self.has_at_once(IDENTITY)? { self.identity().map(Some) } else { Ok(None) }
    }

    /// Notes whether this is another store than the one that the queue's jobs belong to.
    pub fn set_wrong(&self, wrong: bool) {
        self.wrong.store(wrong, Ordering::Relaxed);
    }

    /// Whether the folder still holds the store that was opened, and that is not known to be a wrong one. Where it does not,
    /// what is missing in it says nothing. A folder whose disk is gone has no identity, or has got a new one from a process
    /// that was started on it meanwhile. Blocks on the disk.
    pub fn is_itself(&self) -> bool {
        let Ok(Some(id)) = self.identity_if_any() else { return false };
        !self.wrong.load(Ordering::Relaxed) && self.first.get().is_none_or(|first| *first == id)
    }

    /// What root creates belongs to the folder's owner, or the service that runs as that user could not read it.
    fn adopt(&self, file: &File) -> io::Result<()> {
        let owner = std::fs::metadata(&self.root)?;
        if rustix::process::geteuid().is_root() && owner.uid() != 0 {
            std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))?;
        }
        Ok(())
    }

    /// Random bytes under `secrets/<name>`, made by whoever asks first and the same for all on this store. Blocks on the
    /// disk.
    pub fn secret(&self, name: &str) -> Result<[u8; SECRET]> {
        let key = format!("secrets/{name}");
        let path = self.path(&key);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut fresh = [0; SECRET];
                getrandom::fill(&mut fresh).map_err(|error| Error::Failed(format!("no randomness: {error}")))?;
                self.create_private(&key, &fresh)?;
                std::fs::read(&path)
            }
            read => read,
        };
        let bytes = bytes.map_err(|error| at(&path, &error))?;
        let damaged =
            |bytes: Vec<u8>| Error::Failed(format!("{}: {} bytes are no secret", path.display(), bytes.len()));
        bytes.try_into().map_err(damaged)
    }
}
