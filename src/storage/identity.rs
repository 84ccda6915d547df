//! The identity of the store: its file `store.id`.

use std::io;
use std::sync::atomic::Ordering;

use uuid::Uuid;

use super::error::at;
use super::{Error, Result, Storage};

/// The key of the store's identity.
const IDENTITY: &str = "store.id";

impl Storage {
    /// The store's identity, in its file `store.id`. The first call creates it. It remains the same if the folder is
    /// moved or copied. Blocks on the disk.
    ///
    /// # Errors
    /// If it cannot be read or created, or if the file has no valid identity.
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

    /// As [`identity`](Self::identity); `None` if the folder has none, for example because it is the mount point of a
    /// disk that is not mounted. Blocks on the disk.
    pub fn identity_if_any(&self) -> Result<Option<Uuid>> {
        if self.has_at_once(IDENTITY)? { self.identity().map(Some) } else { Ok(None) }
    }

    /// Records whether the queue's jobs belong to another store than this one.
    pub fn set_wrong(&self, wrong: bool) {
        self.wrong.store(wrong, Ordering::Relaxed);
    }

    /// Whether the folder still holds the store that was opened, and that store is the right one. If not, a missing
    /// file proves nothing. A folder whose disk is gone has no identity, or has a new one from a process that was
    /// started meanwhile. Blocks on the disk.
    pub fn is_itself(&self) -> bool {
        let Ok(Some(id)) = self.identity_if_any() else { return false };
        !self.wrong.load(Ordering::Relaxed) && self.first.get().is_none_or(|first| *first == id)
    }
}
