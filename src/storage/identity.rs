//! Which store this is: its file `store.id`.

use std::io;
use std::sync::atomic::Ordering;

use uuid::Uuid;

use super::error::at;
use super::{Error, Result, Storage};

/// The key of the store's identity.
const IDENTITY: &str = "store.id";

impl Storage {
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
}
