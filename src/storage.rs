//! The store: uploaded originals and published outputs, under keys.
//!
//! Keys: `uploads/<group>/<index>` and `outputs/<group>/<job>/<run>/<file>`. A name from a
//! client never becomes part of a path. What is written here is durable (fsync) before it is
//! acknowledged. Backed by `object_store`'s local disk; workers read and write local paths.

use std::error::Error as StdError;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{GetResultPayload, MultipartUpload, ObjectStoreExt, PutPayload};
use tokio_util::io::ReaderStream;

use crate::job::{GroupId, JobId};

/// Bytes gathered before they are written: enough that a syscall costs little beside it.
const PART: usize = 256 << 10;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the disk under the store is full: {0}")]
    Full(String),
    #[error("the store failed: {0}")]
    Failed(String),
}

pub type Result<T> = std::result::Result<T, Error>;

/// The store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Storage {
    root: PathBuf,
    store: Arc<LocalFileSystem>,
}

/// The key of a group's `index`th original.
pub fn upload_key(group: GroupId, index: usize) -> String {
    format!("uploads/{group}/{index}")
}

/// The key of one output of one run of a job.
pub fn output_key(group: GroupId, job: JobId, run: u32, file: &str) -> String {
    format!("outputs/{group}/{job}/{run}/{file}")
}

/// A file on its way in. Dropped before [`Incoming::finish`], it leaves nothing.
#[derive(Debug)]
pub struct Incoming {
    upload: Box<dyn MultipartUpload>,
    parts: Vec<Bytes>,
    gathered: usize,
}

/// A stored file, opened for reading.
pub struct Stored {
    pub size: u64,
    pub body: BoxStream<'static, io::Result<Bytes>>,
}

impl Storage {
    /// Opens the store in the folder `root`, which is created where missing.
    ///
    /// # Errors
    /// When the folder cannot be created or written.
    pub fn local(root: &Path) -> Result<Self> {
        std::fs::create_dir_all(root).map_err(|error| at(root, &error))?;
        // Paths leave this process (to workers' threads, to other commands): make them absolute once.
        let root = root.canonicalize().map_err(|error| at(root, &error))?;
        let store = LocalFileSystem::new_with_prefix(&root).map_err(failed)?.with_fsync(true);
        Ok(Self { root, store: Arc::new(store) })
    }

    /// Starts to receive a file.
    pub async fn receive(&self, key: &str) -> Result<Incoming> {
        let upload = self.store.put_multipart(&parse(key)?).await.map_err(failed)?;
        Ok(Incoming { upload, parts: Vec::new(), gathered: 0 })
    }

