//! From received pictures to an enqueued group of jobs; HTTP and the command line share it.
//!
//! A picture is streamed to the store and its header probed on the way; what is wrong with one
//! never fails its neighbours. Until a submission is written down in the [`outbox`], everything
//! stored for it is removed again on the first error, and when it is dropped; from then on it is
//! owed.

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

/// Characters of a client's file name that are kept.
const NAME_CHARS: usize = 255;

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
    /// The group that this one follows, whose pictures these are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<GroupId>,
    /// What follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Next>,
    /// Pictures that the group has once all of them are enqueued, where they come in parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<u32>,
    /// The name of the API key that submitted it, empty for the service itself; none without keys, and then every key may
    /// see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The request that it came with.
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
    /// Of what the service does for itself. No key's name is empty, so it is only for those who see everything.
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
    /// The name of the API key.
    pub owner: Option<String>,
    pub request_id: Option<String>,
}

/// The group that follows another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    pub on: On,
    pub group: GroupId,
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
    /// `options.dedupe` beside an idempotency key.
    #[error("options.dedupe: the request has an Idempotency-Key, too; name one of both")]
    TwoKeys,
    /// There is no such group or job.
    #[error("there is no {0}")]
    Unknown(String),
    /// Nothing of it can be tried again.
    #[error("{0}")]
    NotRetryable(String),
    /// More pictures than one submission takes.
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

/// A group on its way in.
pub struct Submission {
    storage: Storage,
    limits: imaging::Limits,
    group: GroupId,
    meta: Meta,
    accepted: Vec<Accepted>,
    rejected: Vec<Rejected>,
    /// Keys of a prefix with more pictures than are looked at while the client waits.
    listed: Option<Vec<String>>,
    keyed: Option<Keyed>,
    /// Written down in the outbox, which answers for its files from then on.
    owed: bool,
}

/// The idempotency key of a submission that is being received.
struct Keyed {
    name: String,
    /// Each file's name and SHA-256.
    content: Sha256,
    /// What was submitted under it before; else the key is reserved for this group.
    held: Held,
}

enum Held {
    Reserved(Hold),
    Known(GroupId, Bytes),
}

struct Accepted {
    image: String,
    source: Source,
    /// CRC-32 of the original, where it is in the store.
    check: Option<u32>,
    seen: Seen,
}

/// What is known of a picture before its job begins.
enum Seen {
    /// It lies where its source says and has been looked at.
    Probed { bytes: u64, header: imaging::Header },
    /// A job fetches it first.
    Elsewhere(Origin),
}

/// A group that the broker has.
#[derive(Debug)]
pub struct Submitted {
    pub group: GroupId,
    pub images: usize,
    pub rejected: Vec<Rejected>,
    /// The group that follows.
    pub then: Option<GroupId>,
}

impl Submission {
    pub fn begin(storage: Storage, limits: &config::Limits) -> Self {
        Self::begin_as(GroupId::new(), storage, limits.imaging(), Meta::default())
    }

    /// Of a group whose id and circumstances are known.
    fn begin_as(group: GroupId, storage: Storage, limits: imaging::Limits, meta: Meta) -> Self {
        let (accepted, rejected) = (Vec::new(), Vec::new());
        Self { storage, limits, group, meta, accepted, rejected, listed: None, keyed: None, owed: false }
    }

    /// Says whose it is.
    #[must_use]
    pub fn by(mut self, sender: Sender) -> Self {
        (self.meta.owner, self.meta.request_id) = (sender.owner, sender.request_id);
        self
    }

    /// Reserves an idempotency key: submitted again with the same content, it gets the same group.
    ///
    /// # Errors
    /// `KeyInUse`; or when the broker fails.
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

    /// Gives the idempotency key back, for the client to submit something better under it at once.
    pub async fn unreserve(&mut self) {
        if let Some(Keyed { held: Held::Reserved(hold), .. }) = self.keyed.take() {
            hold.release().await;
        }
    }

    /// Pictures received so far, good and bad.
    pub fn received(&self) -> usize {
        self.accepted.len() + self.rejected.len()
    }

    /// Whether there are pictures, and all of them are bad.
    pub fn is_hopeless(&self) -> bool {
        self.accepted.is_empty() && self.listed.is_none() && !self.rejected.is_empty()
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
                // The rest is read, so that the pictures behind it can be, but no longer kept.
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

    /// The answer that was given under the idempotency key before, if there was one.
    ///
    /// # Errors
    /// `KeyReused`; or when the broker fails.
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
            // Its record was removed since the key was asked for: the key is free, and this is a new submission.
            let held = self.hold(broker, &key.name).await?;
            self.keyed.as_mut().expect("it was just read").held = held;
        }
    }

    /// Enqueues a job for each accepted picture, in the order received. Durable when it returns.
    ///
    /// # Errors
    /// When the broker refuses, and nothing is left behind; or when it is away, and `outbox.sweep` tidies up. `KeyReused`.
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

/// What a submission has beside its pictures.
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
    /// Something more that was submitted under it.
    fn note(&mut self, name: &str, content: &[u8]) {
        self.content.update((name.len() as u64).to_be_bytes());
        self.content.update(name);
        self.content.update(content);
    }

    /// The key with what it stands for: operations and options in one form, however they were written, and the files.
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
}
