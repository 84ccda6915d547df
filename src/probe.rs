//! Reads the header of a picture before a job is made, and rejects pictures that can never be processed.

use std::fs::File;
use std::io::{self, BufReader};

use imaging::{Code, Header, Limits};

use crate::storage::{self, Storage};

/// A picture's size in bytes and its header, or why it is rejected.
pub type Probed = imaging::Result<(u64, Header)>;

/// Reads the header of a picture in the store.
///
/// # Errors
/// If the file cannot be read.
pub async fn stored(storage: &Storage, key: &str, limits: &Limits) -> storage::Result<Probed> {
    let stored = storage.fetch(key).await?;
    let failed = |error: io::Error| storage::Error::at(stored.path().display(), &error);
    let opened = tokio::fs::File::open(stored.path()).await.map_err(failed)?.into_std().await;
    file(opened, limits.clone()).await.map_err(failed)
}

/// Reads the header of a picture in an open file.
///
/// # Errors
/// If the file cannot be read.
pub async fn file(file: File, limits: Limits) -> io::Result<Probed> {
    let probed = tokio::task::spawn_blocking(move || {
        let (bytes, limit) = (file.metadata()?.len(), limits.max_file_bytes);
        if bytes == 0 {
            return Ok(Err(imaging::Error::new(Code::EmptyFile, "the file is empty")));
        }
        if bytes > limit {
            let detail = format!("{bytes} bytes exceed limits.max_file_bytes ({limit})");
            return Ok(Err(imaging::Error::new(Code::TooLarge, detail)));
        }
        let header = imaging::probe(BufReader::with_capacity(16 << 10, file), &limits);
        Ok(header.map(|header| (bytes, header)))
    });
    probed.await.expect("probing catches its panics")
}
