//! Settings: a struct per section, read from the embedded defaults, a file, the environment and
//! flags, in this order, then held against each other by [`Config::validate`].

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::assets::Folders;
use crate::imaging;
use crate::queue::Policy;
use crate::sources::address::Networks;
use crate::sources::{self, Fetcher, Folder};

/// The file that documents every setting; `config.default.toml` in the repository.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

/// The least that a client is given.
const MOMENT: Duration = Duration::from_secs(1);
const MOST_CONNECTIONS: usize = 1_000_000;
const MOST_LIFETIME: Duration = Duration::from_hours(365 * 24);

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub data_dir: PathBuf,
    pub server: Server,
    pub auth: Auth,
    pub broker: Broker,
    pub queue: Queue,
    pub worker: Worker,
    pub retention: Retention,
    pub limits: Limits,
    pub watermark: Watermark,
    pub sources: Sources,
    pub log: Log,
    /// Lists of operations by name; see [`Config::presets`].
    pub presets: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub listen: SocketAddr,
    #[serde(with = "duration")]
    pub shutdown_grace: Duration,
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    #[serde(with = "duration")]
    pub keep_alive: Duration,
    pub max_connections: usize,
    #[serde(with = "duration")]
    pub link_lifetime: Duration,
    pub public_url: String,
    pub trusted_proxies: Vec<String>,
    pub cors_origins: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    pub keys: Vec<ApiKey>,
    #[serde(with = "duration")]
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
    #[serde(with = "duration")]
    pub lease: Duration,
    #[serde(with = "duration")]
    pub beat: Duration,
    pub max_attempts: u32,
    pub max_stalls: u32,
    #[serde(with = "duration")]
    pub backoff_base: Duration,
    #[serde(with = "duration")]
    pub backoff_cap: Duration,
    pub cap: u64,
    #[serde(with = "duration")]
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
    pub cpu: usize,
    pub io: usize,
    pub prefetch: usize,
    pub queues: Vec<String>,
    pub niceness: i32,
    #[serde(with = "duration")]
    pub soft_time_limit: Duration,
    #[serde(with = "duration")]
    pub hard_time_limit: Duration,
    pub max_jobs_per_child: u64,
    pub memory: u64,
}

/// How long things are kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    #[serde(with = "duration")]
    pub records: Duration,
    #[serde(with = "duration")]
    pub originals: Duration,
    #[serde(with = "duration")]
    pub outputs: Duration,
    #[serde(with = "duration")]
    pub sweep_every: Duration,
    #[serde(with = "duration")]
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
    pub min_free_disk: f64,
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
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    #[serde(with = "duration")]
    pub timeout: Duration,
    pub max_redirects: usize,
    #[serde(with = "duration")]
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

/// Lists of operations by their names.
pub type Presets = BTreeMap<String, Vec<imaging::Operation>>;

/// What a preset's name stands for.
///
/// # Errors
/// A sentence that names those that are known.
pub fn preset<'p, T>(presets: &'p BTreeMap<String, T>, name: &str) -> Result<&'p T, String> {
    presets.get(name).ok_or_else(|| {
        let known: Vec<&str> = presets.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none (presets)".to_owned() } else { known.join(", ") };
        let name: String = name.escape_debug().take(64).collect();
        format!("unknown preset `{name}`; known: {known}")
    })
}

