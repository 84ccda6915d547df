//! From received pictures to an enqueued group of jobs. HTTP and the command line share this module.
//!
//! A picture is streamed to the store, and then its header is probed. A bad picture never affects the others. Until a
//! submission is recorded in the [`outbox`], all its files are removed on the first error, or when it is dropped. From
//! then on, it is owed.

mod asked;
mod cancel;
mod follow;
mod hold;
mod listed;
pub mod manifest;
pub mod outbox;
mod retry;
pub mod routing;
mod scan;
mod scheduled;
mod step;
mod wanted;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use imaging::{Code, Operation};
use jiff::Timestamp;
use queue::{Broker, GroupId, JobId, On, Reservation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use crate::config;
use crate::errors::Failure;
use crate::job::{Keep, Labels, Terms};
use crate::kinds::{ImageProcess, Occasion, Origin, Payload, Source, SourceFetch};
use crate::probe;
use crate::storage::{self, Storage, upload_key};

use hold::Hold;
use manifest::{Entry, Key, Listed, Manifest, Then};

pub use asked::{After, Asked, MOST_PER_CHUNK, Options, Refusal, Rules};
pub use cancel::list_cancelled;
pub use retry::{retry_group, retry_jobs};
pub(crate) use step::{Begun, PictureStep};
pub use wanted::Wanted;

/// Characters kept of a client's file name.
const NAME_CHARS: usize = 255;

/// A rejected picture, as shown in answers and stored in the group's record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rejected {
    /// Index among the request's pictures, from 0.
    pub index: usize,
    pub image: String,
    pub error: Failure,
}

/// The fields of the group's record that the broker stores without reading them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    #[serde(default)]
    pub rejected: Vec<Rejected>,
    /// The group whose pictures were copied, if this is a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<GroupId>,
    /// The group that this one follows, whose pictures it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<GroupId>,
    /// The follow-up of this group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Next>,
    /// Number of pictures after all of them are enqueued, if they are enqueued in chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<u32>,
    /// The name of the API key that submitted it; empty for the service itself. `None` if keys were not used, and then
    /// all keys may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The id of the request that submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The kind of the group's jobs; `None` for pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The step of a workflow that the group is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepOf>,
    /// A group that follows or retries another one has the labels of that one.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// The slot of the schedule that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Occasion>,
}

impl Meta {
    /// For groups that the service makes for itself. No key has an empty name, so only keys with access to all groups
    /// see them.
    pub fn service() -> Self {
        Self { owner: Some(String::new()), ..Self::default() }
    }

    /// Whether the service made the group for itself.
    pub fn is_of_service(&self) -> bool {
        self.owner.as_deref() == Some("")
    }

    /// The metadata of a group. A group without readable metadata belongs to the service: its job makes what follows another
    /// group.
    pub fn of(group: &queue::Group) -> Self {
        serde_json::from_slice(&group.meta).unwrap_or_else(|_| Self::service())
    }
}

/// A step of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOf {
    pub workflow: GroupId,
    pub name: String,
}

/// Whence a submission comes.
#[derive(Debug, Clone, Default)]
pub struct Sender {
    /// Name of the API key.
    pub owner: Option<String>,
    pub request_id: Option<String>,
}

/// A follow-up group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    pub on: On,
    pub group: GroupId,
}

/// Why a submission ended before it was enqueued.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error(transparent)]
    Queue(#[from] queue::Error),
    /// The pictures could not be received completely.
    #[error("the upload ended early: {0}")]
    Source(Box<dyn std::error::Error + Send + Sync>),
    /// A submission with the same idempotency key is still being received.
    #[error("a request with this idempotency key is still being received")]
    KeyInUse,
    /// The idempotency key was used for a different submission.
    #[error("group {0} was submitted with this idempotency key and other content")]
    KeyReused(GroupId),
    /// `options.dedupe` beside an idempotency key.
    #[error("options.dedupe: the request has an Idempotency-Key, too; name one of both")]
    TwoKeys,
    /// There is no such group or job.
    #[error("there is no {0}")]
    Unknown(String),
    /// Nothing can be retried.
    #[error("{0}")]
    NotRetryable(String),
    /// More pictures than a submission may have.
    #[error("{0}")]
    TooMany(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Queue(cause) => cause.into(),
            Error::Storage(cause) => cause.into(),
            Error::Unknown(_) | Error::NotRetryable(_) => Self::permanent("source-gone", error.to_string()),
            _ => Self::transient("storage", error.to_string()),
        }
    }
}

