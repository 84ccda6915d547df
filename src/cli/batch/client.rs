//! A pixmill server, as the batch's client sees it: upload, status, download.
//!
//! What may pass (no connection, 429, 5xx, a download cut off) is tried again for five minutes, as the
//! server's `Retry-After` asks; a server that restarts meanwhile costs nothing but time. What will not
//! pass is an error that names the address, what the server said, and what to do.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Client, ClientBuilder, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::cli::operations::Presets;
use crate::errors::Failure;
use crate::net::retry_after;

/// How long one request is tried again.
const PATIENCE: Duration = Duration::from_mins(5);
/// How long a server is waited for that has never answered.
const FIRST_CONTACT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The most that `Retry-After` is believed.
const LONGEST_ASKED: Duration = Duration::from_mins(1);

pub(super) struct Server {
    http: Client,
    base: Url,
    key: Option<String>,
    /// Ends waiting between tries.
    stop: CancellationToken,
    /// What people should hear while something is tried again.
    remarks: UnboundedSender<String>,
    /// It has been said that the server is away.
    away: AtomicBool,
}

/// The answer to an upload.
pub(super) enum Uploaded {
    Accepted {
        task: String,
        rejected: Vec<Rejected>,
    },
    /// Not one picture was.
    Rejected(Vec<Rejected>),
    /// The request as a whole was too large for the server, or for a proxy before it.
    TooLarge(String),
    /// The server is still receiving, or has received something else, under this key.
    KeyInUse,
    /// A file was gone when its turn came.
    Unreadable(String),
}

#[derive(Debug, Deserialize)]
pub(super) struct Rejected {
    pub(super) index: usize,
    pub(super) error: Reason,
}

/// A group's status document, as far as it is needed.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub(super) status: String,
    #[serde(default)]
    pub(super) result: Vec<StatusEntry>,
}

#[derive(Debug, Deserialize)]
pub(super) struct StatusEntry {
    pub(super) success: bool,
    #[serde(default)]
    pub(super) paths: Vec<Option<String>>,
    /// As they are told: `info` has fields of its own.
    #[serde(default)]
    pub(super) outputs: Vec<Value>,
    pub(super) duration_ms: Option<u64>,
    pub(super) error: Option<Reason>,
}

/// An error as the wire has it; a cancelled picture's is only a code.
#[derive(Debug, Deserialize)]
pub(super) struct Reason {
    code: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    retryable: bool,
}

/// RFC 9457, and the rejected pictures.
#[derive(Debug, Default, Deserialize)]
struct Problem {
    code: Option<String>,
    title: Option<String>,
    detail: Option<String>,
    #[serde(default)]
    rejected: Vec<Rejected>,
}

#[derive(Deserialize)]
struct Accepted {
    task_id: String,
    #[serde(default)]
    rejected: Vec<Rejected>,
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        let Reason { code, detail, retryable } = reason;
        Self { code: code.into(), detail, retryable, retry_after: None, lacking: None }
    }
}

/// What all our requests have in common.
pub(super) fn builder() -> ClientBuilder {
    // A second installation is refused, and none is needed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let agent = concat!("pixmill/", env!("CARGO_PKG_VERSION"));
    Client::builder().user_agent(agent).connect_timeout(Duration::from_secs(10))
}

impl Server {
    pub(super) fn new(
        base: &Url,
        key: Option<&str>,
        stop: CancellationToken,
        remarks: UnboundedSender<String>,
    ) -> Result<Self> {
        let mut base = base.clone();
        if !base.path().ends_with('/') {
            // Or `join` would replace the last part of it.
            base.set_path(&format!("{}/", base.path()));
        }
        let http = builder().build()?;
        Ok(Self { http, base, key: key.map(str::to_owned), stop, remarks, away: AtomicBool::new(false) })
    }

