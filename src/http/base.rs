//! The path under which clients reach this service behind a proxy: `server.base_path`, or the `X-Forwarded-Prefix` of a
//! trusted proxy.
//!
//! [`Under`] wraps the whole application. It removes the prefix from each request's path, so that routes, scopes and
//! signatures know only the service's own paths, and keeps it while the request is answered. Code that writes a path
//! into an answer asks [`Base::current`]. Work that goes on in another task is wrapped in [`Base::scope`].

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::Uri;
use axum::response::Response;
use tokio::task::futures::TaskLocalFuture;
use tower::Service;

use crate::config;
use crate::http::Services;

/// Longest prefix that is taken from a proxy, in bytes.
const LONGEST: usize = 256;

/// Empty, or a path such as `/pixmill`, without a slash at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Base(Option<Arc<str>>);

tokio::task_local! {
    static CURRENT: Base;
}

impl Base {
    /// A prefix of the settings, which have been validated.
    pub(super) fn configured(path: &str) -> Self {
        Self(Some(path).filter(|path| !path.is_empty()).map(Into::into))
    }

    /// The prefix that `X-Forwarded-Prefix` names. Each proxy on the way adds the part that it has removed, the
    /// outermost proxy first. `None` if the value is not a path.
    pub(super) fn forwarded(prefixes: &[&str]) -> Option<Self> {
        let mut path = String::new();
        for prefix in prefixes.iter().map(|prefix| prefix.trim_matches('/')).filter(|prefix| !prefix.is_empty()) {
            path.push('/');
            path.push_str(prefix);
        }
        (path.len() <= LONGEST && (path.is_empty() || config::is_path(&path))).then(|| Self::configured(&path))
    }

    /// The prefix of the request that is being answered.
    pub(super) fn current() -> Self {
        CURRENT.try_with(Self::clone).unwrap_or_default()
    }

    /// Runs `answer` as part of a request under this prefix.
    pub(super) fn scope<F: Future>(self, answer: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self, answer)
    }

    /// Empty, or a path that begins with a slash and does not end with one.
    pub(super) fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// One of the service's own paths as clients have to ask for it.
    pub(super) fn path(&self, own: &str) -> String {
        [self.as_str(), own].concat()
    }

    /// The request's address without the prefix; `None` if it does not begin with the prefix, because most proxies have
    /// removed it.
    fn stripped(&self, uri: &Uri) -> Option<Uri> {
        let prefix = self.0.as_deref()?;
        let rest = uri.path().strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
        if config::is_own_path(prefix) {
            // The proxy has removed a prefix such as `/api` already: `/api/upload` is the service's own path.
            return None;
        }
        let rest = if rest.is_empty() { "/" } else { rest };
        let path = uri.query().map_or_else(|| rest.to_owned(), |query| format!("{rest}?{query}"));
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(path.parse().ok()?);
        Uri::from_parts(parts).ok()
    }
}

/// One of the service's own paths as the client of the current request has to ask for it.
pub(super) fn path(own: &str) -> String {
    Base::current().path(own)
}

/// The application under a prefix, if there is one.
#[derive(Clone)]
pub(super) struct Under<S> {
    services: Arc<Services>,
    app: S,
}

impl<S> Under<S> {
    pub(super) fn new(services: Arc<Services>, app: S) -> Self {
        Self { services, app }
    }
}

impl<S> Service<Request> for Under<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = TaskLocalFuture<Base, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.app.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let base = self.services.access.base(&request);
        if let Some(own) = base.stripped(request.uri()) {
            *request.uri_mut() = own;
        }
        base.scope(self.app.call(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(base: &str, uri: &str) -> String {
        Base::configured(base).stripped(&uri.parse().unwrap()).map_or_else(|| "-".into(), |uri| uri.to_string())
    }

    #[test]
    fn prefix_is_taken_off_where_it_is() {
        for (base, uri, own) in [
            ("", "/docs", "-"),
            ("/mill", "/docs", "-"),
            ("/mill", "/mill/docs?x=1", "/docs?x=1"),
            ("/mill", "/mill", "/"),
            ("/mill", "/mill?x", "/?x"),
            ("/mill", "/mill/", "/"),
            ("/mill", "/mills/docs", "-"),
            ("/a/b", "/a/b/docs", "/docs"),
            ("/a/b", "/a/docs", "-"),
            ("/mill", "http://host:1/mill/docs", "http://host:1/docs"),
            ("/mill", "*", "-"),
            ("/api", "/api/upload", "-"),
        ] {
            assert_eq!(stripped(base, uri), own, "{base} {uri}");
        }
    }

    #[test]
    fn no_route_can_be_taken_for_a_prefix() {
        let settings = config::Config::default();
        let document = crate::http::openapi(&settings.limits, &settings.queue);
        let paths = document["paths"].as_object().unwrap();
        assert!(paths.len() > 30);
        for path in paths.keys().filter(|path| *path != "/") {
            assert!(config::is_own_path(path), "{path} is missing in OWN_PATHS");
        }
    }

    #[test]
    fn forwarded_prefixes_are_joined_and_must_be_paths() {
        let read = |prefixes: &[&str]| Base::forwarded(prefixes).map(|base| base.as_str().to_owned());
        for (prefixes, base) in [
            (&["/mill"][..], "/mill"),
            (&["mill/"], "/mill"),
            (&["/"], ""),
            (&["/outer", "/inner/"], "/outer/inner"),
            (&["/a-b/c_d.e~1"], "/a-b/c_d.e~1"),
        ] {
            assert_eq!(read(prefixes).as_deref(), Some(base), "{prefixes:?}");
        }
        let long = "x".repeat(LONGEST);
        for prefixes in
            [&["/a/../b"][..], &["/a//b"], &["/a\"b"], &["/a?b"], &["/a%2fb"], &["https://x.example"], &[long.as_str()]]
        {
            assert_eq!(read(prefixes), None, "{prefixes:?}");
        }
    }

    #[tokio::test]
    async fn paths_are_those_of_the_request_that_is_answered() {
        assert_eq!(path("/docs"), "/docs");
        let base = Base::configured("/mill");
        assert_eq!(base.clone().scope(async { path("/docs") }).await, "/mill/docs");
        let elsewhere = base.scope(async { tokio::spawn(Base::current().scope(async { path("/") })).await });
        assert_eq!(elsewhere.await.unwrap(), "/mill/");
    }
}