/// A group that is being received.
pub struct Submission {
    storage: Storage,
    limits: imaging::Limits,
    group: GroupId,
    meta: Meta,
    accepted: Vec<Accepted>,
    rejected: Vec<Rejected>,
    /// The keys of a prefix that has too many pictures to probe them while the client waits.
    listed: Option<Vec<String>>,
    keyed: Option<Keyed>,
    /// Whether it is recorded in the outbox. From then on, its files are not removed.
    owed: bool,
}

/// The idempotency key of a submission that is being received.
struct Keyed {
    name: String,
    /// Hash of each file's name and SHA-256.
    content: Sha256,
    /// An earlier submission with the key, or the reservation for this group.
    held: Held,
}

enum Held {
    Reserved(Hold),
    Known(GroupId, Bytes),
}

struct Accepted {
    image: String,
    source: Source,
    /// CRC-32 of the original, if it is in the store.
    check: Option<u32>,
    seen: Seen,
}

/// What is known of a picture before its job begins.
enum Seen {
    /// It is at its source's place and has been probed.
    Probed { bytes: u64, header: imaging::Header },
    /// A job has to fetch it first.
    Elsewhere(Origin),
}

/// A group that has been enqueued.
#[derive(Debug)]
pub struct Submitted {
    pub group: GroupId,
    pub images: usize,
    pub rejected: Vec<Rejected>,
    /// The follow-up group.
    pub then: Option<GroupId>,
}

impl Submission {
    pub fn begin(storage: Storage, limits: &config::Limits) -> Self {
        Self::begin_as(GroupId::new(), storage, limits.imaging(), Meta::default())
    }

    /// Begins a group with this id and these fields.
    fn begin_as(group: GroupId, storage: Storage, limits: imaging::Limits, meta: Meta) -> Self {
        let (accepted, rejected) = (Vec::new(), Vec::new());
        Self { storage, limits, group, meta, accepted, rejected, listed: None, keyed: None, owed: false }
    }

    /// Sets the sender.
    #[must_use]
    pub fn by(mut self, sender: Sender) -> Self {
        (self.meta.owner, self.meta.request_id) = (sender.owner, sender.request_id);
        self
    }

    /// Reserves an idempotency key. A repeated submission with the same key and content returns the same group.
    ///
    /// # Errors
    /// `KeyInUse`; or if the broker fails.
    pub async fn reserve(&mut self, broker: &Broker, key: String) -> Result<(), Error> {
        let held = self.hold(broker, &key).await?;
        self.keyed = Some(Keyed { name: key, content: Sha256::new(), held });
        Ok(())
    }

    async fn hold(&self, broker: &Broker, key: &str) -> Result<Held, Error> {
        match broker.reserve(key, self.group).await? {
            Reservation::Granted => Ok(Held::Reserved(Hold::keep(broker.clone(), key.to_owned(), self.group))),
            Reservation::Busy => Err(Error::KeyInUse),
            Reservation::Known { group, fingerprint } => Ok(Held::Known(group, fingerprint)),
        }
    }

    /// Releases the idempotency key, so that the client can submit again with it at once.
    pub async fn unreserve(&mut self) {
        if let Some(Keyed { held: Held::Reserved(hold), .. }) = self.keyed.take() {
            hold.release().await;
        }
    }

    /// Number of pictures received so far, good and bad.
    pub fn received(&self) -> usize {
        self.accepted.len() + self.rejected.len()
    }

