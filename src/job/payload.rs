use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use imaging::Operation;
use queue::{Class, GroupId};
use serde::{Deserialize, Serialize};
use url::Url;

use super::seal;
use crate::duration;

/// What a job is to do. Closed: the `match` over it is the registry of kinds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum Payload {
    #[serde(rename = "image.process")]
    ImageProcess(ImageProcess),
    #[serde(rename = "source.fetch")]
    SourceFetch(SourceFetch),
    #[serde(rename = "source.scan")]
    SourceScan(SourceScan),
    #[serde(rename = "group.follow")]
    GroupFollow(GroupFollow),
    #[serde(rename = "storage.sweep")]
    StorageSweep(StorageSweep),
    #[serde(rename = "outbox.sweep")]
    OutboxSweep(OutboxSweep),
}

/// One picture and the outputs that are wanted of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageProcess {
    pub source: Source,
    /// The client's name for the picture; shown, never used as a path.
    pub image: String,
    pub operations: Vec<Operation>,
    /// Makes what there is of a file cut short, with a warning, instead of refusing it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lenient: bool,
    /// Bytes that computing it takes at the most, by estimate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<u64>,
    /// CRC-32 of the original as it was received; `None` where it may change, or an older version received it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<u32>,
}

/// Where a job's picture lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A key of the store.
    Stored(String),
    /// A file beside the worker; only `pixmill batch` without a server makes these.
    File(#[serde(with = "super::path")] PathBuf),
    /// A key below `sources.folder`.
    Shared(String),
}

/// The first stage of a picture that is not in the store or has not been looked at: it is fetched where it must be, and
/// probed; the job then goes on as its `image.process`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceFetch {
    pub from: Origin,
    /// Its source is where the picture will lie.
    pub picture: ImageProcess,
    /// The next stage's.
    pub queue: String,
}

/// Where a picture comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Url(Url),
    /// The picture's own source, as it lies there.
    InPlace,
}

/// Hands the pictures of a long list to the broker, chunk by chunk; the list is in the group's manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceScan {
    pub group: GroupId,
}

/// Makes a new group of the originals of one that has finished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupFollow {
    pub of: GroupId,
    /// The new one's id.
    pub group: GroupId,
    pub terms: Terms,
    #[serde(default, skip_serializing_if = "Keep::is_empty")]
    pub keep: Keep,
}

/// What becomes of each picture of a submission.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    pub operations: Vec<Operation>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lenient: bool,
    /// Where it is processed.
    pub queue: String,
    /// Where it is fetched.
    pub fetch_queue: String,
    pub priority: u8,
    pub max_attempts: u32,
}

/// How long a submission's things are kept from the end of its group, where not as the settings say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub records: Option<Duration>,
    /// They go with the record at the latest.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub originals: Option<Duration>,
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Duration>,
}

impl Keep {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How long things are kept from the end of their group; zero: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageSweep {
    pub records: Duration,
    /// Goes with the record at the latest.
    pub originals: Duration,
    pub outputs: Duration,
}

/// Delivers what is still owed to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxSweep {
    /// Younger submissions are still on their way.
    pub age: Duration,
}

/// A payload beside the request that it comes from.
#[derive(Serialize)]
struct Sent<'a> {
    #[serde(flatten)]
    payload: &'a Payload,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Default, Deserialize)]
struct Sender {
    request_id: Option<String>,
}

/// The request that a job comes from, of whatever kind it is: what the log of whoever works on it names.
pub fn request_id(payload: &[u8]) -> Option<String> {
    serde_json::from_slice::<Sender>(payload).ok()?.request_id
}

/// The client's name for the picture that a job is about, if it is about one.
pub fn image_name(payload: &[u8]) -> Option<String> {
    let payload = Payload::from_bytes(payload).ok()?;
    payload.picture().map(|picture| picture.image.clone())
}

/// Why a payload cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// It is not what was enqueued.
    #[error("the job's payload is damaged: {0}")]
    Damaged(String),
    /// Another version's.
    #[error("{0}")]
    Unknown(serde_json::Error),
}

