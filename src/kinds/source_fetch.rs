//! `source.fetch`: the first stage of a picture that is not in the store yet, or whose header has not been read.
//!
//! A picture is one job from beginning to end, so its group counts and shows it once. Fetching is the job's first
//! stage, of class io: many run at a time, and none takes a slot for computing. When the picture is in the store and
//! its header shows how much memory it needs, the job continues as an `image.process` in that queue, on any worker. So
//! slow servers keep no core idle, the pictures of a group are spread over all workers, and the retry of one stage does
//! not repeat the other. Two chained jobs would count each picture twice, and a computing job that fetches ahead would
//! hold its slot for slow servers. If an attempt dies between writing the file and its settlement, the next attempt
//! finds the whole file.

use queue::{Class, Stage};
use serde::{Deserialize, Serialize};
use tracing::debug;
use url::Url;

use super::{Context, Done, Ended, ImageProcess, Kind, Missing, Payload, Run, Source};
use crate::errors::Failure;
use crate::errors::Lack;
use crate::metrics::FetchLabels;
use crate::net::Fetcher;
use crate::probe::{self, Probed};
use crate::sources::Places;

/// The first stage of a picture that is not in the store or has not been probed. Fetches it if necessary, probes it,
/// and continues the job as `image.process`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceFetch {
    pub from: Origin,
    /// The picture. Its source is the place where it will be stored.
    pub picture: ImageProcess,
    /// The queue of the next stage.
    pub queue: String,
}

/// The origin of a picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Url(Url),
    /// The picture's own source, which is read where it is.
    InPlace,
}

impl Kind for SourceFetch {
    const QUEUE: &str = "io_intensive";
    const IS_PICTURE: bool = true;

    fn picture(&self) -> Option<&ImageProcess> {
        Some(&self.picture)
    }

    fn picture_mut(&mut self) -> Option<&mut ImageProcess> {
        Some(&mut self.picture)
    }

    fn misses(&self, code: &str) -> Option<Missing> {
        self.picture.misses(code)
    }

    fn failed(&self, attempt: &Ended, error: &Failure) -> bytes::Bytes {
        // No output was written, so the result names no run.
        self.picture.failed(&Ended { run: queue::Run::default(), ..*attempt }, error)
    }
}

impl Run for SourceFetch {
    async fn run(&self, context: &Context) -> Result<Done, Failure> {
        fetch(self, context).await.map(Done::Stage)
    }
}

/// Stores the picture; returns the next stage of its job.
async fn fetch(job: &SourceFetch, context: &Context) -> Result<Stage, Failure> {
    let mut check = job.picture.check;
    let (bytes, header) = match (&job.from, &job.picture.source) {
        (Origin::Url(url), Source::Stored(key)) => {
            let looked;
            (check, looked) = from_url(url, key, context).await?;
            looked
        }
        (_, Source::Stored(key)) => look(key, context).await?,
        (_, Source::Shared(key)) => in_folder(key, context).await?,
        (_, Source::File(path)) => {
            let detail = format!("{} is not fetched by a job of its own", path.display());
            return Err(Failure::permanent("internal", detail));
        }
    };
    let peak = imaging::estimate(bytes, &header, &job.picture.operations, &context.limits);
    let next = Payload::ImageProcess(ImageProcess { peak: Some(peak), check, ..job.picture.clone() });
    let payload = next.to_bytes(context.request_id.as_deref());
    Ok(Stage { kind: next.kind().into(), queue: job.queue.clone(), class: Class::Cpu, payload })
}

async fn from_url(url: &Url, key: &str, context: &Context) -> Result<(Option<u32>, (u64, imaging::Header)), Failure> {
    let mut check = None;
    if !context.storage.has(key).await? {
        let fetched = receive(url, key, context).await;
        let outcome = fetched.as_ref().err().map_or_else(|| "fetched".into(), |failure| failure.code.to_string());
        context.metrics.fetches.get_or_create(&FetchLabels { outcome }).inc();
        check = fetched?;
    }
    Ok((check, look(key, context).await?))
}

async fn receive(url: &Url, key: &str, context: &Context) -> Result<Option<u32>, Failure> {
    let Places { fetcher: Some(fetcher), .. } = &context.sources else {
        return Err(Failure::permanent("url-forbidden", "this worker fetches no URLs: sources.urls is empty"));
    };
    let limit = fetcher.timeout();
    let streamed = tokio::time::timeout(limit, stream(url, key, fetcher, context)).await;
    streamed.unwrap_or_else(|_| {
        Err(Failure::transient("fetch-failed", format!("it took longer than sources.timeout ({limit:?})")))
    })
}

/// Downloads the picture to `key`. Returns the CRC-32 of the file; `None` if another attempt has stored its own
/// download.
async fn stream(url: &Url, key: &str, fetcher: &Fetcher, context: &Context) -> Result<Option<u32>, Failure> {
    let space = context.storage.space()?;
    if space.is_short() {
        return Err(Failure::of_store(Some(Lack::Room), space.to_string()));
    }
    let mut answer = fetcher.get(url).await?;
    let mut incoming = context.storage.receive(key).await?;
    let (mut bytes, mut check) = (0, crc32fast::Hasher::new());
    while let Some(chunk) = answer.chunk().await? {
        bytes += chunk.len();
        check.update(&chunk);
        context.metrics.fetched_bytes.inc_by(chunk.len() as u64);
        incoming.write(chunk).await.map_err(|error| Failure::from(error).of_bytes(bytes as u64))?;
    }
    debug!(bytes, key, "fetched a picture");
    // A late attempt must not replace the file of a finished one, because the two downloads may differ.
    if context.storage.has(key).await? {
        return Ok(None);
    }
    incoming.finish().await.map_err(|error| Failure::from(error).of_bytes(bytes as u64))?;
    Ok(Some(check.finalize()))
}

/// Probes a picture in the store. Removes it if it cannot be used.
async fn look(key: &str, context: &Context) -> Result<(u64, imaging::Header), Failure> {
    if !context.storage.has(key).await? {
        return Err(Failure::permanent("source-missing", "the original is no longer stored"));
    }
    let probed = probe::stored(&context.storage, key, &context.limits).await?;
    if probed.is_err() {
        context.storage.remove(key).await?;
    }
    Ok(probed?)
}

async fn in_folder(key: &str, context: &Context) -> Result<(u64, imaging::Header), Failure> {
    let Some(folder) = context.sources.folder.clone() else {
        return Err(Failure::permanent("source-forbidden", "this worker has no folder: sources.folder is not set"));
    };
    let (name, wanted) = (key.to_owned(), key.to_owned());
    let opened = tokio::task::spawn_blocking(move || folder.open(&wanted)).await.expect("opening does not panic");
    let file = opened?;
    let probed: Probed = probe::file(file, context.limits.clone())
        .await
        .map_err(|error| Failure::of_io(&error, format!("`{name}` cannot be read: {error}")))?;
    Ok(probed?)
}
