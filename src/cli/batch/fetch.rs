//! Pictures at addresses: fetched into `OUT/.pixmill/fetched`, whole or not at all.
//!
//! The operator names the addresses, so any may be asked; what an answer may cost is bounded: five
//! redirects, the limits' bytes, half a minute of silence, ten minutes in all. What may pass (no
//! connection, 429, 5xx, an answer cut off) is tried four times.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::client;
use crate::errors::Failure;
use crate::net;

/// Addresses that are fetched at a time.
pub(super) const AT_ONCE: usize = 8;
const REDIRECTS: usize = 5;
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest `Retry-After` of a server that is waited for.
const LONGEST_ASKED: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(30);
const CONNECTING: Duration = Duration::from_secs(10);
const IN_ALL: Duration = Duration::from_mins(10);

pub(super) struct Fetcher {
    http: net::Fetcher,
    folder: PathBuf,
    stop: CancellationToken,
}

impl Fetcher {
    pub(super) fn new(journal: &Path, most_bytes: u64, stop: CancellationToken) -> Result<Self> {
        let folder = journal.join("fetched");
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let http = net::Fetcher::new(net::Settings {
            guard: None,
            connect_timeout: CONNECTING,
            read_timeout: Some(SILENCE),
            timeout: IN_ALL,
            max_redirects: REDIRECTS,
            max_retry_after: LONGEST_ASKED,
            max_bytes: most_bytes,
        })?;
        Ok(Self { http, folder, stop })
    }

    /// Where the picture of this id lies once it is fetched.
    pub(super) fn place(&self, id: Uuid) -> PathBuf {
        self.folder.join(id.simple().to_string())
    }

    pub(super) fn forget(&self, id: Uuid) {
        let _ = fs::remove_file(self.place(id));
    }

    /// Fetches the picture, if it does not lie there yet; answers its bytes.
    pub(super) async fn fetch(&self, url: &Url, id: Uuid) -> Result<u64, Failure> {
        let file = self.place(id);
        if let Ok(meta) = fs::metadata(&file) {
            return Ok(meta.len());
        }
        let mut pause = FIRST_PAUSE;
        for left in (0..TRIES).rev() {
            let failure = match self.once(url, &file).await {
                Ok(bytes) => return Ok(bytes),
                Err(failure) => failure,
            };
            let _ = fs::remove_file(super::result_part(&file));
            if !failure.retryable || left == 0 {
                return Err(failure);
            }
            let wait = client::wait(failure.retry_after.unwrap_or_default(), pause, fastrand::f64());
            pause *= 4;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => return Err(failure),
            }
        }
        unreachable!("the last try returns")
    }

    async fn once(&self, url: &Url, file: &Path) -> Result<u64, Failure> {
        let written = tokio::time::timeout(IN_ALL, self.write(url, file)).await;
        let late = || Failure::transient("fetch-failed", format!("it took longer than {IN_ALL:?}"));
        written.unwrap_or_else(|_| Err(late())).map_err(|failure| match &*failure.code {
            // A batch has one code for what an address does not give.
            "fetch-refused" => Failure::permanent("fetch-failed", failure.detail),
            _ => failure,
        })
    }

    async fn write(&self, url: &Url, file: &Path) -> Result<u64, Failure> {
        let mut answer = self.http.get(url).await?;
        let part = super::result_part(file);
        let mut out = tokio::fs::File::create(&part).await.map_err(|error| unwritable(&part, &error))?;
        let mut bytes = 0;
        while let Some(chunk) = answer.chunk().await? {
            bytes += chunk.len() as u64;
            out.write_all(&chunk).await.map_err(|error| unwritable(&part, &error))?;
        }
        // The journal may name the file from here on, and outlive a power cut.
        out.sync_all().await.map_err(|error| unwritable(&part, &error))?;
        tokio::fs::rename(&part, file).await.map_err(|error| unwritable(file, &error))?;
        Ok(bytes)
    }
}

fn unwritable(file: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::of_io(error, format!("{} cannot be written: {error}", file.display()));
    Failure { lacking: None, ..failure }
}
