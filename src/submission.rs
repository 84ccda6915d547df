//! From received pictures to an enqueued group of jobs; HTTP and the command line share it.
//!
//! A picture is streamed to the store and its header probed on the way; what is wrong with one
//! never fails its neighbours. Until the broker has acknowledged the group, everything stored for
//! it is removed again on the first error, and when the submission is dropped.

use std::io::BufReader;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::config;
use crate::imaging::{self, Code, Operation};
use crate::job::{Failure, GroupId, ImageProcess, JobId, Payload, Source};
use crate::queue::{self, Broker, NewGroup, NewJob};
use crate::storage::{self, Storage, upload_key};

/// Characters of a client's file name that are kept.
const NAME_CHARS: usize = 255;
/// Originals of a group that the broker does not know are removed after this long.
const ORPHAN_AGE: Duration = Duration::from_hours(24);

/// What a client may ask for beside the operations.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    pub queue: Option<String>,
    /// 1–10, 10 first.
    pub priority: Option<u8>,
    /// Not to be started before.
    pub eta: Option<Timestamp>,
    /// Further attempts after the first.
    pub retries: Option<u32>,
}

impl Options {
    /// Parses and checks the JSON of the field `options`.
    ///
    /// # Errors
    /// One sentence that names the field, the value and the limit.
    pub fn parse(json: &str, queues: &[String]) -> Result<Self, String> {
        let options: Self = serde_json::from_str(json).map_err(|error| format!("options: {error}"))?;
        if let Some(queue) = &options.queue
            && !queues.contains(queue)
        {
            return Err(format!("options.queue: unknown queue `{queue}`; known: {}", queues.join(", ")));
        }
        if let Some(priority) = options.priority
            && !(1..=10).contains(&priority)
        {
            return Err(format!("options.priority: {priority} is not within 1 to 10"));
        }
        if let Some(retries) = options.retries
            && retries > 100
        {
            return Err(format!("options.retries: {retries} exceeds 100"));
        }
        Ok(options)
    }
}

/// A refused picture, as it stands in answers and in the group's record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rejected {
    /// Its place among the request's pictures, from 0.
    pub index: usize,
    pub image: String,
    pub error: Failure,
}

/// What the group's record keeps for us, opaque to the broker.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Meta {
    #[serde(default)]
    pub rejected: Vec<Rejected>,
}

/// What ended a submission before the broker had it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error(transparent)]
    Queue(#[from] queue::Error),
    /// The pictures stopped coming.
    #[error("the upload ended early: {0}")]
    Source(Box<dyn std::error::Error + Send + Sync>),
}

/// A group on its way in.
#[derive(Debug)]
pub struct Submission {
    storage: Storage,
    limits: imaging::Limits,
    group: GroupId,
    accepted: Vec<Accepted>,
    rejected: Vec<Rejected>,
    enqueued: bool,
}

#[derive(Debug)]
struct Accepted {
    image: String,
    key: String,
}

/// A group that the broker has.
#[derive(Debug)]
pub struct Submitted {
    pub group: GroupId,
    pub images: usize,
    pub rejected: Vec<Rejected>,
}

impl Submission {
    pub fn begin(storage: Storage, limits: &config::Limits) -> Self {
        let (accepted, rejected) = (Vec::new(), Vec::new());
        Self { storage, limits: limits.imaging(), group: GroupId::new(), accepted, rejected, enqueued: false }
    }

