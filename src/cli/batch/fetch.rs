//! Pictures at addresses: fetched into `OUT/.pixmill/fetched`, whole or not at all.
//!
//! The operator names the addresses, so any may be asked; what an answer may cost is bounded: five
//! redirects, the limits' bytes, half a minute of silence, ten minutes in all. What may pass (no
//! connection, 429, 5xx, an answer cut off) is tried four times.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::StreamExt;
use reqwest::{Client, StatusCode, redirect};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::client;
use crate::job::Failure;
use crate::sources::unasked_encoding;

/// Addresses that are fetched at a time.
pub(super) const AT_ONCE: usize = 8;
const REDIRECTS: usize = 5;
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The most that `Retry-After` is believed.
const LONGEST_ASKED: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(30);
const IN_ALL: Duration = Duration::from_mins(10);

pub(super) struct Fetcher {
    http: Client,
    folder: PathBuf,
    most_bytes: u64,
    stop: CancellationToken,
}

/// Why one try failed, and how long the server wants not to be asked again.
struct Fault {
    failure: Failure,
    asked: Option<Duration>,
}

impl Fetcher {
    pub(super) fn new(journal: &Path, most_bytes: u64, stop: CancellationToken) -> Result<Self> {
        let folder = journal.join("fetched");
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let http = client::builder()
            .redirect(redirect::Policy::limited(REDIRECTS))
            .read_timeout(SILENCE)
            .timeout(IN_ALL)
            .build()?;
        Ok(Self { http, folder, most_bytes, stop })
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
            let Fault { failure, asked } = match self.once(url, &file).await {
                Ok(bytes) => return Ok(bytes),
                Err(fault) => fault,
            };
            let _ = fs::remove_file(super::result_part(&file));
            if !failure.retryable || left == 0 {
                return Err(failure);
            }
            let wait = client::wait(asked.unwrap_or_default().min(LONGEST_ASKED), pause, fastrand::f64());
            pause *= 4;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => return Err(failure),
            }
        }
        unreachable!("the last try returns")
    }

    async fn once(&self, url: &Url, file: &Path) -> Result<u64, Fault> {
        let response = self.http.get(url.clone()).send().await.map_err(|error| fault(&error))?;
        let status = response.status();
        if !status.is_success() {
            let detail = format!("the address answered {status}");
            return Err(if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
                Fault { asked: client::asked(&response), failure: Failure::transient("fetch-failed", detail) }
            } else {
                Fault::permanent("fetch-failed", detail)
            });
        }
        if let Some(encoding) = unasked_encoding(response.headers()) {
            return Err(Fault::permanent("fetch-failed", encoding));
        }
        if response.content_length().is_some_and(|length| length > self.most_bytes) {
            return Err(self.too_large());
        }
        let part = super::result_part(file);
        let mut out = tokio::fs::File::create(&part).await.map_err(|error| unwritable(&part, &error))?;
        let mut bytes = 0;
        let mut body = response.bytes_stream();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| fault(&error))?;
            bytes += piece.len() as u64;
            if bytes > self.most_bytes {
                return Err(self.too_large());
            }
            out.write_all(&piece).await.map_err(|error| unwritable(&part, &error))?;
        }
        // The journal may name it from here on, and outlive a power cut.
        out.sync_all().await.map_err(|error| unwritable(&part, &error))?;
        tokio::fs::rename(&part, file).await.map_err(|error| unwritable(file, &error))?;
        Ok(bytes)
    }

    fn too_large(&self) -> Fault {
        let detail = format!("the address has more bytes than limits.max_file_bytes ({})", self.most_bytes);
        Fault::permanent("too-large", detail)
    }
}

impl Fault {
    fn permanent(code: &'static str, detail: String) -> Self {
        Self { failure: Failure::permanent(code, detail), asked: None }
    }
}

fn fault(error: &reqwest::Error) -> Fault {
    let detail = client::chain(error);
    if error.is_redirect() || error.is_builder() {
        return Fault::permanent("fetch-failed", detail);
    }
    Fault { failure: Failure::transient("fetch-failed", detail), asked: None }
}

fn unwritable(file: &Path, error: &std::io::Error) -> Fault {
    let failure = Failure::of_io(error, format!("{} cannot be written: {error}", file.display()));
    Fault { failure: Failure { lacking: None, ..failure }, asked: None }
}
