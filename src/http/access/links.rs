//! Links that open one file, or the archive of one group, for some time and without a key: for a browser's `<img>`,
//! where API keys are configured.
//!
//! The path and the expiry are signed with HMAC-SHA-256 and a secret that all services on one store share. A link stays
//! the same for a 24th of its lifetime, so that caches recognise it. The signed path is the service's own: a link is
//! valid under every prefix of a proxy.

use std::time::Duration;

use axum::http::{StatusCode, Uri};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::http::access::Access;
use crate::http::base::Base;
use crate::http::operation::in_query;
use crate::http::problem::Problem;

/// How many times a link is renewed in one lifetime.
const STEPS: u64 = 24;

/// The secret and the lifetime of links.
#[derive(Clone)]
pub struct Links {
    keyed: Hmac<Sha256>,
    lifetime: Duration,
}

/// Writes the links of one answer.
pub(in crate::http) struct Signer<'a> {
    links: Option<&'a Links>,
    now: Timestamp,
    base: Base,
}

impl Links {
    pub fn new(secret: &[u8], lifetime: Duration) -> Self {
        let keyed = Hmac::new_from_slice(secret).expect("HMAC takes keys of any length");
        Self { keyed, lifetime }
    }

    /// Without keys everybody who can ask may see everything, so links are not signed.
    pub(in crate::http) fn signer(&self, access: &Access) -> Signer<'_> {
        Signer { links: access.wants_keys().then_some(self), now: Timestamp::now(), base: Base::current() }
    }

    /// Whether a link lets the request in; `None` if the request has no link, or is for something that links do not
    /// open.
    pub(in crate::http) fn admits(&self, uri: &Uri) -> Option<Result<(), Problem>> {
        let query = uri.query().unwrap_or_default();
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let (expires, signature) = (value("expires")?, value("signature")?);
        opens(uri.path()).then(|| self.check(uri.path(), expires, signature, Timestamp::now()))
    }

    fn check(&self, path: &str, expires: &str, signature: &str, now: Timestamp) -> Result<(), Problem> {
        let forbidden = |code, detail: &str| Err(Problem::new(StatusCode::FORBIDDEN, code, detail));
        let signed = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        // Compares in constant time.
        if self.mac(path, expires).verify_slice(&signed).is_err() {
            return forbidden("link-invalid", "The link is not one of ours, or was changed: ask for the status again.");
        }
        match expires.parse() {
            Ok(expires) if now.as_second() < expires => Ok(()),
            _ => forbidden("link-expired", "The link has expired: ask for the status again, it has a fresh one."),
        }
    }

    fn signed(&self, path: &str, now: Timestamp) -> String {
        let expires = self.expires(now).to_string();
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.mac(path, &expires).finalize().into_bytes());
        format!("{path}?expires={expires}&signature={signature}")
    }

    /// The end of a step of the clock that is at least one lifetime from now.
    fn expires(&self, now: Timestamp) -> u64 {
        let lifetime = self.lifetime.as_secs();
        let step = (lifetime / STEPS).max(1);
        let now = u64::try_from(now.as_second()).unwrap_or(0);
        ((now + lifetime) / step + 1) * step
    }

    fn mac(&self, path: &str, expires: &str) -> Hmac<Sha256> {
        // No path has a line feed.
        self.keyed.clone().chain_update(path).chain_update("\n").chain_update(expires)
    }
}

impl Signer<'_> {
    /// Signs nothing.
    pub(in crate::http) fn none() -> Self {
        Self { links: None, now: Timestamp::UNIX_EPOCH, base: Base::current() }
    }

    /// One of the service's own paths as the client has to ask for it.
    pub(in crate::http) fn link(&self, own: String) -> String {
        let link = match self.links {
            Some(links) => links.signed(&own, self.now),
            None => own,
        };
        if self.base.as_str().is_empty() { link } else { self.base.path(&link) }
    }
}

/// The OpenAPI parameters that a signed link has.
pub(in crate::http) fn parameters() -> [Value; 2] {
    let about = "Of a signed link, as the status has it where API keys are configured.";
    ["expires", "signature"].map(|name| in_query(name, about, json!({"type": "string"})))
}

/// Whether links open this path. They open nothing that changes anything.
fn opens(path: &str) -> bool {
    let archive = |rest: &str| rest.ends_with("/archive");
    path.starts_with("/files/") || path.strip_prefix("/api/groups/").is_some_and(archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    fn links() -> Links {
        Links::new(&[7; 32], Duration::from_secs(DAY))
    }

    fn at(second: u64) -> Timestamp {
        Timestamp::from_second(second as i64).unwrap()
    }

    fn check(link: &str, now: Timestamp) -> Result<(), String> {
        let (path, query) = link.split_once('?').unwrap();
        let (expires, signature) = query.split_once('&').unwrap();
        let (expires, signature) = (expires.strip_prefix("expires="), signature.strip_prefix("signature="));
        links().check(path, expires.unwrap(), signature.unwrap(), now).map_err(|problem| problem.code().to_owned())
    }

    #[test]
    fn link_holds_for_its_lifetime_and_stays_the_same_for_an_hour() {
        let begin = 1_000 * DAY;
        let link = links().signed("/files/a", at(begin));
        assert_eq!(links().signed("/files/a", at(begin + 3_599)), link);
        assert_ne!(links().signed("/files/a", at(begin + 3_600)), link);
        for (second, held) in [(0, true), (DAY + 3_599, true), (DAY + 3_600, false)] {
            assert_eq!(check(&link, at(begin + second)).is_ok(), held, "{second}");
        }
        assert_eq!(check(&link, at(begin + 2 * DAY)), Err("link-expired".into()));
    }

    #[test]
    fn changed_link_is_not_ours() {
        let now = at(1_000 * DAY);
        let link = links().signed("/files/a", now);
        let later = format!("expires={}", links().expires(now) + 1);
        let own = format!("expires={}", links().expires(now));
        for changed in [
            link.replace("/files/a", "/files/b"),
            link.replace(&own, &later),
            link.replace(&own, "expires="),
            link[..link.len() - 1].to_owned(),
            format!("{link}A"),
            format!("{}!", &link[..link.len() - 1]),
            Links::new(&[8; 32], Duration::from_secs(DAY)).signed("/files/a", now),
        ] {
            assert_eq!(check(&changed, now), Err("link-invalid".into()), "{changed}");
        }
    }

    #[test]
    fn links_open_files_and_archives_only() {
        let uri = |path: &str| format!("{path}?expires=1&signature=x").parse::<Uri>().unwrap();
        for path in ["/files/a/b/1/c.png", "/api/groups/a/archive"] {
            assert!(links().admits(&uri(path)).is_some(), "{path}");
        }
        for path in ["/api/groups/a", "/api/upload", "/metrics", "/api/jobs/x/archive"] {
            assert!(links().admits(&uri(path)).is_none(), "{path}");
        }
        assert!(links().admits(&"/files/a?expires=1".parse().unwrap()).is_none());
    }
}