    /// Opens a stored file, or `None` where there is none.
    pub async fn open(&self, key: &str) -> Result<Option<Stored>> {
        match self.store.get(&parse(key)?).await {
            Ok(found) => {
                let size = found.meta.size;
                let body = match found.payload {
                    // The store's own stream reads 8 KiB at a time, each on another thread.
                    GetResultPayload::File(file, _) => {
                        ReaderStream::with_capacity(tokio::fs::File::from_std(file), PART).boxed()
                    }
                    GetResultPayload::Stream(body) => body.map_err(io::Error::other).boxed(),
                };
                Ok(Some(Stored { size, body }))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Where a stored file lies on this machine.
    pub fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// The folder that one run of a job writes its outputs into. No two runs share one, so that a late loser
    /// never touches the winner's files.
    pub fn run_folder(&self, group: GroupId, job: JobId, run: u32) -> PathBuf {
        self.root.join(format!("outputs/{group}/{job}/{run}"))
    }

    /// Makes a run's outputs durable: every file, then the folders that name them.
    ///
    /// Blocks on the disk; not for an async thread.
    pub fn publish(&self, folder: &Path) -> Result<()> {
        for entry in std::fs::read_dir(folder).map_err(|error| at(folder, &error))? {
            sync(&entry.map_err(|error| at(folder, &error))?.path())?;
        }
        // The run's, the job's and the group's folder may all be new.
        folder.ancestors().take(3).try_for_each(sync)
    }

    /// Removes a stored file; one that is not there is as good as removed.
    pub async fn remove(&self, key: &str) -> Result<()> {
        match self.store.delete(&parse(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    /// The groups whose originals were last added to before `instant`.
    pub fn groups_older_than(&self, instant: SystemTime) -> Result<Vec<GroupId>> {
        let folder = self.root.join("uploads");
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| at(&folder, &error))?,
        };
        let mut groups = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| at(&folder, &error))?;
            let changed =
                entry.metadata().and_then(|about| about.modified()).map_err(|error| at(&entry.path(), &error))?;
            if let Some(group) = entry.file_name().to_str().and_then(|name| name.parse().ok())
                && changed < instant
            {
                groups.push(group);
            }
        }
        Ok(groups)
    }

    /// Removes a group's originals and outputs. Blocks on the disk.
    pub fn remove_group(&self, group: GroupId) -> Result<()> {
        for part in ["uploads", "outputs"] {
            remove_folder(&self.root.join(part).join(group.to_string()))?;
        }
        Ok(())
    }

    /// Removes the outputs of a run that failed or lost. Blocks on the disk.
    pub fn remove_run(&self, folder: &Path) -> Result<()> {
        remove_folder(folder)
    }

    /// The share of the disk that is free, 0 to 1.
    pub fn free_share(&self) -> Result<f64> {
        let disk = rustix::fs::statvfs(&self.root).map_err(|error| at(&self.root, &error.into()))?;
        Ok(disk.f_bavail as f64 / disk.f_blocks.max(1) as f64)
    }
}

impl Incoming {
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.gathered += bytes.len();
        self.parts.push(bytes);
        if self.gathered >= PART { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        self.gathered = 0;
        let payload = self.parts.drain(..).collect::<PutPayload>();
        self.upload.put_part(payload).await.map_err(failed)
    }

    /// Makes the file durable under its key.
    pub async fn finish(mut self) -> Result<()> {
        self.flush().await?;
        self.upload.complete().await.map(drop).map_err(failed)
    }
}

fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| at(path, &error))
}

fn remove_folder(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(folder, &error)),
        _ => Ok(()),
    }
}

fn parse(key: &str) -> Result<Key> {
    Key::parse(key).map_err(|error| Error::Failed(format!("`{key}` is not a key: {error}")))
}

fn at(path: &Path, error: &io::Error) -> Error {
    let said = format!("{}: {error}", path.display());
    if is_full(error) { Error::Full(said) } else { Error::Failed(said) }
}

/// Whether an I/O error says that there is no room left.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn failed(error: object_store::Error) -> Error {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if inner.downcast_ref::<io::Error>().is_some_and(is_full) {
            return Error::Full(inner.to_string());
        }
        cause = inner.source();
    }
    Error::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn file_is_there_only_once_finished() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::local(folder.path()).unwrap();
        let key = upload_key(GroupId::new(), 0);
        let mut incoming = storage.receive(&key).await.unwrap();
        incoming.write(Bytes::from(vec![7; 3 * PART])).await.unwrap();
        assert!(storage.open(&key).await.unwrap().is_none());
        incoming.write(Bytes::from_static(b"end")).await.unwrap();
        incoming.finish().await.unwrap();
        let stored = storage.open(&key).await.unwrap().unwrap();
        let bytes: Vec<Bytes> = stored.body.try_collect().await.unwrap();
        assert_eq!(stored.size as usize, 3 * PART + 3);
        assert!(bytes.concat().ends_with(b"\x07end"));
    }

    #[tokio::test]
    async fn removing_a_group_leaves_its_neighbours() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::local(folder.path()).unwrap();
        let (gone, kept) = (GroupId::new(), GroupId::new());
        for group in [gone, kept] {
            storage.receive(&upload_key(group, 0)).await.unwrap().finish().await.unwrap();
        }
        storage.remove_group(gone).unwrap();
        assert!(storage.open(&upload_key(gone, 0)).await.unwrap().is_none());
        assert!(storage.open(&upload_key(kept, 0)).await.unwrap().is_some());
        assert!(!folder.path().join("uploads").join(gone.to_string()).exists());
    }

    #[test]
    fn keys_cannot_climb_out() {
        assert!(parse("outputs/../../etc/passwd").is_err());
    }
}