/// A setting given as a flag: its dotted name and its value.
pub type Override = (&'static str, config::Value);

impl Config {
    /// Reads every layer and validates the whole.
    ///
    /// # Errors
    /// A file that cannot be read, an unknown or ill-typed setting (named), a value out of range.
    pub fn load(file: Option<&Path>, flags: Vec<Override>) -> Result<Self> {
        let config = Self::layered(file, flags)?;
        let faults = config.validate();
        if !faults.is_empty() {
            bail!("{}", faults.join("\n"));
        }
        Ok(config)
    }

    fn layered(file: Option<&Path>, flags: Vec<Override>) -> Result<Self> {
        let mut layers =
            config::Config::builder().add_source(config::File::from_str(DEFAULTS, config::FileFormat::Toml));
        if let Some(file) = file {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read the configuration file {}", file.display()))?;
            layers = layers.add_source(config::File::from_str(&text, config::FileFormat::Toml));
        }
        let environment = config::Environment::with_prefix("PIXMILL")
            .prefix_separator("__")
            .separator("__")
            .try_parsing(true)
            .list_separator(",")
            .with_list_parse_key("queue.names")
            .with_list_parse_key("worker.queues")
            .with_list_parse_key("sources.urls")
            .with_list_parse_key("sources.allow_private")
            .with_list_parse_key("server.trusted_proxies")
            .with_list_parse_key("server.cors_origins");
        layers = layers.add_source(environment);
        for (name, value) in flags {
            layers = layers.set_override(name, value)?;
        }
        let from = file.map_or(String::new(), |file| format!(" (with {})", file.display()));
        let merged = layers.build().with_context(|| format!("the configuration cannot be read{from}"))?;
        merged.try_deserialize().with_context(|| format!("the configuration is not valid{from}"))
    }

    /// What is wrong, a sentence a fault, each naming the setting, its value and the bound.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut require = |holds: bool, fault: String| {
            if !holds {
                faults.push(fault);
            }
        };
        require(
            (Duration::from_mins(1)..=Duration::from_hours(24 * 365)).contains(&self.auth.session),
            format!("auth.session: {:?} is not within 1m and 365d", self.auth.session),
        );
        for (i, key) in self.auth.keys.iter().enumerate() {
            require(
                key.sha256.len() == 64 && key.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()),
                format!("auth.keys[{i}].sha256: must be the 64 hexadecimal digits of the key's SHA-256"),
            );
            require(
                is_key_name(&key.name),
                format!("auth.keys[{i}].name: `{}` is not 1 to 64 characters without control characters", key.name),
            );
            require(
                !key.scopes.is_empty(),
                format!("auth.keys[{i}].scopes: name at least one of submit, read and admin, or leave it out"),
            );
        }
        self.server.validate(&mut require);
        require(
            self.queue.lease >= 3 * self.queue.beat && !self.queue.beat.is_zero(),
            format!(
                "queue.lease: {:?} is shorter than three heartbeats (queue.beat is {:?})",
                self.queue.lease, self.queue.beat
            ),
        );
        require(
            self.queue.backoff_base <= self.queue.backoff_cap,
            format!(
                "queue.backoff_base: {:?} exceeds queue.backoff_cap ({:?})",
                self.queue.backoff_base, self.queue.backoff_cap
            ),
        );
        require(self.queue.max_attempts >= 1, "queue.max_attempts: 0 is below 1".into());
        require(self.queue.max_stalls >= 1, "queue.max_stalls: 0 is below 1".into());
        require(!self.worker.queues.is_empty(), "worker.queues: name at least one queue".into());
        let known = |queue: &String| self.queue.names.contains(queue);
        let names = self.queue.names.join(", ");
        for queue in self.worker.queues.iter().filter(|queue| !known(queue)) {
            require(false, format!("worker.queues: unknown queue `{queue}`; queue.names has {names}"));
        }
        for (i, route) in self.queue.routes.iter().enumerate() {
            let queue = &route.queue;
            require(known(queue), format!("queue.routes[{i}].queue: unknown queue `{queue}`; queue.names has {names}"));
            for (field, pattern) in [("kind", &route.kind), ("asked", &route.asked)] {
                let fault = pattern.as_ref().and_then(|pattern| glob::Pattern::new(pattern).err());
                require(
                    fault.is_none(),
                    format!(
                        "queue.routes[{i}].{field}: not a glob: {}",
                        fault.map_or(String::new(), |f| f.to_string())
                    ),
                );
            }
        }
        require(
            self.worker.soft_time_limit <= self.worker.hard_time_limit && !self.worker.soft_time_limit.is_zero(),
            format!(
                "worker.soft_time_limit: {:?} is zero or exceeds worker.hard_time_limit ({:?})",
                self.worker.soft_time_limit, self.worker.hard_time_limit
            ),
        );
        require(self.worker.io <= 10_000, format!("worker.io: {} exceeds 10000", self.worker.io));
        require(self.queue.events >= 1, "queue.events: 0 is below 1".into());
        for (name, every) in [("sweep_every", self.retention.sweep_every), ("outbox_age", self.retention.outbox_age)] {
            require(!every.is_zero(), format!("retention.{name}: 0s is not a time between sweeps"));
        }
        require(
            (0..=19).contains(&self.worker.niceness),
            format!("worker.niceness: {} is not within 0 to 19", self.worker.niceness),
        );
        require(
            self.worker.cpu <= 1024 && self.worker.prefetch <= 1024,
            format!("worker.cpu, worker.prefetch: {}, {} exceed 1024", self.worker.cpu, self.worker.prefetch),
        );
        require(
            (0.0..1.0).contains(&self.limits.min_free_disk),
            format!("limits.min_free_disk: {} is not a share from 0 to 1", self.limits.min_free_disk),
        );
        for fault in self.sources.faults() {
            require(false, fault);
        }
        require(
            self.broker.redis.is_empty() || redis_scheme(&self.broker.redis),
            "broker.redis: must begin with redis:// or rediss://".into(),
        );
        require(
            !self.broker.prefix.is_empty() && !self.broker.prefix.contains(['{', '}']),
            format!("broker.prefix: `{}` is empty or has a brace", self.broker.prefix),
        );
        faults
    }

    /// The presets, parsed. Fonts and overlays that they name must have been provided.
    ///
    /// # Errors
    /// Naming the preset, the entry and the field.
    pub fn presets(&self) -> Result<Presets> {
        let limits = self.limits.imaging();
        let parse = |(name, list): (&String, &serde_json::Value)| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            anyhow::ensure!(
                (1..=64).contains(&name.len()) && name.chars().all(plain),
                "presets: `{name}` is not a name of 1 to 64 letters, digits, `-` and `_`"
            );
            let parsed = imaging::operation::parse(&list.to_string(), &limits);
            let parsed = parsed.map_err(|error| anyhow::anyhow!("presets.{name}: {}", error.detail))?;
            Ok((name.clone(), parsed))
        };
        self.presets.iter().map(parse).collect()
    }

    /// The settings in force as TOML, without the Redis password.
    pub fn to_toml(&self) -> Result<String> {
        let mut shown = self.clone();
        if let Ok(mut url) = url::Url::parse(&shown.broker.redis)
            && url.password().is_some()
        {
            let _ = url.set_password(Some("***"));
            shown.broker.redis = url.into();
        }
        Ok(toml::to_string(&shown)?)
    }
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