    /// Pictures received so far, good and bad.
    pub fn received(&self) -> usize {
        self.accepted.len() + self.rejected.len()
    }

    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// Stores one picture and probes its header. A bad picture is noted, not an error.
    ///
    /// # Errors
    /// When the store fails, or `body` does.
    pub async fn receive<E>(&mut self, name: &str, body: impl Stream<Item = Result<Bytes, E>>) -> Result<u64, Error>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let index = self.received();
        let image = shown_name(name, index);
        let key = upload_key(self.group, index);
        let mut incoming = Some(self.storage.receive(&key).await?);
        let mut bytes = 0;
        let mut body = std::pin::pin!(body);
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| Error::Source(error.into()))?;
            bytes += chunk.len() as u64;
            if bytes > self.limits.max_file_bytes {
                // The rest is read, so that the pictures behind it can be, but no longer kept.
                incoming = None;
            }
            if let Some(incoming) = &mut incoming {
                incoming.write(chunk).await?;
            }
        }
        let verdict = match incoming {
            None => {
                let limit = self.limits.max_file_bytes;
                Err(imaging::Error::new(
                    Code::TooLarge,
                    format!("{bytes} bytes exceed limits.max_file_bytes ({limit})"),
                ))
            }
            Some(_) if bytes == 0 => Err(imaging::Error::new(Code::EmptyFile, "the file is empty")),
            Some(incoming) => {
                incoming.finish().await?;
                self.probe(&key).await?
            }
        };
        match verdict {
            Ok(_) => self.accepted.push(Accepted { image, key }),
            Err(error) => {
                self.storage.remove(&key).await?;
                self.rejected.push(Rejected { index, image, error: error.into() });
            }
        }
        Ok(bytes)
    }

    async fn probe(&self, key: &str) -> Result<imaging::Result<imaging::Header>, Error> {
        let (path, limits) = (self.storage.path(key), self.limits.clone());
        let probed = tokio::task::spawn_blocking(move || {
            let file = std::fs::File::open(&path)
                .map_err(|error| storage::Error::Failed(format!("{}: {error}", path.display())))?;
            Ok::<_, storage::Error>(imaging::probe(BufReader::with_capacity(16 << 10, file), &limits))
        });
        Ok(probed.await.expect("probing catches its panics")?)
    }

    /// Enqueues a job for each accepted picture, in the order received. Durable when it returns.
    ///
    /// # Errors
    /// When the broker refuses or is away; nothing is left behind then.
    pub async fn enqueue(
        mut self,
        broker: &Broker,
        operations: &[Operation],
        options: &Options,
        max_attempts: u32,
    ) -> Result<Submitted, Error> {
        let delay = options.eta.and_then(|eta| Duration::try_from(eta.duration_since(Timestamp::now())).ok());
        let jobs: Vec<NewJob> = self
            .accepted
            .drain(..)
            .zip(0..)
            .map(|(accepted, index)| {
                let payload = Payload::ImageProcess(ImageProcess {
                    source: Source::Stored(accepted.key),
                    image: accepted.image,
                    operations: operations.to_vec(),
                });
                NewJob {
                    id: JobId::new(),
                    index,
                    kind: payload.kind().into(),
                    queue: options.queue.clone().unwrap_or_else(|| payload.default_queue().into()),
                    class: payload.class(),
                    priority: options.priority.unwrap_or(5),
                    delay,
                    max_attempts: options.retries.map_or(max_attempts, |retries| retries + 1),
                    payload: serde_json::to_vec(&payload).expect("a payload always serialises").into(),
                }
            })
            .collect();
        let meta = Meta { rejected: std::mem::take(&mut self.rejected) };
        let kept = serde_json::to_vec(&meta).expect("strings and numbers always serialise");
        broker.enqueue(&NewGroup { id: self.group, meta: kept.into() }, &jobs).await?;
        self.enqueued = true;
        info!(group.id = %self.group, "enqueued {} pictures as group {}", jobs.len(), self.group);
        Ok(Submitted { group: self.group, images: jobs.len(), rejected: meta.rejected })
    }
}

impl Drop for Submission {
    fn drop(&mut self) {
        if self.enqueued {
            return;
        }
        let (storage, group) = (self.storage.clone(), self.group);
        // A staged file's own clean-up may still be on its way; both end in the same removal.
        tokio::task::spawn_blocking(move || {
            if let Err(error) = storage.remove_group(group) {
                warn!("a broken-off upload stays behind: {error}");
            }
        });
    }
}

/// Removes originals that were never enqueued: of uploads that a kill or a power cut broke off.
///
/// # Errors
/// When the store or the broker fails.
pub async fn sweep_orphans(storage: &Storage, broker: &Broker) -> Result<usize, Error> {
    let mut swept = 0;
    for group in storage.groups_older_than(SystemTime::now() - ORPHAN_AGE)? {
        if broker.group(group).await?.is_none() {
            let storage = storage.clone();
            tokio::task::spawn_blocking(move || storage.remove_group(group))
                .await
                .expect("removing folders does not panic")?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// A client's file name as it is shown: its last part, printable, of bounded length.
fn shown_name(name: &str, index: usize) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let shown: String =
        last.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).take(NAME_CHARS).collect();
    if shown.is_empty() { format!("image-{index}") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_names_are_last_parts_without_control_characters() {
        assert_eq!(shown_name("../../etc/passwd", 0), "passwd");
        assert_eq!(shown_name("C:\\pictures\\cat.jpg", 0), "cat.jpg");
        assert_eq!(shown_name("a\r\nb\0.jpg", 0), "a\u{fffd}\u{fffd}b\u{fffd}.jpg");
        assert_eq!(shown_name("", 3), "image-3");
        assert_eq!(shown_name(&"x".repeat(9_000), 0).len(), NAME_CHARS);
    }

    #[test]
    fn options_name_the_field_and_the_limit() {
        let queues = ["default".to_owned(), "critical".to_owned()];
        let fault = |json| Options::parse(json, &queues).unwrap_err();
        assert_eq!(fault(r#"{"priority": 11}"#), "options.priority: 11 is not within 1 to 10");
        assert_eq!(fault(r#"{"queue": "fast"}"#), "options.queue: unknown queue `fast`; known: default, critical");
        assert!(fault(r#"{"prioritty": 1}"#).contains("prioritty"));
        assert!(fault("[1").starts_with("options: "));
    }
}
