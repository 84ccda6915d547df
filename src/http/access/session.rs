//! Sessions: a signed cookie that names a key and a time, so that the service stores nothing.
//!
//! A session ends at its time, or earlier when its key ends. All sessions end when `secrets/sessions` is removed from
//! the store and the services restart. The signature is HMAC-SHA256 (RFC 2104).

use std::borrow::Cow;
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;
use tokio::sync::OnceCell;

use super::{Problem, local};
use crate::auth::keys::Key;
use crate::config;
use crate::http::base::Base;
use crate::storage::{self, Storage};

/// The cookie's name. Over https it has the prefix that makes browsers ensure that this host has set it.
const COOKIE: &str = "pixmill_session";
const SECURE_COOKIE: &str = "__Host-pixmill_session";

pub(super) struct Sessions {
    storage: Storage,
    lifetime: Duration,
    secret: OnceCell<[u8; 32]>,
}

impl Sessions {
    pub(super) fn new(storage: Storage, lifetime: Duration) -> Self {
        Self { storage, lifetime, secret: OnceCell::new() }
    }

    /// A new session of this key, and when it ends.
    pub(super) async fn begin(&self, key: &Key, now: Timestamp) -> storage::Result<(String, Timestamp)> {
        let end = now.checked_add(self.lifetime).unwrap_or(Timestamp::MAX);
        let end = key.expires_at.map_or(end, |expiry| expiry.min(end));
        let said = format!("{}.{}", key.id, end.as_second());
        let signature = URL_SAFE_NO_PAD.encode(self.mac(&said).await?.finalize().into_bytes());
        Ok((format!("{said}.{signature}"), end))
    }

    /// The key's id and the end of a session that this service began and that has not ended.
    pub(super) async fn open(&self, session: &str, now: Timestamp) -> storage::Result<Option<(String, Timestamp)>> {
        let Some((said, signature)) = session.rsplit_once('.') else { return Ok(None) };
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return Ok(None) };
        // Compares in constant time.
        if self.mac(said).await?.verify_slice(&signature).is_err() {
            return Ok(None);
        }
        let parts = said.split_once('.').and_then(|(id, end)| {
            let end = Timestamp::from_second(end.parse().ok()?).ok()?;
            Some((id.to_owned(), end))
        });
        Ok(parts.filter(|(_, end)| *end > now))
    }

    async fn mac(&self, said: &str) -> storage::Result<Hmac<Sha256>> {
        let secret = self.secret.get_or_try_init(async || {
            let storage = self.storage.clone();
            let secret = tokio::task::spawn_blocking(move || storage.secret("sessions"));
            secret.await.expect("reading a file does not panic")
        });
        let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.await?).expect("any length will do");
        Ok(mac.chain_update(said))
    }
}

/// The session that a request has. Over https only the name with the prefix counts: a cookie with the other name may
/// come from another host of the same domain, or from somebody who changes requests over http.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, https: bool, base: &Base) -> Option<&'a str> {
    let wanted = name_of(https, base);
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = pairs.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
}

/// Over https the cookie is for all paths, as its prefix demands. So the name has the path of the service: two services
/// on one host do not overwrite each other's logins.
fn name_of(https: bool, base: &Base) -> Cow<'static, str> {
    match (https, base.as_str()) {
        (false, _) => COOKIE.into(),
        (true, "") => SECURE_COOKIE.into(),
        (true, base) => [SECURE_COOKIE, &base.replace('/', ".")].concat().into(),
    }
}