/// Whether it is an origin just as a browser would send it.
fn is_origin(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.origin().ascii_serialization() == text
    })
}

fn redis_scheme(url: &str) -> bool {
    url.starts_with("redis://") || url.starts_with("rediss://")
}

impl Server {
    /// Those whose word on their clients is taken.
    ///
    /// # Errors
    /// Where a network is none.
    pub fn proxies(&self) -> Result<Vec<IpNet>, String> {
        networks("server.trusted_proxies", &self.trusted_proxies)
    }

    fn validate(&self, require: &mut impl FnMut(bool, String)) {
        for (name, time) in [("idle_timeout", self.idle_timeout), ("keep_alive", self.keep_alive)] {
            require(time >= MOMENT, format!("server.{name}: {time:?} is less than 1s"));
        }
        require(
            (1..=MOST_CONNECTIONS).contains(&self.max_connections),
            format!("server.max_connections: {} is not within 1 to {MOST_CONNECTIONS}", self.max_connections),
        );
        require(
            (MOMENT..=MOST_LIFETIME).contains(&self.link_lifetime),
            format!("server.link_lifetime: {:?} is not within 1s and 8760h (a year)", self.link_lifetime),
        );
        require(
            self.public_url.is_empty() || is_origin(self.public_url.trim_end_matches('/')),
            format!("server.public_url: `{}` is not http:// or https:// with a host and no path", self.public_url),
        );
        for origin in &self.cors_origins {
            require(
                is_origin(origin) || (origin == "*" && self.cors_origins.len() == 1),
                format!(
                    "server.cors_origins: `{origin}` is not an origin as browsers write it (https://shop.example, in \
                     small letters, without a path), nor `*` alone"
                ),
            );
        }
        let proxies = self.proxies();
        require(proxies.is_ok(), proxies.err().unwrap_or_default());
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
            key_memory: self.key_memory,
            events: self.events,
            ..Policy::default()
        }
    }
}

