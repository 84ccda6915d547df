//! The store: uploaded originals and published outputs, under keys.
//!
//! Keys: `uploads/<group>/<index>`, `outputs/<group>/<job>/<run>/<file>` beside `outputs/<group>/owner`; for a while
//! `outbox/<group>.json` and `erasures/<group>`; `erased/<group>`, and `retention/<group>.json` for what a submission has
//! kept for less long; `store.id`, which tells this store from others; and for the service's user alone `keys/…`, `schedules/…` and
//! `secrets/<name>`. A name from a client never becomes
//! part of a path. What is written here is durable (fsync) before it is acknowledged. Backed by `object_store`'s local
//! disk.
//!
//! Other modules use keys and never paths. A module that needs a file on this machine asks for a [`LocalFile`]; one
//! that writes outputs asks for a [`RunFolder`] and publishes it. On the local disk both are the store's own files, so
//! that nothing is copied.

#[cfg(test)]
mod conformance;
mod disk;
mod error;
mod groups;
mod identity;
mod keys;
mod local;
mod objects;
mod private;
mod runs;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use object_store::local::LocalFileSystem;
use uuid::Uuid;

use disk::Disk;
use error::{at, failed};

pub use disk::Space;
pub use error::{Error, Result};
pub use groups::Groups;
pub use keys::{
    Part, damaged_key, keep_key, manifest_key, output_key, owner_key, step_key, upload_key, withdrawn_key, workflow_key,
};
pub use objects::{About, Incoming, LocalFile, Stored};
pub use runs::RunFolder;

/// The store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Storage {
    root: PathBuf,
    store: Arc<LocalFileSystem>,
    /// Set if the queue's jobs belong to another store; shared by all clones.
    wrong: Arc<AtomicBool>,
    /// The identity when it was first read; shared by all clones.
    first: Arc<OnceLock<Uuid>>,
    disk: Arc<Disk>,
}

impl Storage {
    /// Opens the store in the folder `root`, which is created if it does not exist.
    ///
    /// # Errors
    /// If the folder cannot be created or written.
    pub fn local(root: &Path) -> Result<Self> {
        std::fs::create_dir_all(root).map_err(|error| at(root, &error))?;
        // Paths are passed to workers' threads and other commands, so they are made absolute once.
        let root = root.canonicalize().map_err(|error| at(root, &error))?;
        let store = LocalFileSystem::new_with_prefix(&root).map_err(failed)?.with_fsync(true);
        let disk = Arc::new(Disk::new(&root, 0.0, 0));
        Ok(Self { root, store: Arc::new(store), wrong: Arc::default(), first: Arc::default(), disk })
    }

    /// Opens the store in the folder `root`; `None` if the folder does not exist.
    ///
    /// # Errors
    /// If the folder cannot be used.
    pub fn visit(root: &Path) -> Result<Option<Self>> {
        if root.is_dir() { Self::local(root).map(Some) } else { Ok(None) }
    }

    /// Sets the share of the disk that must be free for new work, 0 to 1, and the bytes of the ballast.
    /// [`keep_ballast`](Self::keep_ballast) creates the ballast.
    #[must_use]
    pub fn on_disk(self, least: f64, ballast: u64) -> Self {
        Self { disk: Arc::new(Disk::new(&self.root, least, ballast)), ..self }
    }

    /// The space on the disk. This takes a system call or two, so async threads may call it.
    pub fn space(&self) -> Result<Space> {
        self.disk.space()
    }

    /// Removes the ballast, for work that must continue although the disk is full; returns whether there was one. New
    /// work must not call this. Blocks on the disk.
    pub fn release_ballast(&self) -> bool {
        self.disk.release_ballast()
    }

    /// Creates the ballast if it is missing and there is space for it. Blocks on the disk.
    pub fn keep_ballast(&self) -> Result<()> {
        self.disk.keep_ballast()
    }

    /// The path of a key on this machine, for messages.
    pub fn shown(&self, key: &str) -> String {
        self.path(key).display().to_string()
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }
}
