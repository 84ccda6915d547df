//! Objects by their keys: receive, read, describe, copy, rename and remove them.

use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as Key;
use object_store::{GetOptions, GetResultPayload, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::error::{at, failed};
use super::{Error, Result, Storage};

/// Bytes collected for a write, and bytes of a read: enough that system calls cost little, and few enough for thousands
/// of slow clients.
pub(super) const PART: usize = 64 << 10;

/// A file that is being received. If it is dropped before [`Incoming::finish`], nothing is stored.
#[derive(Debug)]
pub struct Incoming {
    upload: Box<dyn MultipartUpload>,
    parts: Vec<Bytes>,
    gathered: usize,
}

/// The properties of a stored file, known without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    pub size: u64,
    pub modified: SystemTime,
}

/// A file on this machine with the content of a stored file. It exists until this is dropped.
///
/// On the local disk it is the stored file itself. If that is missing, opening it fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFile(PathBuf);

/// A stored file, opened for reading.
pub struct Stored {
    /// Length of `body` in bytes.
    pub size: u64,
    pub body: BoxStream<'static, io::Result<Bytes>>,
}

impl Storage {
    /// Begins to receive a file.
    pub async fn receive(&self, key: &str) -> Result<Incoming> {
        let upload = self.store.put_multipart(&parse(key)?).await.map_err(failed)?;
        Ok(Incoming { upload, parts: Vec::new(), gathered: 0 })
    }

    /// Makes a stored file available on this machine, for another process or for several reads.
    #[allow(clippy::unused_async, reason = "a backend without local files has to wait for the network")]
    pub async fn fetch(&self, key: &str) -> Result<LocalFile> {
        parse(key)?;
        Ok(LocalFile(self.path(key)))
    }

    /// Opens a stored file; `None` if it does not exist.
    pub async fn open(&self, key: &str) -> Result<Option<Stored>> {
        self.open_part(key, None).await
    }

    /// As [`open`](Self::open), for a range of bytes, which the file must have.
    pub async fn open_part(&self, key: &str, bytes: Option<Range<u64>>) -> Result<Option<Stored>> {
        let options = GetOptions::new().with_range(bytes);
        match self.store.get_opts(&parse(key)?, options).await {
            Ok(found) => {
                let size = found.range.end - found.range.start;
                let body = match found.payload {
                    // The library's own stream reads 8 KiB at a time, each time on another thread.
                    GetResultPayload::File(mut file, path) => {
                        file.seek(SeekFrom::Start(found.range.start)).map_err(|error| at(&path, &error))?;
                        let bytes = tokio::fs::File::from_std(file).take(size);
                        ReaderStream::with_capacity(bytes, PART.min(size as usize + 1)).boxed()
                    }
                    GetResultPayload::Stream(body) => body.map_err(io::Error::other).boxed(),
                };
                Ok(Some(Stored { size, body }))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// The properties of a stored file; `None` if it does not exist.
    pub async fn about(&self, key: &str) -> Result<Option<About>> {
        match self.store.head(&parse(key)?).await {
            Ok(meta) => Ok(Some(About { size: meta.size, modified: meta.last_modified.into() })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Stores a small file.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.store.put(&parse(key)?, bytes.into()).await.map(drop).map_err(failed)
    }

    /// As [`put`](Self::put), for files whose writing makes space: if the disk is full, the ballast is released.
    pub async fn put_pressing(&self, key: &str, bytes: Bytes) -> Result<()> {
        match self.put(key, bytes.clone()).await {
            Err(Error::Full(_)) if self.release_ballast() => self.put(key, bytes).await,
            put => put,
        }
    }

    /// The content of a small file; `None` if it does not exist.
    pub async fn read(&self, key: &str) -> Result<Option<Bytes>> {
        match self.store.get(&parse(key)?).await {
            Ok(found) => found.bytes().await.map(Some).map_err(failed),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Whether the file exists, by a system call on this thread. Directory entries are in memory, so for frequent
    /// questions this takes a fraction of the time in which another thread wakes up.
    pub fn has_at_once(&self, key: &str) -> Result<bool> {
        let path = self.path(key);
        path.try_exists().map_err(|error| at(&path, &error))
    }

    /// Whether the file exists.
    pub async fn has(&self, key: &str) -> Result<bool> {
        Ok(self.about(key).await?.is_some())
    }

    /// Stores a file under a second key; returns whether the file existed. On one disk this takes no more space.
    pub async fn copy(&self, from: &str, to: &str) -> Result<bool> {
        // Renaming one name of a file to another name of it does nothing, and would leave the draft's name behind.
        if self.is_same(from, to).await {
            return Ok(true);
        }
        found(self.store.copy(&parse(from)?, &parse(to)?).await)
    }

    /// Whether both keys are names of the same file.
    async fn is_same(&self, one: &str, other: &str) -> bool {
        let file = async |key| tokio::fs::metadata(self.path(key)).await.map(|meta| (meta.dev(), meta.ino()));
        matches!((file(one).await, file(other).await), (Ok(one), Ok(other)) if one == other)
    }

    /// Moves a file to another key in one step; returns whether it existed.
    pub async fn rename(&self, from: &str, to: &str) -> Result<bool> {
        found(self.store.rename(&parse(from)?, &parse(to)?).await)
    }

    /// Removes a stored file. It is no error if it does not exist.
    pub async fn remove(&self, key: &str) -> Result<()> {
        match self.store.delete(&parse(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }
}

impl LocalFile {
    pub fn path(&self) -> &Path {
        &self.0
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

fn found(done: object_store::Result<()>) -> Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

pub(super) fn parse(key: &str) -> Result<Key> {
    Key::parse(key).map_err(|error| Error::Failed(format!("`{key}` is not a key: {error}")))
}
