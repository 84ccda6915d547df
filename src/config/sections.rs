//! The sections of the settings, a struct each, with the values derived from them.

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
    /// Empty, or a path such as `/mill`.
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

/// A key in the configuration. It has the key's hash and never the key itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    pub name: String,
    /// The SHA-256 of the key, 64 hexadecimal digits.
    pub sha256: String,
    #[serde(default = "usual_scopes")]
    pub scopes: Vec<Scope>,
    /// Replaces `limits.requests_per_minute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Replaces `limits.uploads_per_minute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploads_per_minute: Option<u32>,
}

/// What an API key allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", rename_all = "lowercase")]
pub enum Scope {
    /// Read the submissions of keys with the same name, and download their files.
    Read,
    /// Submit, cancel and retry; includes `read`.
    Submit,
    /// Everything, including the groups of other keys.
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

/// The scopes of a key that names none: enough for a shop, without access to other owners' groups.
fn usual_scopes() -> Vec<Scope> {
    vec![Scope::Submit, Scope::Read]
}

/// Whether a text may be the name of an API key. The name is stored with groups and appears in logs and on terminals.
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

/// A rule that sends jobs to a queue. The first rule that fits applies.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// A glob for the job's kind; `None` fits all kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// A glob for the requested queue (`options.queue`, or the kind's default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// Least priority of the submission; `None` fits all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_priority: Option<u8>,
    pub queue: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// The address on which `pixmill worker` serves operators' tools; empty for no server.
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

/// How long files and records are kept.
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

/// Folders for watermarks, in addition to the bundled fonts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watermark {
    pub fonts: PathBuf,
    pub overlays: PathBuf,
}

/// Sources of pictures other than uploads.
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

/// Parses the networks in a setting. Each is a network with its prefix length, or a single address.
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
    /// If a text is not a network.
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
            // A receiver that was killed is detected like a dead worker, after one lease.
            reservation: self.lease,
            key_memory: self.key_memory,
            events: self.events,
        }
    }
}

impl Worker {
    /// The address on which `pixmill worker` serves operators' tools, if any.
    ///
    /// # Errors
    /// If a text is not an address.
    pub fn address(&self) -> Result<Option<SocketAddr>, String> {
        if self.listen.is_empty() {
            return Ok(None);
        }
        address::parse(&self.listen).map(Some).map_err(|fault| format!("worker.listen: {fault}"))
    }

    /// Number of pictures computed at a time.
    pub fn slots(&self) -> usize {
        match self.cpu {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            cpu => cpu,
        }
    }

    /// Number of jobs claimed ahead of their turn.
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
    /// The limits for a single picture.
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
