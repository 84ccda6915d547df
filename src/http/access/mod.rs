//! Who may call, what, and how often. With API keys: clients that send a key or have logged in with one. Without: only
//! programs of this machine.
//!
//! [`guard`] runs before every route that needs a key. It checks in this order: who calls (401), whether a page of
//! another site made the browser call (403), whether the key calls too often (429), whether the key has the route's
//! scope (403). Handlers ask [`Caller::sees`] whether a group is the caller's, and [`Caller::owns`] before they change
//! it; a group of somebody else is answered as if it did not exist. Once there have been keys, the service stays closed
//! without them. A signed link ([`Links`]) replaces a key.

mod caller;
mod cors;
mod failures;
pub(super) mod links;
mod local;
mod login;
mod peer;
mod rates;
mod session;

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;
use jiff::Timestamp;
use subtle::ConstantTimeEq;
use tracing::Span;

use crate::auth::keys::{self, Key, Keyring, Listing};
use crate::config::{self, Scope};
use crate::http::Services;
use crate::http::base::{Base, path};
use crate::http::problem::Problem;
use crate::metrics::RefusalLabels;
use crate::storage::{self, Storage};

pub(super) use caller::Caller;
pub(super) use cors::cors;
use failures::Failures;
pub use links::Links;
pub(super) use login::{Login, removed_cookies};
use peer::Peer;
use rates::Rates;
use session::Sessions;

/// Decides whether a request is let in.
pub struct Access {
    configured: Vec<Arc<Key>>,
    created: Arc<Keyring>,
    /// Machines other than this one can connect.
    exposed: bool,
    server: config::Server,
    base: Base,
    proxies: Vec<IpNet>,
    sessions: Sessions,
    rates: Rates,
    failures: Failures,
}

