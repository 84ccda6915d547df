//! A pixmill server, as the batch's client sees it: upload, status, download.
//!
//! What may pass (no connection, 429, 5xx) is tried again for five minutes, as the server's
//! `Retry-After` asks; a server that restarts meanwhile costs nothing but time. What will not pass
//! is an error that names the address and what the server said.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Client, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use crate::job::Failure;

/// How long one request is tried again.
const PATIENCE: Duration = Duration::from_mins(5);
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
    pub(super) result: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    pub(super) success: bool,
    #[serde(default)]
    pub(super) paths: Vec<Option<String>>,
    #[serde(default)]
    /// As they are told: `info` has fields of its own.
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
        Self { code: reason.code.into(), detail: reason.detail, retryable: reason.retryable }
    }
}

impl Server {
    pub(super) fn new(base: &Url, key: Option<&str>, stop: CancellationToken) -> Result<Self> {
        // A second installation is refused, and none is needed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let agent = concat!("pixmill/", env!("CARGO_PKG_VERSION"));
        let http = Client::builder().user_agent(agent).connect_timeout(Duration::from_secs(10)).build()?;
        let mut base = base.clone();
        if !base.path().ends_with('/') {
            // Or `join` would replace the last part of it.
            base.set_path(&format!("{}/", base.path()));
        }
        Ok(Self { http, base, key: key.map(str::to_owned), stop })
    }

    /// Uploads the files, streamed from the disk, under the names beside them.
    pub(super) async fn upload(&self, files: &[(&Path, String)], operations: &str, lenient: bool) -> Result<Uploaded> {
        let url = self.base.join("api/upload")?;
        // The same for every try of this upload: one that went through without our hearing of it counts once.
        let key = Uuid::now_v7().to_string();
        let request = async || {
            let request = self.http.post(url.clone()).header("Idempotency-Key", &key);
            Ok(request.multipart(form(files, operations, lenient).await?).timeout(Duration::from_mins(15)))
        };
        let response = self.send(request).await?;
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
        let said = said(&url, status, &problem);
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            return Ok(Uploaded::TooLarge(said));
        }
        bail!("{said}{}", hint(status, self.key.is_some()));
    }

    pub(super) async fn status(&self, task: &str) -> Result<Status> {
        let url = self.base.join("api/task_status/")?.join(task)?;
        let response = self.get(&url, Duration::from_secs(30)).await?;
        response.json().await.with_context(|| format!("{url}: the answer is not understood"))
    }

    /// Fetches a result into `file`, which is there as a whole or not at all; answers its bytes.
    pub(super) async fn download(&self, path: &str, file: &Path) -> Result<u64> {
        let url = self.base.join(path.trim_start_matches('/'))?;
        if url.origin() != self.base.origin() {
            bail!("{url}: the server points to another one, and the key is not for that");
        }
        let mut body = self.get(&url, Duration::from_mins(5)).await?.bytes_stream();
        let part = super::result_part(file);
        let mut out = tokio::fs::File::create(&part).await?;
        let mut bytes = 0;
        while let Some(piece) = body.next().await {
            let piece = piece.with_context(|| format!("{url}: cut off"))?;
            bytes += piece.len() as u64;
            out.write_all(&piece).await?;
        }
        out.sync_all().await?;
        tokio::fs::rename(&part, file).await?;
        Ok(bytes)
    }

    async fn get(&self, url: &Url, timeout: Duration) -> Result<Response> {
        let response = self.send(async || Ok(self.http.get(url.clone()).timeout(timeout))).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let problem = response.json().await.unwrap_or_default();
        bail!("{}{}", said(url, status, &problem), hint(status, self.key.is_some()))
    }

    /// Sends, and sends again what may pass.
    async fn send(&self, request: impl AsyncFn() -> Result<RequestBuilder>) -> Result<Response> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        loop {
            let mut request = request().await?;
            if let Some(key) = &self.key {
                request = request.bearer_auth(key);
            }
            let (fault, asked) = match request.send().await {
                Ok(response) if !may_pass(response.status()) => return Ok(response),
                Ok(response) => {
                    let (url, status, asked) = (response.url().clone(), response.status(), retry_after(&response));
                    (said(&url, status, &response.json().await.unwrap_or_default()), asked)
                }
                Err(error) if error.is_builder() => return Err(error.into()),
                Err(error) => (chain(&error), None),
            };
            // Jitter keeps the uploads of many clients apart.
            let wait = asked.unwrap_or_else(|| pause.mul_f64(0.5 + fastrand::f64() / 2.0)).min(LONGEST_ASKED);
            pause = (pause * 2).min(LONGEST_PAUSE);
            if Instant::now() + wait > deadline {
                bail!("{fault} (given up after {} minutes)", PATIENCE.as_secs() / 60);
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => bail!("{fault}"),
            }
        }
    }
}

async fn form(files: &[(&Path, String)], operations: &str, lenient: bool) -> Result<Form> {
    let mut form = Form::new().percent_encode_noop().text("operations", operations.to_owned());
    if lenient {
        form = form.text("options", r#"{"lenient": true}"#);
    }
    for (path, name) in files {
        let open = async {
            let file = tokio::fs::File::open(path).await?;
            let length = file.metadata().await?.len();
            Ok::<_, std::io::Error>((file, length))
        };
        let (file, length) = open.await.with_context(|| format!("{name} cannot be read"))?;
        let body = Body::wrap_stream(ReaderStream::with_capacity(file, 64 << 10));
        form = form.part("images", Part::stream_with_length(body, length).file_name(name.clone()));
    }
    Ok(form)
}

fn may_pass(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get("Retry-After")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
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
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; check --api-key",
        StatusCode::NOT_FOUND => "; is --server the address of a pixmill?",
        _ => "",
    }
}

/// An error with its causes: reqwest's own words leave out why.
fn chain(error: &reqwest::Error) -> String {
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        said = format!("{said}: {inner}");
        cause = inner.source();
    }
    said
}