impl Worker {
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
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        faults.extend(self.allowed().err().map(|fault| format!("sources.urls: {fault}")));
        faults.extend(self.networks().err());
        let folder = &self.folder;
        if !folder.as_os_str().is_empty() && !folder.is_absolute() {
            faults.push(format!("sources.folder: {} is not an absolute path", folder.display()));
        }
        if self.max_listed == 0 || self.max_listed > 1_000_000 {
            faults.push(format!("sources.max_listed: {} is not within 1 to 1000000", self.max_listed));
        }
        for (name, time) in [("connect_timeout", self.connect_timeout), ("timeout", self.timeout)] {
            if time.is_zero() {
                faults.push(format!("sources.{name}: 0s is no time to fetch anything in"));
            }
        }
        faults
    }

    fn allowed(&self) -> Result<sources::Allowed, String> {
        sources::Allowed::parse(&self.urls)
    }

    fn networks(&self) -> Result<Networks, String> {
        networks("sources.allow_private", &self.allow_private).map(Networks::new)
    }

    /// The folder of pictures that are there already, where one is set.
    pub fn folder(&self) -> Option<Folder> {
        (!self.folder.as_os_str().is_empty()).then(|| Folder::new(self.folder.clone()))
    }

    /// What fetches URLs, where any may be fetched.
    ///
    /// # Errors
    /// When it cannot be set up on this machine.
    pub fn fetcher(&self, limits: &Limits) -> Result<Option<Fetcher>> {
        let fault = |fault: String| anyhow::anyhow!(fault);
        let allowed = self.allowed().map_err(fault)?;
        if allowed.is_empty() {
            return Ok(None);
        }
        let settings = sources::Settings {
            allowed,
            networks: self.networks().map_err(fault)?,
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
            max_redirects: self.max_redirects,
            max_retry_after: self.max_retry_after,
            max_bytes: limits.max_file_bytes,
        };
        Fetcher::new(settings).map(Some).context("cannot fetch URLs (sources.urls) on this machine")
    }
}

impl Watermark {
    pub fn folders(&self) -> Folders {
        let given = |folder: &PathBuf| (!folder.as_os_str().is_empty()).then(|| folder.clone());
        Folders { fonts: given(&self.fonts), overlays: given(&self.overlays) }
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

mod duration {
    //! Durations as people write them: `15s`, `1h30m`.
    pub(super) use jiff::fmt::serde::unsigned_duration::friendly::compact::required::{deserialize, serialize};
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: impl Into<config::Value>) -> Result<Config> {
        Config::load(None, vec![(name, value.into())])
    }

    #[test]
    fn embedded_defaults_are_valid_and_match_the_library() {
        let config = Config::load(None, vec![]).unwrap();
        assert_eq!(config.limits.imaging(), imaging::Limits::default());
        assert_eq!(config.queue.policy(), Policy::default());
    }

    #[test]
    fn printed_settings_read_back() {
        let printed = Config::load(None, vec![]).unwrap().to_toml().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &printed).unwrap();
        assert_eq!(Config::load(Some(file.path()), vec![]).unwrap().to_toml().unwrap(), printed);
    }

    #[test]
    fn password_is_not_printed() {
        let config = with("broker.redis", "redis://:secret@127.0.0.1:6379/0").unwrap();
        let printed = config.to_toml().unwrap();
        assert!(!printed.contains("secret") && printed.contains("127.0.0.1:6379"), "{printed}");
    }

