//! Sends one request to a server that acts on it, and reads the answer.
//!
//! No redirect is followed: a server that has moved may not be the one that the request was meant for.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{self, HeaderMap};
use reqwest::{Method, Response, StatusCode};
use tokio::time::timeout;
use url::Url;

use super::Fetcher;
use super::fetch::{causes, failed, may_pass, retry_after};
use super::guard::shown;
use crate::errors::Failure;

/// Bytes of an answer that a failure quotes.
const QUOTED: usize = 1024;
/// How long the part of an answer that a failure quotes is waited for.
const QUOTING: Duration = Duration::from_secs(2);

/// A request to a server that acts on it.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<Bytes>,
}

/// An answer with a status of 200 to 299.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
}

impl Fetcher {
    /// Sends a request once and reads the answer to its end. The caller keeps to [`timeout`](Self::timeout).
    ///
    /// # Errors
    /// `call-failed` when there is no answer or its status says that another try may end better, as soon as the server
    /// asks for it; `call-redirected`; `call-refused` for every other status; `answer-too-large`; `url-forbidden`.
    pub async fn send(&self, request: Request) -> Result<Answer, Failure> {
        let Request { method, url, headers, body } = request;
        self.check(&url)?;
        let mut asked = self.http.request(method, url.clone()).headers(headers);
        if let Some(body) = body {
            asked = asked.body(body);
        }
        let mut response = asked.send().await.map_err(|error| failed("call-failed", &url, &error))?;
        let status = response.status();
        if status.is_redirection() {
            let to = response.headers().get(header::LOCATION).map(|to| String::from_utf8_lossy(to.as_bytes()));
            let to = to.map_or(String::new(), |to| format!(" to {}", to.chars().take(QUOTED).collect::<String>()));
            let detail = format!("{}: the server answers {status}{to}; calls follow no redirect", shown(&url));
            return Err(Failure::permanent("call-redirected", detail));
        }
        if !status.is_success() {
            return Err(self.unwelcome(&url, response).await);
        }
        let limit = self.settings.max_bytes;
        let mut body = Vec::new();
        loop {
            let chunk = response.chunk().await.map_err(|error| {
                let detail = format!("{}: the answer broke off: {}", shown(&url), causes(&error));
                Failure::transient("call-failed", detail)
            })?;
            let Some(chunk) = chunk else { return Ok(Answer { status, body: body.into() }) };
            body.extend_from_slice(&chunk);
            if body.len() as u64 > limit {
                let detail = format!("{}: the server answers {status} with more than {limit} bytes", shown(&url));
                return Err(Failure::permanent("answer-too-large", detail));
            }
        }
    }

    /// Why an answer with this status is a failure, with the first KiB of its body.
    async fn unwelcome(&self, url: &Url, mut response: Response) -> Failure {
        let status = response.status();
        let asked = retry_after(response.headers(), SystemTime::now());
        let mut body = Vec::new();
        let read = async {
            while body.len() < QUOTED
                && let Ok(Some(chunk)) = response.chunk().await
            {
                body.extend_from_slice(&chunk);
            }
        };
        // What has come by then is quoted.
        let _ = timeout(QUOTING, read).await;
        body.truncate(QUOTED);
        let said = String::from_utf8_lossy(&body);
        let detail = match said.trim() {
            "" => format!("{}: the server answers {status}", shown(url)),
            said => format!("{}: the server answers {status}: {said}", shown(url)),
        };
        if may_pass(status) {
            let asked = asked.map(|asked| asked.min(self.settings.max_retry_after));
            Failure::transient("call-failed", detail).after(asked)
        } else {
            Failure::permanent("call-refused", detail)
        }
    }
}
