//! From received pictures to an enqueued group of jobs; HTTP and the command line share it.
//!
//! A picture is streamed to the store and its header probed on the way; what is wrong with one
//! never fails its neighbours. Until a submission is written down in the [`outbox`], everything
//! stored for it is removed again on the first error, and when it is dropped; from then on it is
//! owed.

pub mod outbox;
mod retry;
pub mod routing;

use std::io::BufReader;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use crate::config;
use crate::imaging::{self, Code, Operation};
use crate::job::{Failure, GroupId, ImageProcess, JobId, Payload, Source};
use crate::queue::{self, Broker, Reservation};
use crate::storage::{self, Storage, upload_key};

use outbox::{Entry, Key, Manifest};

pub use retry::{retry_group, retry_jobs};

/// Characters of a client's file name that are kept.
const NAME_CHARS: usize = 255;

/// What a client may ask for beside the operations.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    pub queue: Option<String>,
    /// 1–10, 10 first.
    pub priority: Option<u8>,
    /// Not to be started before.
    pub eta: Option<Timestamp>,
    /// Further attempts after the first.
    pub retries: Option<u32>,
    /// Makes what there is of a file cut short, with a warning, instead of refusing it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lenient: bool,
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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    #[serde(default)]
    pub rejected: Vec<Rejected>,
    /// The group whose pictures these are copies of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<GroupId>,
    /// The name of the API key that submitted it; none without keys, and then every key may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The request that it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Meta {
    /// A group's. That of a group that we did not submit is empty.
    pub fn of(group: &queue::Group) -> Self {
        serde_json::from_slice(&group.meta).unwrap_or_default()
    }
}

/// Whence a submission comes.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The name of the API key.
    pub owner: Option<String>,
    pub request_id: Option<String>,
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
    /// A submission under the same idempotency key is still being received.
    #[error("a request with this idempotency key is still being received")]
    KeyInUse,
    /// Something else was submitted under the same idempotency key.
    #[error("group {0} was submitted with this idempotency key and other content")]
    KeyReused(GroupId),
    /// There is no such group or job.
    #[error("there is no {0}")]
    Unknown(String),
    /// Nothing of it can be tried again.
    #[error("{0}")]
    NotRetryable(String),
}

/// A group on its way in.
pub struct Submission {
    storage: Storage,
    limits: imaging::Limits,
    group: GroupId,
    accepted: Vec<Accepted>,
    rejected: Vec<Rejected>,
    keyed: Option<Keyed>,
    origin: Origin,
    /// Written down in the outbox, which answers for its files from then on.
    owed: bool,
}

/// The idempotency key of a submission that is being received.
struct Keyed {
    name: String,
    broker: Broker,
    /// Each file's name and SHA-256.
    content: Sha256,
    /// What was submitted under it before.
    earlier: Option<(GroupId, Bytes)>,
}

