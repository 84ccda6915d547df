//! Logins: a key is exchanged for a cookie.

use std::sync::Arc;

use axum::http::request::Parts;
use jiff::Timestamp;
use tracing::info;

use super::{Access, session};
use crate::auth::keys::Key;
use crate::http::base::Base;
use crate::http::problem::Problem;

pub(in crate::http) struct Login {
    pub(in crate::http) key: Arc<Key>,
    pub(in crate::http) end: Timestamp,
    /// The value of `Set-Cookie`.
    pub(in crate::http) cookie: String,
}

impl Access {
    /// Begins a login with this key.
    pub(in crate::http) async fn log_in(&self, shown: &str, request: &Parts) -> Result<Login, Problem> {
        let (listing, peer) = (self.created.listing().await, self.peer(request));
        let key = self.verify(shown, &peer, &listing)?;
        let (session, end) = self.sessions.begin(&key, Timestamp::now()).await?;
        info!(key = key.name, "`{}` has logged in from {}", key.name, peer.address);
        let seconds = end.duration_since(Timestamp::now()).as_secs();
        let cookie = session::set_cookie(&session, seconds, peer.https, &Base::current());
        Ok(Login { key, end, cookie })
    }

    /// The key of the request's login, and when the login ends; `None` without a valid login.
    pub(in crate::http) async fn login(&self, request: &Parts) -> Option<(Arc<Key>, Timestamp)> {
        let cookie = session::cookie(&request.headers, self.peer(request).https, &Base::current())?;
        let listing = self.created.listing().await;
        self.of_session(cookie, &listing).await.unwrap_or_default()
    }

    /// Whether a person needs a login.
    pub(in crate::http) async fn needs_login(&self) -> bool {
        let listing = self.created.listing().await;
        !self.is_open(&listing)
    }

    /// Refuses a request that a page of another site made a browser send.
    pub(in crate::http) fn same_origin(&self, request: &Parts) -> Result<(), Problem> {
        session::same_origin(request, &self.server)
    }
}

/// Values of `Set-Cookie` that end a login. There is one for each name, because the browser may have logged in over http, too.
pub(in crate::http) fn removed_cookies() -> [String; 2] {
    let base = Base::current();
    [false, true].map(|https| session::set_cookie("", 0, https, &base))
}
