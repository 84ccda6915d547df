//! The sections: a struct each, and what the rest of the program makes of it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use ipnet::IpNet;
use queue::Policy;
use serde::{Deserialize, Serialize};

use super::address;
use crate::assets::Folders;
use crate::duration;
use crate::net::address::Networks;
use crate::net::{Allowed, Guard, Signer};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    #[serde(deserialize_with = "address::deserialize")]
    pub listen: SocketAddr,
    #[serde(with = "duration::required")]
    pub shutdown_grace: Duration,
    #[serde(with = "duration::required")]
    pub idle_timeout: Duration,
    #[serde(with = "duration::required")]
    pub keep_alive: Duration,
    pub max_connections: usize,
    #[serde(with = "duration::required")]
    pub link_lifetime: Duration,
    pub public_url: String,
    /// Empty, or such as `/mill`.
    pub base_path: String,
    pub trusted_proxies: Vec<String>,
    pub cors_origins: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    pub keys: Vec<ApiKey>,
    #[serde(with = "duration::required")]
    pub session: Duration,
}

/// A key as the configuration holds it: never the key itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    pub name: String,
    /// 64 hexadecimal digits.
    pub sha256: String,
    #[serde(default = "usual_scopes")]
    pub scopes: Vec<Scope>,
    /// Instead of `limits.requests_per_minute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Instead of `limits.uploads_per_minute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploads_per_minute: Option<u32>,
}

/// What an API key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", rename_all = "lowercase")]
pub enum Scope {
    /// Look at what keys of its name have submitted, and fetch it.
    Read,
    /// Submit, cancel and retry; includes `read`.
    Submit,
    /// Everything, and everybody's.
    Admin,
}

impl Scope {
    pub const ALL: [Self; 3] = [Self::Read, Self::Submit, Self::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Admin => "admin",
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|scope| scope.as_str() == name);
        known.ok_or_else(|| format!("unknown scope `{name}`; known: {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// Of a key that does not say: what a shop needs, and nothing of other people's.
fn usual_scopes() -> Vec<Scope> {
    vec![Scope::Submit, Scope::Read]
}

/// Whether an API key may be called so. The name is in the groups that it submits, in logs and on terminals.
pub fn is_key_name(name: &str) -> bool {
    (1..=64).contains(&name.chars().count()) && !name.contains(char::is_control)
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    pub redis: String,
    pub prefix: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    pub names: Vec<String>,
    pub routes: Vec<Route>,
    #[serde(with = "duration::required")]
    pub lease: Duration,
    #[serde(with = "duration::required")]
    pub beat: Duration,
    pub max_attempts: u32,
    pub max_stalls: u32,
    #[serde(with = "duration::required")]
    pub backoff_base: Duration,
    #[serde(with = "duration::required")]
    pub backoff_cap: Duration,
    pub cap: u64,
    #[serde(with = "duration::required")]
    pub key_memory: Duration,
    pub events: u64,
}

/// Sends jobs to a queue by what they are; the first one that fits counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// A glob over the job's kind; none fits all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// A glob over the queue that the submission asked for (`options.queue`, or the kind's own).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// Submissions of this priority or above; none fits all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_priority: Option<u8>,
    pub queue: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Where `pixmill worker` answers operators' tools; empty for nowhere.
    pub listen: String,
    pub cpu: usize,
    pub io: usize,
    pub prefetch: usize,
    pub queues: Vec<String>,
    pub niceness: i32,
    #[serde(with = "duration::required")]
    pub soft_time_limit: Duration,
    #[serde(with = "duration::required")]
    pub hard_time_limit: Duration,
    pub max_jobs_per_child: u64,
    pub memory: u64,
}

/// How long things are kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    #[serde(with = "duration::required")]
    pub records: Duration,
    #[serde(with = "duration::required")]
    pub originals: Duration,
    #[serde(with = "duration::required")]
    pub outputs: Duration,
    #[serde(with = "duration::required")]
    pub sweep_every: Duration,
    #[serde(with = "duration::required")]
    pub outbox_age: Duration,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub max_file_bytes: u64,
    pub max_pixels: u64,
    pub max_side: u32,
    pub max_frame_pixels: u64,
    pub max_frames: u32,
    pub max_decoded_bytes: u64,
    pub max_output_side: u32,
    pub max_operations: usize,
    pub max_files: usize,
    pub max_request_bytes: u64,
    pub max_field_bytes: usize,
    pub max_body_bytes: usize,
    pub max_buffered_bytes: u64,
    pub min_free_disk: f64,
    pub ballast: u64,
    pub requests_per_minute: u32,
    pub uploads_per_minute: u32,
}

/// What watermarks may be made of, beside the bundled fonts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watermark {
    pub fonts: PathBuf,
    pub overlays: PathBuf,
}