struct Accepted {
    image: String,
    key: String,
    bytes: u64,
    header: imaging::Header,
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
        let (limits, group) = (limits.imaging(), GroupId::new());
        Self { storage, limits, group, accepted, rejected, keyed: None, origin: Origin::default(), owed: false }
    }

    /// Says whose it is.
    #[must_use]
    pub fn by(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// Reserves an idempotency key: submitted again with the same content, it gets the same group.
    ///
    /// # Errors
    /// `KeyInUse`; or when the broker fails.
    pub async fn reserve(&mut self, broker: &Broker, key: String) -> Result<(), Error> {
        let earlier = match broker.reserve(&key, self.group).await? {
            Reservation::Granted => None,
            Reservation::Busy => return Err(Error::KeyInUse),
            Reservation::Known { group, fingerprint } => Some((group, fingerprint)),
        };
        self.keyed = Some(Keyed { name: key, broker: broker.clone(), content: Sha256::new(), earlier });
        Ok(())
    }

    /// Gives the idempotency key back, for the client to submit something better under it at once.
    pub async fn unreserve(&mut self) {
        if let Some(Keyed { name, broker, .. }) = self.keyed.take()
            && let Err(error) = broker.unreserve(&name, self.group).await
        {
            warn!("an idempotency key stays reserved for a while: {error}");
        }
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
        let mut digest = self.keyed.is_some().then(Sha256::new);
        let mut bytes = 0;
        let mut body = std::pin::pin!(body);
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| Error::Source(error.into()))?;
            bytes += chunk.len() as u64;
            if let Some(digest) = &mut digest {
                digest.update(&chunk);
            }
            if bytes > self.limits.max_file_bytes {
                // The rest is read, so that the pictures behind it can be, but no longer kept.
                incoming = None;
            }
            if let Some(incoming) = &mut incoming {
                incoming.write(chunk).await?;
            }
        }
        if let (Some(keyed), Some(digest)) = (&mut self.keyed, digest) {
            keyed.content.update((name.len() as u64).to_be_bytes());
            keyed.content.update(name);
            keyed.content.update(digest.finalize());
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
            Ok(header) => self.accepted.push(Accepted { image, key, bytes, header }),
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
    /// When the broker refuses, and nothing is left behind; or when it is away, and the upkeep tidies up. `KeyReused`.
    pub async fn enqueue(
        mut self,
        broker: &Broker,
        operations: &[Operation],
        options: &Options,
        queue: &config::Queue,
    ) -> Result<Submitted, Error> {
        let key = self.keyed.as_ref().map(|keyed| keyed.key(operations, options));
        if let (Some(Keyed { earlier: Some((group, fingerprint)), .. }), Some(key)) = (&self.keyed, &key) {
            if *fingerprint != key.fingerprint {
                return Err(Error::KeyReused(*group));
            }
            let (images, rejected) = (self.accepted.len(), self.rejected.clone());
            return Ok(Submitted { group: *group, images, rejected });
        }
        let priority = options.priority.unwrap_or(5);
        let limits = self.limits.clone();
        let entry = |accepted: Accepted| {
            let payload = Payload::ImageProcess(ImageProcess {
                source: Source::Stored(accepted.key),
                image: accepted.image,
                operations: operations.to_vec(),
                lenient: options.lenient,
                peak: Some(imaging::estimate(accepted.bytes, &accepted.header, operations, &limits)),
                lost: 0,
            });
            let asked = options.queue.as_deref().unwrap_or(payload.default_queue());
            Entry {
                id: JobId::new(),
                queue: routing::queue(&queue.routes, payload.kind(), asked, priority).into(),
                priority,
                max_attempts: options.retries.map_or(queue.max_attempts, |retries| retries + 1),
                after: None,
                retry_of: None,
                payload,
            }
        };
        let jobs: Vec<Entry> = self.accepted.drain(..).map(entry).collect();
        let Origin { owner, request_id } = std::mem::take(&mut self.origin);
        let meta = Meta { rejected: std::mem::take(&mut self.rejected), retry_of: None, owner, request_id };
        let submitted = Submitted { group: self.group, images: jobs.len(), rejected: meta.rejected.clone() };
        let (group, created_at) = (self.group, Timestamp::now());
        let manifest = Manifest { group, meta, key, created_at, eta: options.eta, jobs };
        self.owed = true;
        outbox::submit(&self.storage, broker, manifest).await?;
        info!(group.id = %submitted.group, "enqueued {} pictures as group {}", submitted.images, submitted.group);
        Ok(submitted)
    }
}

impl Keyed {
    /// The key with what it stands for: operations and options in one form, however they were written, and the files.
    fn key(&self, operations: &[Operation], options: &Options) -> Key {
        let asked = serde_json::to_vec(&(operations, options)).expect("operations and options always serialise");
        let whole = Sha256::new().chain_update(self.content.clone().finalize()).chain_update(asked).finalize();
        Key { name: self.name.clone(), fingerprint: format!("{:x}", Bytes::copy_from_slice(&whole)) }
    }
}

impl Drop for Submission {
    fn drop(&mut self) {
        if self.owed {
            return;
        }
        let (storage, group, keyed) = (self.storage.clone(), self.group, self.keyed.take());
        if let Some(Keyed { name, broker, .. }) = keyed {
            // What this misses lapses.
            tokio::spawn(async move { broker.unreserve(&name, group).await });
        }
        // A staged file's own clean-up may still be on its way; both end in the same removal.
        tokio::task::spawn_blocking(move || {
            if let Err(error) = storage.remove_group(group) {
                warn!("a broken-off upload stays behind: {error}");
            }
        });
    }
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