impl Access {
    /// Reads the keys. Blocks on the disk.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(
        server: &config::Server,
        auth: &config::Auth,
        limits: &config::Limits,
        storage: &Storage,
    ) -> storage::Result<Self> {
        Ok(Self {
            configured: auth.keys.iter().map(|key| Arc::new(Key::configured(key))).collect(),
            created: Arc::new(Keyring::open(storage)?),
            exposed: !server.listen.ip().is_loopback(),
            server: server.clone(),
            base: Base::configured(&server.base_path),
            proxies: server.proxies().unwrap_or_default(),
            sessions: Sessions::new(storage.clone(), auth.session),
            rates: Rates::new(limits),
            failures: Failures::default(),
        })
    }

    /// The sender of a request.
    async fn identify(&self, request: &Parts) -> Result<Caller, Problem> {
        let (headers, listing) = (&request.headers, self.created.listing().await);
        if self.is_open(&listing) {
            return local::check(headers, &request.uri).map(|()| Caller::local());
        }
        let peer = self.peer(request);
        if let Some(bearer) = bearer(headers) {
            return self.verify(bearer, &peer, &listing).map(Caller::with);
        }
        let Some(cookie) = session::cookie(headers, peer.https, &Base::current()) else {
            let detail =
                format!("An API key is needed: `Authorization: Bearer <key>`, or a login at {}.", path("/login"));
            return Err(unauthorized(&detail));
        };
        let Some((key, end)) = self.of_session(cookie, &listing).await? else {
            return Err(unauthorized(&format!("The login has ended; log in again at {}.", path("/login"))));
        };
        // Browsers send a cookie whichever page made them ask.
        if !request.method.is_safe() {
            session::same_origin(request, &self.server)?;
        }
        Ok(Caller::logged_in(key, end))
    }

    /// The caller of a page that is open to everybody and shows more to callers with access. The request counts against
    /// the caller's limit.
    pub(super) async fn visitor(&self, request: &Parts) -> Result<Caller, Problem> {
        let caller = self.identify(request).await?;
        self.rates.take(&caller, false).exceeded.map_or(Ok(caller), Err)
    }

    /// The path under which the client reaches this service.
    pub(super) fn base(&self, request: &Request) -> Base {
        if self.proxies.is_empty() {
            return self.base.clone();
        }
        peer::prefix(request.extensions(), request.headers(), &self.proxies).unwrap_or_else(|| self.base.clone())
    }

    /// The address of this service for the client, such as `https://pictures.example/mill`; only the path if the
    /// request does not name its host.
    pub(super) fn address(&self, request: &Parts) -> String {
        let public = self.server.public_url.trim_end_matches('/');
        let origin = if public.is_empty() {
            let scheme = if self.peer(request).https { "https" } else { "http" };
            peer::host(request, &self.proxies).map_or_else(String::new, |host| format!("{scheme}://{host}"))
        } else {
            public.to_owned()
        };
        origin + Base::current().as_str()
    }

    /// Whether a caller would still be let in: its key may have been revoked, and its login may have ended.
    pub(super) async fn still_admits(&self, caller: &Caller) -> bool {
        let (listing, now) = (self.created.listing().await, Timestamp::now());
        match caller.key() {
            Some(known) => {
                !caller.is_logged_out(now) && self.keys(&listing).any(|key| key.id == known.id && !key.is_expired(now))
            }
            None => self.is_open(&listing),
        }
    }

    fn peer(&self, request: &Parts) -> Peer {
        Peer::of(request, &self.server, &self.proxies)
    }

    /// Whether requests need an API key, or a login or a link in its place.
    pub(super) fn wants_keys(&self) -> bool {
        !self.is_open(&self.created.latest())
    }

    /// Whether anybody can be let in: with a key, or as a program of this machine.
    pub fn lets_anybody_in(&self) -> bool {
        let listing = self.created.latest();
        !self.configured.is_empty() || listing.keys().next().is_some() || self.is_open(&listing)
    }

    /// Whether there are no keys, have never been keys, and only this machine can connect.
    fn is_open(&self, listing: &Listing) -> bool {
        self.configured.is_empty() && !listing.any() && !self.exposed
    }

    fn keys<'a>(&'a self, listing: &'a Listing) -> impl Iterator<Item = &'a Arc<Key>> {
        self.configured.iter().chain(listing.keys())
    }

    /// The key with this secret. Wrong keys are counted against the client's address.
    fn verify(&self, shown: &str, peer: &Peer, listing: &Listing) -> Result<Arc<Key>, Problem> {
        let digest = keys::digest(shown);
        let mut found = None;
        // Every digest is compared, in constant time, so that the time reveals nothing.
        for key in self.keys(listing) {
            if bool::from(digest.as_bytes().ct_eq(key.sha256.as_bytes())) {
                found = Some(key);
            }
        }
        if found.is_none() && listing.is_lost() && shown.starts_with(keys::PREFIX) {
            // It may be a right key, so it does not count as a wrong one.
            return Err(keys_unavailable());
        }
        if !found.is_some_and(|key| key.is_created()) {
            let id = found.map(|key| key.id.as_str());
            self.failures.admit(peer.address, id, Instant::now()).map_err(|wait_s| {
                let detail = format!("Too many wrong API keys from {}; try again in {wait_s} s.", peer.address);
                Problem::too_many("too-many-wrong-keys", detail, wait_s)
            })?;
        }
        match found {
            Some(key) if key.is_expired(Timestamp::now()) => Err(unauthorized("This API key has expired.")),
            Some(key) => Ok(key.clone()),
            None => Err(unauthorized("This API key is not known.")),
        }
    }

    /// The key of a login and the end of the login; `None` if either is no longer valid.
    async fn of_session(&self, cookie: &str, listing: &Listing) -> Result<Option<(Arc<Key>, Timestamp)>, Problem> {
        let now = Timestamp::now();
        let Some((id, end)) = self.sessions.open(cookie, now).await? else { return Ok(None) };
        let key = self.keys(listing).find(|key| key.id == id && !key.is_expired(now));
        if key.is_none() && listing.is_lost() {
            return Err(keys_unavailable());
        }
        Ok(key.map(|key| (key.clone(), end)))
    }
}

/// The answer to a request that is not let in.
pub(super) type Refusal = fn(Problem, &Uri, &HeaderMap) -> Response;

/// What [`guard`] knows of the route that it guards.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) services: Arc<Services>,
    /// The scope that a caller's key needs.
    pub(super) scope: Scope,
    pub(super) refusal: Refusal,
}