/// Where pictures may come from that nobody uploads.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sources {
    pub folder: PathBuf,
    pub max_listed: usize,
    pub urls: Vec<String>,
    pub allow_private: Vec<String>,
    #[serde(with = "duration::required")]
    pub connect_timeout: Duration,
    #[serde(with = "duration::required")]
    pub timeout: Duration,
    pub max_redirects: usize,
    #[serde(with = "duration::required")]
    pub max_retry_after: Duration,
}

/// How servers of others are called.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calls {
    pub urls: Vec<String>,
    pub allow_private: Vec<String>,
    /// Empty where calls are not signed.
    pub secret: String,
    pub per_host: usize,
    #[serde(with = "duration::required")]
    pub timeout: Duration,
    #[serde(with = "duration::required")]
    pub max_retry_after: Duration,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// Networks as a setting lists them, each one by its bits or one address.
fn networks(setting: &str, texts: &[String]) -> Result<Vec<IpNet>, String> {
    let network = |text: &String| {
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        let fault = |_| format!("{setting}: `{text}` is not a network like 10.1.0.0/16 or fd00:1::/32");
        text.parse().or_else(|_| address()).map_err(fault)
    };
    texts.iter().map(network).collect()
}

impl Server {
    /// Proxies whose forwarded headers are trusted.
    ///
    /// # Errors
    /// A text that is not a network.
    pub fn proxies(&self) -> Result<Vec<IpNet>, String> {
        networks("server.trusted_proxies", &self.trusted_proxies)
    }
}

impl Queue {
    pub fn policy(&self) -> Policy {
        Policy {
            lease: self.lease,
            beat: self.beat,
            max_attempts: self.max_attempts,
            max_stalls: self.max_stalls,
            backoff_base: self.backoff_base,
            backoff_cap: self.backoff_cap,
            queue_cap: self.cap,
            // A receiver that is killed is known by the same silence as a worker.
            reservation: self.lease,
            key_memory: self.key_memory,
            events: self.events,
        }
    }
}

impl Worker {
    /// Where `pixmill worker` answers operators' tools, if anywhere.
    ///
    /// # Errors
    /// A text that is not an address.
    pub fn address(&self) -> Result<Option<SocketAddr>, String> {
        if self.listen.is_empty() {
            return Ok(None);
        }
        address::parse(&self.listen).map(Some).map_err(|fault| format!("worker.listen: {fault}"))
    }

    /// Pictures computed at a time.
    pub fn slots(&self) -> usize {
        match self.cpu {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            cpu => cpu,
        }
    }

    /// Jobs claimed ahead of their turn.
    pub fn ahead(&self) -> usize {
        match self.prefetch {
            0 => self.slots(),
            prefetch => prefetch,
        }
    }
}

impl Sources {
    /// What may be fetched.
    ///
    /// # Errors
    /// A sentence that names the setting, and the pattern or the network.
    pub fn guard(&self) -> Result<Guard, String> {
        guard("sources", &self.urls, &self.allow_private)
    }
}

impl Calls {
    /// What may be called.
    ///
    /// # Errors
    /// A sentence that names the setting, and the pattern or the network.
    pub fn guard(&self) -> Result<Guard, String> {
        guard("calls", &self.urls, &self.allow_private)
    }

    /// What signs calls; `None` where they are not signed.
    ///
    /// # Errors
    /// A sentence without the secret.
    pub fn signer(&self) -> Result<Option<Signer>, String> {
        let signer = (!self.secret.is_empty()).then(|| Signer::parse(&self.secret));
        signer.transpose().map_err(|fault| format!("calls.secret: {fault}"))
    }
}

fn guard(section: &'static str, urls: &[String], allow_private: &[String]) -> Result<Guard, String> {
    let allowed = Allowed::parse(urls).map_err(|fault| format!("{section}.urls: {fault}"))?;
    let networks = networks(&format!("{section}.allow_private"), allow_private).map(Networks::new)?;
    Ok(Guard { section, allowed, networks })
}

impl Watermark {
    pub fn folders(&self) -> Folders {
        let given = |folder: &PathBuf| (!folder.as_os_str().is_empty()).then(|| folder.clone());
        Folders { fonts: given(&self.fonts), overlays: given(&self.overlays), files: Vec::new() }
    }
}

impl Limits {
    /// What concerns one picture.
    pub fn imaging(&self) -> imaging::Limits {
        imaging::Limits {
            max_file_bytes: self.max_file_bytes,
            max_pixels: self.max_pixels,
            max_side: self.max_side,
            max_frame_pixels: self.max_frame_pixels,
            max_frames: self.max_frames,
            max_decoded_bytes: self.max_decoded_bytes,
            max_output_side: self.max_output_side,
            max_operations: self.max_operations,
        }
    }
}
