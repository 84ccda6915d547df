//! Settings, a struct per section. They are read from the embedded defaults, a file, the environment and flags, in this
//! order, and then checked by [`Config::validate`].

mod address;
mod environment;
mod layers;
mod nearest;
mod rules;
mod sections;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

pub use rules::{is_own_path, is_path};
pub use sections::{
    ApiKey, Auth, Broker, Calls, Limits, Log, LogFormat, Queue, Retention, Route, Scope, Server, Sources, Watermark,
    Worker, is_key_name,
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
    pub calls: Calls,
    pub log: Log,
    /// Lists of operations by name; see [`Config::presets`].
    pub presets: BTreeMap<String, serde_json::Value>,
    /// Documents of workflows by name; `workflows::Templates` checks them.
    pub workflows: BTreeMap<String, serde_json::Value>,
    /// Schedules by name, as they are written; `schedules` reads them.
    pub schedules: BTreeMap<String, serde_json::Value>,
}

/// Lists of operations, by name.
pub type Presets = BTreeMap<String, Vec<imaging::Operation>>;

/// The preset with this name.
///
/// # Errors
/// A sentence that lists the known names.
pub fn preset<'p, T>(presets: &'p BTreeMap<String, T>, name: &str) -> Result<&'p T, String> {
    presets.get(name).ok_or_else(|| {
        let known: Vec<&str> = presets.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none (presets)".to_owned() } else { known.join(", ") };
        let name: String = name.escape_debug().take(64).collect();
        format!("unknown preset `{name}`; known: {known}")
    })
}

/// A setting given as a flag: its dotted name and its value.
pub type Override = (&'static str, toml::Value);

impl Default for Config {
    /// The settings without a file, the environment or flags.
    fn default() -> Self {
        toml::from_str(DEFAULTS).expect("the embedded defaults are valid, as a test shows")
    }
}

impl Config {
    /// Reads all layers and validates the result.
    ///
    /// # Errors
    /// If a file cannot be read; or a line for each setting that is unknown, has the wrong type, or is out of range.
    pub fn load(file: Option<&Path>, flags: Vec<Override>) -> Result<Self> {
        layers::read(file, std::env::vars_os(), flags)
    }

    /// The presets, parsed. Fonts and overlays named in them must have been provided before.
    ///
    /// # Errors
    /// A sentence that names the preset, the entry and the field.
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

    /// The settings in force as TOML, without the Redis password and the secret of calls.
    pub fn to_toml(&self) -> Result<String> {
        let mut shown = self.clone();
        if let Ok(mut url) = url::Url::parse(&shown.broker.redis)
            && url.password().is_some()
        {
            let _ = url.set_password(Some("***"));
            shown.broker.redis = url.into();
        }
        if !shown.calls.secret.is_empty() {
            shown.calls.secret = "***".into();
        }
        Ok(toml::to_string(&shown)?)
    }
}