/// The value of `Set-Cookie` that keeps a session in a browser for this many seconds; 0 removes it.
pub(super) fn set_cookie(session: &str, seconds: i64, https: bool, base: &Base) -> String {
    let (name, secure) = (name_of(https, base), if https { "; Secure" } else { "" });
    let path = if https || base.as_str().is_empty() { "/" } else { base.as_str() };
    format!("{name}={session}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// Refuses a request that a page of another site made a browser send.
///
/// Browsers that know `Sec-Fetch-Site` report it. Other browsers, and all of them over http, send the page's Origin.
pub(super) fn same_origin(request: &Parts, server: &config::Server) -> Result<(), Problem> {
    let text = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let holds = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            origin == server.public_url.trim_end_matches('/')
                || (host.is_some() && host == local::host(&request.headers, &request.uri))
        }
        (None, None) => true,
    };
    if holds {
        return Ok(());
    }
    let detail = format!(
        "A page of `{}` made the browser ask: with a login, only this server's own pages may change things. Other \
         pages send an API key (server.cors_origins).",
        text("origin").unwrap_or("another site")
    );
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden-origin", detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ApiKey, Config};

    fn key() -> Key {
        Key::configured(&ApiKey {
            name: "shop".into(),
            sha256: crate::auth::keys::digest("sesame"),
            scopes: Vec::new(),
            requests_per_minute: None,
            uploads_per_minute: None,
        })
    }

    #[tokio::test]
    async fn session_holds_until_its_end_and_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = || Sessions::new(Storage::local(folder.path()).unwrap(), Duration::from_hours(1));
        let (ours, now): (_, Timestamp) = (sessions(), "2026-01-02T03:04:05Z".parse().unwrap());
        let (session, end) = ours.begin(&key(), now).await.unwrap();
        assert_eq!(end, now + Duration::from_hours(1));
        let opened = ours.open(&session, now).await.unwrap();
        assert_eq!(opened, Some((key().id, end)));
        assert_eq!(sessions().open(&session, now).await.unwrap(), opened, "another process");
        assert_eq!(ours.open(&session, end).await.unwrap(), None);
        let later = session.replace(&end.as_second().to_string(), &(end.as_second() + 1).to_string());
        assert_ne!(later, session);
        for forged in [&later, "", "..", &session[..session.len() - 1], &format!("{session}A"), "a.1.AAAA"] {
            assert_eq!(ours.open(forged, now).await.unwrap(), None, "{forged}");
        }
    }

    #[tokio::test]
    async fn session_outlives_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(Storage::local(folder.path()).unwrap(), Duration::from_hours(1));
        let now = Timestamp::UNIX_EPOCH;
        let expiry = now + Duration::from_mins(1);
        let key = Key { expires_at: Some(expiry), ..key() };
        assert_eq!(sessions.begin(&key, now).await.unwrap().1, expiry);
    }

    #[test]
    fn only_pages_of_this_server_are_its_own() {
        let mut server = Config::load(None, vec![]).unwrap().server;
        server.public_url = "https://pictures.example/".into();
        let own = |fields: &[(&'static str, &str)]| {
            let begun = axum::http::Request::builder();
            let request = fields.iter().fold(begun, |request, (name, value)| request.header(*name, *value));
            same_origin(&request.body(()).unwrap().into_parts().0, &server).is_ok()
        };
        let host = ("host", "127.0.0.1:8080");
        assert!(own(&[host]));
        assert!(own(&[host, ("sec-fetch-site", "same-origin"), ("origin", "https://elsewhere.example")]));
        assert!(own(&[host, ("sec-fetch-site", "none")]));
        assert!(own(&[host, ("origin", "http://127.0.0.1:8080")]));
        assert!(own(&[host, ("origin", "https://pictures.example")]));
        assert!(!own(&[host, ("sec-fetch-site", "same-site"), ("origin", "https://pictures.example")]));
        assert!(!own(&[host, ("sec-fetch-site", "cross-site")]));
        assert!(!own(&[host, ("origin", "http://127.0.0.1:9090")]));
        assert!(!own(&[host, ("origin", "null")]));
        assert!(!own(&[("origin", "null")]));
    }

    #[test]
    fn cookie_is_found_among_others() {
        let none = Base::default();
        let headers = |line: &str| HeaderMap::from_iter([(header::COOKIE, line.parse().unwrap())]);
        assert_eq!(cookie(&headers("a=b; pixmill_session=x.1.y; c=d"), false, &none), Some("x.1.y"));
        assert_eq!(cookie(&headers("__Host-pixmill_session=z"), true, &none), Some("z"));
        for https in [false, true] {
            assert_eq!(cookie(&headers("pixmill=1; xpixmill_session=2"), https, &none), None);
        }
    }

    #[test]
    fn over_https_only_the_cookie_of_this_very_host_is_taken() {
        let none = Base::default();
        let both = HeaderMap::from_iter([(
            header::COOKIE,
            "pixmill_session=planted; __Host-pixmill_session=own".parse().unwrap(),
        )]);
        assert_eq!((cookie(&both, true, &none), cookie(&both, false, &none)), (Some("own"), Some("planted")));
        let planted = HeaderMap::from_iter([(header::COOKIE, "pixmill_session=planted".parse().unwrap())]);
        assert_eq!(cookie(&planted, true, &none), None);
    }

    #[test]
    fn cookie_is_for_the_path_under_which_the_service_is() {
        let mill = Base::configured("/tools/mill");
        assert!(set_cookie("x", 9, false, &mill).starts_with("pixmill_session=x; Path=/tools/mill; Max-Age=9;"));
        // Browsers take `__Host-` with the path `/` only.
        let secure = set_cookie("x", 9, true, &mill);
        assert!(secure.starts_with("__Host-pixmill_session.tools.mill=x; Path=/; Max-Age=9;"), "{secure}");
        let headers = HeaderMap::from_iter([(header::COOKIE, secure.split(';').next().unwrap().parse().unwrap())]);
        assert_eq!((cookie(&headers, true, &mill), cookie(&headers, true, &Base::default())), (Some("x"), None));
    }
}
