//! Fetches a file by its URL.
//!
//! With a [`Guard`], only what may be fetched. Redirects are followed here, one by one, so that each is checked against the
//! allow-list and the networks like the first URL. Proxies of the environment are not used then.
//!
//! No cookie and no referrer is sent, and the server's `Content-Type` is not trusted.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, header};
use url::Url;

use super::guard::{Guard, Lookup, Refused, shown};
use crate::errors::Failure;
use crate::errors::Lack;

#[derive(Debug, Clone)]
pub struct Settings {
    /// `None` if the URLs are the operator's own and all are allowed.
    pub guard: Option<Guard>,
    pub connect_timeout: Duration,
    /// Longest wait for the next bytes; `None` if only `timeout` applies.
    pub read_timeout: Option<Duration>,
    /// Time from the first connection to the last byte, including redirects.
    pub timeout: Duration,
    pub max_redirects: usize,
    /// Longest `Retry-After` that is waited for.
    pub max_retry_after: Duration,
    pub max_bytes: u64,
}

/// The client. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Fetcher {
    pub(super) settings: Arc<Settings>,
    pub(super) http: Client,
}

/// An answer whose body has not been read yet.
pub struct Fetched {
    response: Response,
    received: u64,
    max_bytes: u64,
}

impl Fetcher {
    /// # Errors
    /// If this machine's certificates cannot be read.
    pub fn new(settings: Settings) -> Result<Self, reqwest::Error> {
        let lookup: Lookup = Arc::new(|name| {
            Box::pin(async move {
                let found = tokio::net::lookup_host((name, 0)).await?;
                Ok(found.map(|address| address.ip()).collect())
            })
        });
        Self::with_lookup(settings, lookup)
    }

    /// As [`new`](Self::new), with another lookup of names.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_lookup(settings: Settings, lookup: Lookup) -> Result<Self, reqwest::Error> {
        // Fails if a provider is installed already. That one is used then.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http = Client::builder()
            .user_agent(concat!("pixmill/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(settings.connect_timeout);
        if let Some(limit) = settings.read_timeout {
            http = http.read_timeout(limit);
        }
        if let Some(guard) = &settings.guard {
            http = http.no_proxy().dns_resolver(guard.resolver(lookup));
        }
        Ok(Self { settings: Arc::new(settings), http: http.build()? })
    }

    /// Time for one fetch, including the body. The caller has to enforce it.
    pub fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// Checks a URL before anything is fetched.
    ///
    /// # Errors
    /// `url-forbidden`.
    pub fn check(&self, url: &Url) -> Result<(), Failure> {
        self.settings.guard.as_ref().map_or(Ok(()), |guard| guard.check(url))
    }

    /// Requests a URL and follows redirects to the final answer.
    ///
    /// # Errors
    /// `url-forbidden`, `fetch-failed` (a later attempt may succeed, after the wait that the server asks for),
    /// `fetch-refused`, `too-large`.
    pub async fn get(&self, url: &Url) -> Result<Fetched, Failure> {
        let mut at = url.clone();
        for _ in 0..=self.settings.max_redirects {
            self.check(&at)?;
            let answer = self.http.get(at.clone()).header(header::ACCEPT, "image/*,*/*;q=0.5").send().await;
            let response = answer.map_err(|error| failed("fetch-failed", &at, &error))?;
            let status = response.status();
            if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                at = target(&at, &response)?;
                continue;
            }
            if status != StatusCode::OK {
                let asked = retry_after(response.headers(), SystemTime::now());
                return Err(refused(&at, status, asked.map(|asked| asked.min(self.settings.max_retry_after))));
            }
            if let Some(encoding) = unasked_encoding(response.headers()) {
                let detail = format!("{}: {encoding}", shown(&at));
                return Err(Failure::permanent("fetch-refused", detail));
            }
            let max_bytes = self.settings.max_bytes;
            if response.content_length().is_some_and(|bytes| bytes > max_bytes) {
                return Err(too_large(max_bytes));
            }
            return Ok(Fetched { response, received: 0, max_bytes });
        }
        let limit = self.settings.max_redirects;
        Err(Failure::permanent(
            "fetch-refused",
            format!("{}: more than {limit} redirects (sources.max_redirects)", shown(url)),
        ))
    }
}

impl Fetched {
    /// The next bytes of the body; `None` at its end.
    ///
    /// # Errors
    /// `fetch-failed` if the body breaks off, `too-large`.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let chunk = self.response.chunk().await.map_err(|error| {
            let url = shown(self.response.url());
            Failure::transient("fetch-failed", format!("{url}: the answer broke off: {}", causes(&error)))
        })?;
        if let Some(chunk) = &chunk {
            self.received += chunk.len() as u64;
            if self.received > self.max_bytes {
                return Err(too_large(self.max_bytes));
            }
        }
        Ok(chunk)
    }
}

