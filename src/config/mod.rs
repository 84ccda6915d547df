//! Settings: a struct per section, read from the embedded defaults, a file, the environment and
//! flags, in this order, then held against each other by [`Config::validate`].

mod rules;
mod sections;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::imaging;

pub use rules::{is_own_path, is_path};
pub use sections::{
    ApiKey, Auth, Broker, Limits, Log, LogFormat, Queue, Retention, Route, Scope, Server, Sources, Watermark, Worker,
    is_key_name,
};

/// The file that documents every setting; `config.default.toml` in the repository.
pub const DEFAULTS: &str = include_str!("../../config.default.toml");

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
