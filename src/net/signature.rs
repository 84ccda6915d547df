//! The signature of Standard Webhooks: HMAC-SHA-256 over id, time and body, by a secret that sender and receiver share.

use std::fmt;
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Before a secret, as Standard Webhooks writes it.
const PREFIX: &str = "whsec_";
/// Bytes that a secret may have.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Signs with one secret.
#[derive(Clone)]
pub struct Signer {
    keyed: Hmac<Sha256>,
}

impl Signer {
    /// Reads a secret in base64, with or without `whsec_` before it.
    ///
    /// # Errors
    /// A sentence without the secret.
    pub fn parse(secret: &str) -> Result<Self, String> {
        let text = secret.strip_prefix(PREFIX).unwrap_or(secret);
        let bytes = BASE64_STANDARD.decode(text).or_else(|_| BASE64_STANDARD_NO_PAD.decode(text));
        match bytes {
            Ok(bytes) if BYTES.contains(&bytes.len()) => {
                Ok(Self { keyed: Hmac::new_from_slice(&bytes).expect("HMAC takes keys of any length") })
            }
            Ok(bytes) => Err(format!(
                "the secret has {} bytes; Standard Webhooks wants {} to {}",
                bytes.len(),
                BYTES.start(),
                BYTES.end()
            )),
            Err(_) => Err(format!("the secret is not base64, with or without `{PREFIX}` before it")),
        }
    }

    /// The three headers of a message with this id, sent at this time.
    pub fn headers(&self, id: &str, at: SystemTime, body: &[u8]) -> [(&'static str, String); 3] {
        let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut keyed = self.keyed.clone();
        keyed.update(format!("{id}.{seconds}.").as_bytes());
        keyed.update(body);
        let signature = BASE64_STANDARD.encode(keyed.finalize().into_bytes());
        [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", format!("v1,{signature}")),
        ]
    }
}

/// Without the secret.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The example of the Standard Webhooks libraries.
    #[test]
    fn signature_is_that_of_the_standards_example() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_614_265_330);
        for secret in ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            let signer = Signer::parse(secret).unwrap();
            let headers = signer.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", at, br#"{"test": 2432232314}"#);
            assert_eq!(
                headers,
                [
                    ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned()),
                    ("webhook-timestamp", "1614265330".to_owned()),
                    ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".to_owned()),
                ]
            );
        }
    }

    #[test]
    fn secrets_that_are_none_are_refused_without_being_shown() {
        for (secret, said) in [
            ("whsec_", "has 0 bytes"),
            ("c2hvcnQ", "has 5 bytes"),
            ("whsec_not base64!", "not base64"),
            ("", "0 bytes"),
        ] {
            let fault = Signer::parse(secret).unwrap_err();
            assert!(fault.contains(said), "{fault}");
        }
        let fault = Signer::parse("whsec_sesame-opens").unwrap_err();
        assert!(!fault.contains("sesame"), "{fault}");
        let signer = Signer::parse("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(format!("{signer:?}"), "Signer");
    }
}