    /// Whether there are pictures and all of them are bad.
    pub fn is_hopeless(&self) -> bool {
        self.accepted.is_empty() && self.listed.is_none() && !self.rejected.is_empty()
    }

    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// Stores one picture and probes its header. A bad picture is recorded and is not an error.
    ///
    /// # Errors
    /// If the store fails, or if `body` fails.
    pub async fn receive<E>(&mut self, name: &str, body: impl Stream<Item = Result<Bytes, E>>) -> Result<u64, Error>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let index = self.received();
        let image = shown_name(name, index);
        let key = upload_key(self.group, index);
        let mut incoming = Some(self.storage.receive(&key).await?);
        let mut digest = self.keyed.is_some().then(Sha256::new);
        let mut check = crc32fast::Hasher::new();
        let mut bytes = 0;
        let mut body = std::pin::pin!(body);
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| Error::Source(error.into()))?;
            bytes += chunk.len() as u64;
            if let Some(digest) = &mut digest {
                digest.update(&chunk);
            }
            if bytes > self.limits.max_file_bytes {
                // The rest is read but not stored, so that the pictures after it can be read.
                incoming = None;
            }
            if let Some(incoming) = &mut incoming {
                check.update(&chunk);
                incoming.write(chunk).await?;
            }
        }
        if let (Some(keyed), Some(digest)) = (&mut self.keyed, digest) {
            keyed.note(name, &digest.finalize());
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
                probe::stored(&self.storage, &key, &self.limits).await?.map(|(_, header)| header)
            }
        };
        match verdict {
            Ok(header) => {
                self.accepted.push(Accepted {
                    image,
                    source: Source::Stored(key),
                    check: Some(check.finalize()),
                    seen: Seen::Probed { bytes, header },
                });
            }
            Err(error) => {
                self.storage.remove(&key).await?;
                self.rejected.push(Rejected { index, image, error: error.into() });
            }
        }
        Ok(bytes)
    }

    /// The earlier answer for the idempotency key, if there was one.
    ///
    /// # Errors
    /// `KeyReused`; or if the broker fails.
    async fn answered(&mut self, broker: &Broker, key: Option<&Key>) -> Result<Option<Submitted>, Error> {
        let Some(key) = key else { return Ok(None) };
        loop {
            let Some(Keyed { held: Held::Known(group, fingerprint), .. }) = &self.keyed else { return Ok(None) };
            let group = *group;
            if *fingerprint != key.fingerprint {
                return Err(Error::KeyReused(group));
            }
            if let Some(known) = broker.group(group).await? {
                let meta = Meta::of(&known);
                let images = meta.listed.unwrap_or(known.total) as usize;
                let then = meta.then.map(|then| then.group);
                return Ok(Some(Submitted { group, images, rejected: meta.rejected, then }));
            }
            // The record was removed after the key was looked up. The key is free now, so this is a new submission.
            let held = self.hold(broker, &key.name).await?;
            self.keyed.as_mut().expect("it was just read").held = held;
        }
    }

    /// Enqueues a job for each accepted picture, in the order in which they were received. Durable when it returns.
    ///
    /// # Errors
    /// If the broker refuses; nothing is left behind then. If the broker is unreachable; `outbox.sweep` cleans up then.
    /// `KeyReused`.
    pub async fn enqueue(
        mut self,
        broker: &Broker,
        Asked { operations, options }: &Asked,
        queue: &config::Queue,
    ) -> Result<Submitted, Error> {
        let key = match &options.dedupe {
            None => self.keyed.as_ref().map(|keyed| keyed.key(operations, options)),
            Some(_) if self.keyed.is_some() => return Err(Error::TwoKeys),
            Some(dedupe) => {
                let key = dedupe.key(self.meta.owner.as_deref());
                self.reserve(broker, key.name.clone()).await?;
                Some(key)
            }
        };
        if let Some(submitted) = self.answered(broker, key.as_ref()).await? {
            return Ok(submitted);
        }
        let terms = options.terms(operations.clone(), queue);
        let then = options.then.as_ref().map(|next| next.follow(self.group, queue));
        let listed = self.listed.take().map(|keys| Listed::new(keys, terms.clone(), options.chunk(), queue));
        let mut meta = std::mem::take(&mut self.meta);
        meta.rejected = std::mem::take(&mut self.rejected);
        meta.labels = options.labels.clone();
        meta.then = then.as_ref().map(|(next, _)| *next);
        meta.listed = listed.as_ref().map(|listed| listed.keys.len() as u32);
        let (keep, eta, expires) = (options.retention.unwrap_or_default(), options.eta, options.expires);
        let then = then.map(|(_, then)| then);
        self.submit(broker, meta, &terms, Circumstances { key, eta, expires, keep, listed, then }).await
    }

    async fn submit(
        mut self,
        broker: &Broker,
        meta: Meta,
        terms: &Terms,
        circumstances: Circumstances,
    ) -> Result<Submitted, Error> {
        let Circumstances { key, eta, expires, keep, listed, then } = circumstances;
        let hold = self.keyed.take().and_then(|keyed| match keyed.held {
            Held::Reserved(hold) => Some(hold),
            Held::Known(..) => None,
        });
        let made_by_a_job = meta.follows.is_some() || meta.step.is_some() || meta.schedule.is_some();
        let group = self.group;
        // What a job makes has the same jobs, however often the job runs.
        let ids = (0..).map(|index| if made_by_a_job { listed::id(group, index) } else { JobId::new() });
        let jobs: Vec<Entry> =
            self.accepted.drain(..).zip(ids).map(|(accepted, id)| accepted.entry(id, terms, &self.limits)).collect();
        let images = jobs.len() + listed.as_ref().map_or(0, |listed| listed.keys.len());
        let (rejected, next) = (meta.rejected.clone(), meta.then.map(|then| then.group));
        let submitted = Submitted { group: self.group, images, rejected, then: next };
        let manifest = Manifest { key, eta, expires, listed, then, keep, ..Manifest::new(self.group, meta, jobs) };
        self.owed = true;
        outbox::submit(&self.storage, broker, manifest, hold).await?;
        info!(group.id = %submitted.group, "enqueued {} pictures as group {}", submitted.images, submitted.group);
        Ok(submitted)
    }
}