/// The target of a redirect.
fn target(from: &Url, response: &Response) -> Result<Url, Failure> {
    let location = response.headers().get(header::LOCATION);
    location
        .and_then(|location| from.join(&ascii(location.as_bytes())).ok())
        .ok_or_else(|| Failure::permanent("fetch-refused", format!("{}: it redirects to nowhere", shown(from))))
}

/// A `Location` with its non-ASCII bytes percent-encoded. Servers send them raw, and browsers accept that.
fn ascii(location: &[u8]) -> String {
    let digit = |half: u8| char::from(b"0123456789ABCDEF"[usize::from(half)]);
    location.iter().fold(String::with_capacity(location.len()), |mut text, &byte| {
        if byte.is_ascii() {
            text.push(char::from(byte));
        } else {
            text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
        text
    })
}

/// The fault of an answer that is compressed although nobody asked for that; `None` if it is not.
fn unasked_encoding(headers: &HeaderMap) -> Option<String> {
    let encoding = headers.get(header::CONTENT_ENCODING)?;
    let encoding = String::from_utf8_lossy(encoding.as_bytes()).trim().to_lowercase();
    (!matches!(encoding.as_str(), "" | "identity")).then(|| {
        format!("the server sends the picture packed (Content-Encoding: {encoding}), which it was not asked for")
    })
}

/// The value of `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let until = || httpdate::parse_http_date(text).ok().map(|date| date.duration_since(now).unwrap_or_default());
    text.parse().ok().map(Duration::from_secs).or_else(until)
}

/// Whether the same request may be answered better later.
pub(super) fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500..=599)
}

fn refused(url: &Url, status: StatusCode, retry_after: Option<Duration>) -> Failure {
    let detail = format!("{}: the server answers {status}", shown(url));
    if may_pass(status) {
        Failure::transient("fetch-failed", detail).after(retry_after)
    } else {
        Failure::permanent("fetch-refused", detail)
    }
}

/// Why there is no answer: `code`, unless the URL is forbidden or this process lacks something.
pub(super) fn failed(code: &'static str, url: &Url, error: &reqwest::Error) -> Failure {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(inner) = cause {
        if let Some(refused) = inner.downcast_ref::<Refused>() {
            return refused.failure(url);
        }
        cause = inner.source();
    }
    let detail = format!("{}: {}", shown(url), causes(error));
    match Lack::behind(error) {
        Some(lack) => Failure::of_store(Some(lack), detail),
        None => Failure::transient(code, detail),
    }
}

fn too_large(limit: u64) -> Failure {
    Failure::permanent("too-large", format!("the answer has more bytes than limits.max_file_bytes ({limit})"))
}

/// What went wrong, from the inside: the outermost says no more than that something did.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut innermost: &dyn StdError = error;
    while let Some(inner) = innermost.source() {
        innermost = inner;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_where_browsers_follow_them() {
        let from: Url = "http://a.example/x/y".parse().unwrap();
        let to = |location: &[u8]| from.join(&ascii(location)).unwrap().to_string();
        assert_eq!(to("/猫 x.png".as_bytes()), "http://a.example/%E7%8C%AB%20x.png");
        assert_eq!(to("z?q=ü".as_bytes()), "http://a.example/x/z?q=%C3%BC");
        assert_eq!(to("//bücher.example/".as_bytes()), "http://xn--bcher-kva.example/");
        assert_eq!(
            to(b"/\xe9t\xe9.png"),
            "http://a.example/%E9t%E9.png",
            "bytes that are not UTF-8 stay what they are"
        );
        assert_eq!(to(b"/%E7%8C%AB.png"), "http://a.example/%E7%8C%AB.png");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Wed, 21 Oct 2015 07:28:00 GMT").unwrap();
        let asked = |text: &'static str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, header::HeaderValue::from_static(text))]);
            retry_after(&headers, now).map(|asked| asked.as_secs())
        };
        assert_eq!(asked("120"), Some(120));
        assert_eq!(asked("Wed, 21 Oct 2015 07:30:00 GMT"), Some(120));
        assert_eq!(asked("Wed, 21 Oct 2015 07:00:00 GMT"), Some(0), "a date that has passed");
        for text in ["", "-1", "1.5", "soon"] {
            assert_eq!(asked(text), None, "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
