//! The stored form of a payload: JSON with a checksum, together with the id of the request that enqueued it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Payload;
use crate::job::seal;

/// A payload and the id of its request.
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

/// The id of the request that enqueued the job, for log lines. Works for all kinds.
pub fn request_id(payload: &[u8]) -> Option<String> {
    serde_json::from_slice::<Sender>(payload).ok()?.request_id
}

/// The client's name for the job's picture; `None` if the job has no picture.
pub fn image_name(payload: &[u8]) -> Option<String> {
    let payload = Payload::from_bytes(payload).ok()?;
    payload.picture().map(|picture| picture.image.clone())
}

/// Why a payload cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// The bytes have changed since the job was enqueued.
    #[error("the job's payload is damaged: {0}")]
    Damaged(String),
    /// The JSON is from a version with other kinds or fields.
    #[error("{0}")]
    Unknown(serde_json::Error),
}

impl Payload {
    /// The stored form, with the id of the request and a checksum.
    pub fn to_bytes(&self, request_id: Option<&str>) -> Bytes {
        let json = serde_json::to_vec(&Sent { payload: self, request_id }).expect("a payload always serialises");
        seal::seal(json).into()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// `Damaged` if the bytes have changed; `Unknown` if this version does not know the kind or a field.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unread> {
        let json = seal::unseal(bytes).map_err(|damaged| Unread::Damaged(damaged.to_string()))?;
        serde_json::from_slice(&json).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => Unread::Unknown(error),
            _ => Unread::Damaged(error.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::kinds::OutboxSweep;

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