/// Lets in requests that may be sent. The handler finds the [`Caller`] in the request's extensions, unless the request was
/// let in by a signed link.
pub(super) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let services = &guard.services;
    let (mut request, body) = request.into_parts();
    let link = if services.access.wants_keys() { services.links.admits(&request.uri) } else { None };
    if let Some(Ok(())) = link {
        return next.run(Request::from_parts(request, body)).await;
    }
    let caller = match (services.access.identify(&request).await, link) {
        (Ok(caller), _) => caller,
        (Err(_), Some(Err(problem))) | (Err(problem), _) => return guard.refuse(problem, &request),
    };
    if let Some(name) = caller.owner() {
        Span::current().record("key", name);
    }
    let quota = services.access.rates.take(&caller, guard.is_upload(&request.method));
    let stopped = quota.exceeded.or_else(|| out_of_scope(&caller, guard.scope));
    let mut response = if let Some(problem) = stopped {
        guard.refuse(problem, &request)
    } else {
        request.extensions.insert(caller);
        next.run(Request::from_parts(request, body)).await
    };
    response.headers_mut().extend(quota.headers);
    response
}

impl Guard {
    /// Whether a request makes jobs: uploads, groups by reference, retries.
    fn is_upload(&self, method: &Method) -> bool {
        *method == Method::POST && self.scope == Scope::Submit
    }

    fn refuse(&self, problem: Problem, request: &Parts) -> Response {
        count(&self.services, &problem);
        (self.refusal)(problem, &request.uri, &request.headers)
    }
}

fn out_of_scope(caller: &Caller, needed: Scope) -> Option<Problem> {
    if caller.allows(needed) {
        return None;
    }
    let (name, needed) = (caller.owner().unwrap_or_default(), needed.as_str());
    let detail = format!("This needs a key with the scope `{needed}`; `{name}` has {}.", caller.scopes());
    Some(Problem::new(StatusCode::FORBIDDEN, "forbidden-scope", detail))
}

fn count(services: &Services, problem: &Problem) {
    services.metrics.refusals.get_or_create(&RefusalLabels { code: problem.code().into() }).inc();
}

/// The answer to a request that is not let in. It is counted.
pub(super) fn refused(services: &Services, problem: Problem) -> Response {
    count(services, &problem);
    problem.into_response()
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
}

fn keys_unavailable() -> Problem {
    Problem::unavailable("keys-unavailable", "The API keys cannot be read at present.", 5)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    Some(key.trim()).filter(|key| scheme.eq_ignore_ascii_case("bearer") && !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ApiKey, Config};

    #[tokio::test]
    async fn created_keys_are_refused_while_nobody_knows_which_are_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let (storage, config) = (Storage::local(folder.path()).unwrap(), Config::load(None, vec![]).unwrap());
        let configured = ApiKey {
            name: "shop".into(),
            sha256: keys::digest("sesame"),
            scopes: Vec::new(),
            requests_per_minute: None,
            uploads_per_minute: None,
        };
        let auth = config::Auth { keys: vec![configured], ..config.auth };
        let access = Access::open(&config.server, &auth, &config.limits, &storage).unwrap();
        let peer = Peer { address: [192, 0, 2, 1].into(), https: false };
        let lost = Listing::lost(true);
        for _ in 0..100 {
            let problem = access.verify("pxm_created", &peer, &lost).unwrap_err();
            assert_eq!(problem.code(), "keys-unavailable");
        }
        assert_eq!(access.verify("sesame", &peer, &lost).unwrap().name, "shop", "it counted as no wrong key");
        assert_eq!(access.verify("open", &peer, &lost).unwrap_err().code(), "unauthorized");
        let gone = Key { id: "0123456789abcdef".into(), ..Key::configured(&auth.keys[0]) };
        let (session, _) = access.sessions.begin(&gone, Timestamp::now()).await.unwrap();
        assert_eq!(access.of_session(&session, &lost).await.unwrap_err().code(), "keys-unavailable");
        assert!(access.of_session(&session, &Listing::default()).await.unwrap().is_none());
    }
}