impl Payload {
    /// As the broker keeps it, with the id of the request that it comes from, and sealed by a checksum.
    pub fn to_bytes(&self, request_id: Option<&str>) -> Bytes {
        let json = serde_json::to_vec(&Sent { payload: self, request_id }).expect("a payload always serialises");
        seal::seal(json).into()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// `Damaged` where bits of it have changed; `Unknown` where it is JSON that this version does not know.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unread> {
        let json = seal::unseal(bytes).map_err(|damaged| Unread::Damaged(damaged.to_string()))?;
        serde_json::from_slice(&json).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => Unread::Unknown(error),
            _ => Unread::Damaged(error.to_string()),
        })
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Self::ImageProcess(_) => "image.process",
            Self::SourceFetch(_) => "source.fetch",
            Self::SourceScan(_) => "source.scan",
            Self::GroupFollow(_) => "group.follow",
            Self::StorageSweep(_) => "storage.sweep",
            Self::OutboxSweep(_) => "outbox.sweep",
        }
    }

    /// Whether jobs of a kind are the service's own upkeep, which people see only when it fails or when they ask for it.
    pub fn is_upkeep(kind: &str) -> bool {
        matches!(kind, "storage.sweep" | "outbox.sweep")
    }

    pub fn class(&self) -> Class {
        match self {
            Self::ImageProcess(_) => Class::Cpu,
            Self::SourceFetch(_)
            | Self::SourceScan(_)
            | Self::GroupFollow(_)
            | Self::StorageSweep(_)
            | Self::OutboxSweep(_) => Class::Io,
        }
    }

    pub fn default_queue(&self) -> &'static str {
        match self {
            Self::ImageProcess(_) => "cpu_intensive",
            Self::SourceFetch(_) | Self::SourceScan(_) | Self::GroupFollow(_) => "io_intensive",
            Self::StorageSweep(_) | Self::OutboxSweep(_) => "scheduled",
        }
    }

    /// The picture that it is about, if it is about one.
    pub fn picture(&self) -> Option<&ImageProcess> {
        match self {
            Self::ImageProcess(picture) => Some(picture),
            Self::SourceFetch(fetch) => Some(&fetch.picture),
            Self::SourceScan(_) | Self::GroupFollow(_) | Self::StorageSweep(_) | Self::OutboxSweep(_) => None,
        }
    }

    pub fn picture_mut(&mut self) -> Option<&mut ImageProcess> {
        match self {
            Self::ImageProcess(picture) => Some(picture),
            Self::SourceFetch(fetch) => Some(&mut fetch.picture),
            Self::SourceScan(_) | Self::GroupFollow(_) | Self::StorageSweep(_) | Self::OutboxSweep(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_keeps_the_request_that_it_comes_from() {
        let payload = Payload::OutboxSweep(OutboxSweep { age: Duration::from_secs(3) });
        let (sent, alone) = (payload.to_bytes(Some("r-1")), payload.to_bytes(None));
        assert_eq!((request_id(&sent).as_deref(), request_id(&alone)), (Some("r-1"), None));
        for bytes in [&sent, &alone] {
            assert_eq!(Payload::from_bytes(bytes).unwrap(), payload);
            assert_eq!(serde_json::from_slice::<Payload>(bytes).unwrap(), payload, "for versions without checksums");
        }
        assert_eq!(seal::unseal(&alone).unwrap(), serde_json::to_vec(&payload).unwrap());
        assert_eq!(request_id(b"no JSON"), None);
    }

    #[test]
    fn damaged_payload_is_told_from_one_of_another_version() {
        let read = |text: &str| Payload::from_bytes(text.as_bytes());
        assert!(matches!(read(r#"{"kind":"video.process"}"#), Err(Unread::Unknown(_))));
        for text in ["", "no JSON", r#"{"kind":"outbox.sweep","age":{"secs":3,"#] {
            assert!(matches!(read(text), Err(Unread::Damaged(_))), "{text}");
        }
        let whole = Payload::OutboxSweep(OutboxSweep { age: Duration::from_secs(3) }).to_bytes(None);
        let text = String::from_utf8(whole.to_vec()).unwrap();
        let changed = text.replacen("\"secs\":3", "\"secs\":7", 1);
        assert_ne!(changed, text);
        assert!(matches!(read(&changed), Err(Unread::Damaged(_))), "{changed}");
    }
}