    /// Makes sure that a pixmill is there, before anything is begun.
    pub(super) async fn greet(&self) -> Result<()> {
        let url = self.base.join("healthz")?;
        let request = async || Ok(self.http.get(url.clone()).timeout(Duration::from_secs(5)));
        let response = self.send(FIRST_CONTACT, request).await.with_context(|| {
            format!("there is no pixmill at {}; is it running? `pixmill serve` starts one", self.base)
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        bail!("{}{}", said(&url, status, &Problem::default()), hint(status, self.key.is_some()))
    }

    /// Its presets, by name.
    pub(super) async fn presets(&self) -> Result<Presets> {
        #[derive(Deserialize)]
        struct Told {
            presets: Vec<Named>,
        }
        #[derive(Deserialize)]
        struct Named {
            name: String,
            operations: Value,
        }
        let url = self.base.join("api/presets")?;
        let request = async || Ok(self.http.get(url.clone()).timeout(Duration::from_secs(30)));
        let response = self.send(FIRST_CONTACT, request).await?;
        let told: Told = self.good(&url, response).await?.json().await.with_context(|| not_understood(&url))?;
        Ok(told.presets.into_iter().map(|named| (named.name, named.operations)).collect())
    }

    /// Uploads the files, streamed from the disk, under the names beside them.
    ///
    /// Under one `key` they count once, however often they are sent.
    pub(super) async fn upload(
        &self,
        key: &str,
        files: &[(&Path, &str)],
        operations: &str,
        options: &str,
    ) -> Result<Uploaded> {
        let url = self.base.join("api/upload")?;
        let request = async || {
            let request = self.http.post(url.clone()).header("Idempotency-Key", key);
            Ok(request.multipart(form(files, operations, options).await?).timeout(Duration::from_mins(15)))
        };
        let response = match self.send(PATIENCE, request).await {
            Err(error) if error.is::<Gone>() => return Ok(Uploaded::Unreadable(format!("{error:#}"))),
            response => response?,
        };
        let status = response.status();
        if status.is_success() {
            let accepted: Accepted =
                response.json().await.context("the server's answer to an upload is not understood")?;
            return Ok(Uploaded::Accepted { task: accepted.task_id, rejected: accepted.rejected });
        }
        let problem: Problem = response.json().await.unwrap_or_default();
        if !problem.rejected.is_empty() {
            return Ok(Uploaded::Rejected(problem.rejected));
        }
        if status == StatusCode::CONFLICT || problem.code.as_deref() == Some("idempotency-key-reused") {
            return Ok(Uploaded::KeyInUse);
        }
        let said = said(&url, status, &problem);
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            return Ok(Uploaded::TooLarge(said));
        }
        bail!("{said}{}", hint(status, self.key.is_some()));
    }

    /// How a task stands; none where the server does not know it, or not any more.
    pub(super) async fn status(&self, task: &str) -> Result<Option<Status>> {
        let url = self.base.join("api/task_status/")?.join(task)?;
        let request = async || Ok(self.http.get(url.clone()).timeout(Duration::from_secs(30)));
        let response = self.send(PATIENCE, request).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = self.good(&url, response).await?;
        response.json().await.map(Some).with_context(|| not_understood(&url))
    }

    /// Fetches a result into the file `part`, durably; answers its bytes. After an error the file is gone.
    pub(super) async fn download(&self, path: &str, part: &Path) -> Result<u64> {
        let url = of_server(&self.base, path)?;
        if url.origin() != self.base.origin() {
            bail!("{url}: the server points to another one, and the key is not for that");
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let request = async || Ok(self.http.get(url.clone()).timeout(Duration::from_mins(5)));
            let response = self.send(PATIENCE, request).await?;
            let response = self.good(&url, response).await?;
            match receive(response, part).await {
                Ok(bytes) => return Ok(bytes),
                // The server went away in mid-sentence; it may be back soon.
                Err(error) if error.is::<reqwest::Error>() && Instant::now() < deadline => {
                    if self.stop.is_cancelled() {
                        return Err(error);
                    }
                    tokio::time::sleep(FIRST_PAUSE).await;
                }
                Err(error) => {
                    let _ = tokio::fs::remove_file(part).await;
                    return Err(error);
                }
            }
        }
    }

    async fn good(&self, url: &Url, response: Response) -> Result<Response> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let problem = response.json().await.unwrap_or_default();
        bail!("{}{}", said(url, status, &problem), hint(status, self.key.is_some()))
    }

    /// Sends, and sends again what may pass.
    async fn send(&self, patience: Duration, request: impl AsyncFn() -> Result<RequestBuilder>) -> Result<Response> {
        let deadline = Instant::now() + patience;
        let mut pause = FIRST_PAUSE;
        loop {
            let mut request = request().await?;
            if let Some(key) = &self.key {
                request = request.bearer_auth(key);
            }
            let (fault, asked) = match request.send().await {
                Ok(response) if !may_pass(response.status()) => {
                    self.away.store(false, Ordering::Relaxed);
                    return Ok(response);
                }
                Ok(response) => {
                    let (url, status, asked) = (response.url().clone(), response.status(), asked(&response));
                    (said(&url, status, &response.json().await.unwrap_or_default()), asked)
                }
                Err(error) if error.is_builder() => return Err(error.into()),
                Err(error) => (chain(&error), None),
            };
            let wait = wait(asked.unwrap_or_default().min(LONGEST_ASKED), pause, fastrand::f64());
            pause = (pause * 2).min(LONGEST_PAUSE);
            if Instant::now() + wait > deadline {
                bail!("{fault} (given up after {patience:?})");
            }
            if !self.away.swap(true, Ordering::Relaxed) {
                let _ = self.remarks.send(format!("{fault}; trying again for {patience:?}"));
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => bail!("{fault}"),
            }
        }
    }
}