    fn from_file(text: &str) -> Result<Config> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Config::load(Some(file.path()), vec![])
    }

    #[test]
    fn key_without_scopes_submits_and_reads() {
        let sha256 = "0".repeat(64);
        let config = from_file(&format!("[auth]\nkeys = [{{ name = \"shop\", sha256 = \"{sha256}\" }}]")).unwrap();
        assert_eq!(config.auth.keys[0].scopes, [Scope::Submit, Scope::Read]);
    }

    #[test]
    fn faulty_keys_are_refused_by_their_place() {
        let key = |fields: &str| {
            let keys = format!("[auth]\nkeys = [{{ sha256 = \"{}\", {fields} }}]", "0".repeat(64));
            format!("{:#}", from_file(&keys).unwrap_err())
        };
        assert!(key("name = \"\"").contains("auth.keys[0].name"));
        assert!(key("name = \"a\\nb\"").contains("auth.keys[0].name"));
        assert!(key("name = \"a\", scopes = []").contains("auth.keys[0].scopes"));
        let unknown = key("name = \"a\", scopes = [\"write\"]");
        assert!(unknown.contains("write") && unknown.contains("admin"), "{unknown}");
    }

    #[test]
    fn origins_are_as_browsers_write_them() {
        let with_origins = |origins: &[&str]| with("server.cors_origins", origins.to_vec());
        for good in [&["https://shop.example"][..], &["http://localhost:3000", "https://a.example"], &["*"]] {
            assert!(with_origins(good).is_ok(), "{good:?}");
        }
        for bad in
            [&["shop.example"][..], &["https://shop.example/"], &["https://Shop.example"], &["https://a.example", "*"]]
        {
            let fault = with_origins(bad).unwrap_err().to_string();
            assert!(fault.contains("server.cors_origins"), "{bad:?}: {fault}");
        }
    }

    #[test]
    fn faulty_proxies_sessions_and_addresses_are_refused_by_name() {
        for (name, value) in [
            ("server.public_url", "pictures.example"),
            ("server.public_url", "https://pictures.example/under"),
            ("auth.session", "30s"),
        ] {
            let fault = with(name, value).unwrap_err().to_string();
            assert!(fault.contains(name) && fault.contains(value), "{fault}");
        }
        let fault = format!("{:#}", with("server.trusted_proxies", vec!["10.0.0.0/33"]).unwrap_err());
        assert!(fault.contains("10.0.0.0/33"), "{fault}");
    }

    #[test]
    fn servers_limits_are_refused_by_name_and_bound() {
        for (name, value, told) in [
            ("server.idle_timeout", "100ms", "server.idle_timeout: 100ms is less than 1s"),
            ("server.keep_alive", "0s", "server.keep_alive: 0ns is less than 1s"),
            ("server.max_connections", "0", "server.max_connections: 0 is not within 1 to 1000000"),
            ("server.link_lifetime", "0s", "server.link_lifetime: 0ns is not within 1s"),
            ("server.link_lifetime", "9000h", "server.link_lifetime: 32400000s is not within 1s and 8760h"),
        ] {
            let fault = with(name, value).unwrap_err().to_string();
            assert!(fault.contains(told), "{fault}");
        }
    }

    #[test]
    fn lease_shorter_than_three_beats_is_refused() {
        let fault = with("queue.lease", "10s").unwrap_err().to_string();
        assert!(fault.contains("queue.lease") && fault.contains("10s"), "{fault}");
    }

    #[test]
    fn wrong_sources_are_refused_by_name() {
        for (name, value, said) in [
            ("sources.urls", "ftp://a.example", "sources.urls: `ftp://a.example` is not a pattern of URLs"),
            ("sources.allow_private", "10.0.0.0/40", "sources.allow_private: `10.0.0.0/40` is not a network"),
        ] {
            let fault = with(name, vec![value]).unwrap_err().to_string();
            assert!(fault.contains(said), "{fault}");
        }
        let fault = with("sources.folder", "pictures").unwrap_err().to_string();
        assert!(fault.contains("sources.folder: pictures is not an absolute path"), "{fault}");
        let fault = with("sources.timeout", "0s").unwrap_err().to_string();
        assert!(fault.contains("sources.timeout: 0s"), "{fault}");
    }

    #[test]
    fn presets_are_parsed_and_wrong_ones_refused_by_name() {
        let presets = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            let config = Config::load(Some(file.path()), vec![]).unwrap();
            let printed = config.to_toml().unwrap();
            std::fs::write(file.path(), printed).unwrap();
            Config::load(Some(file.path()), vec![]).unwrap().presets()
        };
        let both =
            presets("[presets]\nCard = [{ type = \"resize\", width = 80 }]\nnone = [{ type = \"flip\" }]\n").unwrap();
        assert_eq!(both.keys().collect::<Vec<_>>(), ["Card", "none"]);
        let fault = presets("[presets]\ncard = [{ type = \"resize\", width = 0 }]\n").unwrap_err().to_string();
        assert!(fault.starts_with("presets.card: operations[0].width: 0"), "{fault}");
        let fault = presets("[presets]\n\"a card\" = [{ type = \"flip\" }]\n").unwrap_err().to_string();
        assert!(fault.contains("`a card` is not a name"), "{fault}");
    }

    #[test]
    fn unknown_setting_is_refused_by_name() {
        let fault = format!("{:#}", with("server.lisen", "127.0.0.1:1").unwrap_err());
        assert!(fault.contains("lisen"), "{fault}");
    }
}
