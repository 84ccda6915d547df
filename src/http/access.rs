//! Who may call: with API keys, whoever bears one; without, only this machine's own programs.
//!
//! Without keys the server listens on loopback, where any web page in a browser could still post to
//! it. So the Host must be a name of this machine (against DNS rebinding), and an Origin, if there
//! is one, too.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Problem, Services};
use crate::config::ApiKey;
use crate::submission::Meta;

/// The keys' SHA-256 digests as hexadecimal text; none opens the server to this machine only.
#[derive(Debug, Clone)]
pub struct Access {
    digests: Vec<String>,
}

/// Whose request it is: a word that stays the same for one API key and tells nothing of it.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) String);

impl Caller {
    /// Whether it may know of a group.
    #[allow(clippy::unused_self, reason = "all callers may know of all groups so far")]
    pub(super) fn sees(&self, _meta: &Meta) -> bool {
        true
    }
}

impl Access {
    pub fn new(keys: &[ApiKey]) -> Self {
        Self { digests: keys.iter().map(|key| key.sha256.to_ascii_lowercase()).collect() }
    }

    /// Whether an API key is needed, or a link that stands for one.
    pub(super) fn wants_keys(&self) -> bool {
        !self.digests.is_empty()
    }

    fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<Caller, Problem> {
        if self.digests.is_empty() {
            local(headers, uri).map(|()| Caller("local".into()))
        } else {
            self.bearer(headers)
        }
    }

    fn bearer(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
            let (scheme, key) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
        });
        let Some(key) = bearer else {
            return Err(unauthorized("An API key is needed: `Authorization: Bearer <key>`."));
        };
        let digest = hex(&Sha256::digest(key.as_bytes()));
        // Every digest is compared, in constant time, so that the time taken tells nothing.
        let known =
            self.digests.iter().fold(0, |known, other| known | digest.as_bytes().ct_eq(other.as_bytes()).unwrap_u8());
        if known == 1 { Ok(Caller(digest[..16].into())) } else { Err(unauthorized("This API key is not known.")) }
    }
}

pub(super) async fn guard(
    State(services): State<Arc<Services>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    match services.access.check(request.headers(), request.uri()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
        }
        Err(refused) if services.access.wants_keys() => {
            // Whoever has a link needs no name.
            services.links.admits(request.uri()).ok_or(refused)??;
        }
        Err(refused) => return Err(refused),
    }
    Ok(next.run(request).await)
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
}

fn local(headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
    let forbidden = |code: &str, what: &str| {
        let detail = format!("{what} is not this machine, and no API keys are configured (auth.keys).");
        Err(Problem::new(StatusCode::FORBIDDEN, code, detail))
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| uri.authority().map(Authority::as_str));
    match host {
        Some(host) if is_local(host) => {}
        host => return forbidden("forbidden-host", &format!("The host `{}`", host.unwrap_or_default())),
    }
    match headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default()) {
        None => Ok(()),
        Some(origin) if origin.split_once("://").is_some_and(|(_, host)| is_local(host)) => Ok(()),
        Some(origin) => forbidden("forbidden-origin", &format!("The origin `{origin}`")),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether `host[:port]` names this machine.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.8.8.8:1", "[::1]:8080", "[::1]"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["", "localhost.evil.example", "example.com:80", "10.0.0.1", "[::2]:80", "localhost:80:80", "null"]
        {
            assert!(!is_local(host), "{host}");
        }
    }
}