/// A file that is not there any more.
#[derive(Debug, thiserror::Error)]
#[error("{0}: {1}")]
struct Gone(String, io::Error);

async fn form(files: &[(&Path, &str)], operations: &str, options: &str) -> Result<Form> {
    let mut form = Form::new().percent_encode_noop().text("operations", operations.to_owned());
    if options != "{}" {
        form = form.text("options", options.to_owned());
    }
    for (path, name) in files {
        let open = async {
            let file = tokio::fs::File::open(path).await?;
            let length = file.metadata().await?.len();
            Ok::<_, io::Error>((file, length))
        };
        let (file, length) = open.await.map_err(|error| Gone((*name).to_owned(), error))?;
        let body = Body::wrap_stream(ReaderStream::with_capacity(file, 64 << 10));
        // A line end would break the form's own lines.
        let name = name.replace(char::is_control, "\u{fffd}");
        form = form.part("images", Part::stream_with_length(body, length).file_name(name));
    }
    Ok(form)
}

/// Writes a body to `part`, durably.
async fn receive(response: Response, part: &Path) -> Result<u64> {
    let mut body = response.bytes_stream();
    let mut out = tokio::fs::File::create(part).await?;
    let mut bytes = 0;
    while let Some(piece) = body.next().await {
        let piece = piece?;
        bytes += piece.len() as u64;
        out.write_all(&piece).await?;
    }
    out.sync_all().await?;
    Ok(bytes)
}

/// How long the server wants not to be asked again.
pub(super) fn asked(response: &Response) -> Option<Duration> {
    retry_after(response.headers(), SystemTime::now())
}

/// How long to wait before another try: behind what the server asked for, which may be nothing, a pause with jitter, or
/// all clients that were turned away together would come back together.
pub(super) fn wait(asked: Duration, pause: Duration, jitter: f64) -> Duration {
    asked + pause.mul_f64(0.5 + jitter / 2.0)
}

fn may_pass(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

fn not_understood(url: &Url) -> String {
    format!("{url}: the answer is not understood")
}

fn said(url: &Url, status: StatusCode, problem: &Problem) -> String {
    let detail = problem.detail.as_deref().or(problem.title.as_deref());
    match detail {
        Some(detail) => format!("{url} answered {status}: {detail}"),
        None => format!("{url} answered {status}"),
    }
}

fn hint(status: StatusCode, has_key: bool) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED if !has_key => "; name a key with --api-key or PIXMILL_API_KEY",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; is --api-key (or PIXMILL_API_KEY) right?",
        StatusCode::NOT_FOUND => "; is --server the address of a pixmill?",
        _ => "",
    }
}

/// An error with its causes: reqwest's own words leave out why.
pub(super) fn chain(error: &reqwest::Error) -> String {
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        said = format!("{said}: {inner}");
        cause = inner.source();
    }
    said
}

/// The address of a path in the server's answers. A server behind a prefix adds it to its paths if it knows the prefix.
fn of_server(base: &Url, path: &str) -> Result<Url, url::ParseError> {
    base.join(path.strip_prefix(base.path()).unwrap_or(path).trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_that_asks_for_no_delay_is_not_hammered() {
        let [none, minute] = [Duration::ZERO, Duration::from_mins(1)];
        assert_eq!(wait(none, FIRST_PAUSE, 0.0), FIRST_PAUSE / 2);
        assert_eq!(wait(none, FIRST_PAUSE, 1.0), FIRST_PAUSE);
        assert_eq!(wait(minute, FIRST_PAUSE, 1.0), minute + FIRST_PAUSE);
    }

    #[test]
    fn paths_are_found_whether_or_not_the_server_knows_its_prefix() {
        for (base, path, url) in [
            ("http://host/", "/files/a?x=1", "http://host/files/a?x=1"),
            ("http://host/mill/", "/mill/files/a?x=1", "http://host/mill/files/a?x=1"),
            ("http://host/mill/", "/files/a", "http://host/mill/files/a"),
            ("http://host/mill/", "//evil.example/a", "http://host/mill/evil.example/a"),
        ] {
            assert_eq!(of_server(&Url::parse(base).unwrap(), path).unwrap().as_str(), url);
        }
    }
}