/// The properties of a submission other than its pictures.
#[derive(Default)]
struct Circumstances {
    key: Option<Key>,
    eta: Option<Timestamp>,
    expires: Option<Timestamp>,
    keep: Keep,
    listed: Option<Listed>,
    then: Option<Then>,
}

impl Accepted {
    fn entry(self, id: JobId, terms: &Terms, limits: &imaging::Limits) -> Entry {
        let Self { image, source, check, seen } = self;
        let Terms { operations, lenient, queue, fetch_queue, priority, max_attempts } = terms.clone();
        let peak = match &seen {
            Seen::Probed { bytes, header } => Some(imaging::estimate(*bytes, header, &operations, limits)),
            Seen::Elsewhere(_) => None,
        };
        let picture = ImageProcess { source, image, operations, lenient, peak, check };
        let (payload, queue) = match seen {
            Seen::Probed { .. } => (Payload::ImageProcess(picture), queue),
            Seen::Elsewhere(from) => (Payload::SourceFetch(SourceFetch { from, picture, queue }), fetch_queue),
        };
        Entry { id, queue, priority, max_attempts, after: None, retry_of: None, payload }
    }
}

impl Keyed {
    /// Adds content to the hash.
    fn note(&mut self, name: &str, content: &[u8]) {
        self.content.update((name.len() as u64).to_be_bytes());
        self.content.update(name);
        self.content.update(content);
    }

    /// The key with the hash of its submission: operations and options in one canonical form, and the files.
    fn key(&self, operations: &[Operation], options: &Options) -> Key {
        let asked = serde_json::to_vec(&(operations, options)).expect("operations and options always serialise");
        let whole = Sha256::new().chain_update(self.content.clone().finalize()).chain_update(asked).finalize();
        Key { name: self.name.clone(), fingerprint: format!("{:x}", Bytes::copy_from_slice(&whole)), memory: None }
    }
}

impl Drop for Submission {
    fn drop(&mut self) {
        if self.owed {
            return;
        }
        let (storage, group) = (self.storage.clone(), self.group);
        // A staged file may still be removing itself. Both removals have the same result.
        tokio::task::spawn_blocking(move || {
            if let Err(error) = storage.remove_group(group) {
                warn!("a broken-off upload stays behind: {error}");
            }
        });
    }
}

/// A client's file name as it is shown: its last part, printable characters, of limited length.
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
}
