//! The rules for values and combinations of settings. Each fault is a sentence with the setting, its value and the
//! bound.

use std::time::Duration;

use super::{Calls, Config, Server, Sources, Worker, is_key_name};
use crate::duration::show;
use crate::kinds::http_call::PATIENCE;

/// Shortest time that a client may be given.
const MOMENT: Duration = Duration::from_secs(1);
/// Least memory for request bodies: room for a few heads and chunks.
const LEAST_BUFFERED: u64 = 1 << 20;
const MOST_CONNECTIONS: usize = 1_000_000;
const MOST_LIFETIME: Duration = Duration::from_hours(365 * 24);

impl Config {
    /// The faults of the settings, each a sentence with the setting, its value and the bound.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut require = |holds: bool, fault: String| {
            if !holds {
                faults.push(fault);
            }
        };
        require(
            (Duration::from_mins(1)..=Duration::from_hours(24 * 365)).contains(&self.auth.session),
            format!("auth.session: {} is not within 1m and 365d", show(self.auth.session)),
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
                "queue.lease: {} is shorter than three heartbeats (queue.beat is {})",
                show(self.queue.lease),
                show(self.queue.beat)
            ),
        );
        require(
            self.queue.backoff_base <= self.queue.backoff_cap,
            format!(
                "queue.backoff_base: {} exceeds queue.backoff_cap ({})",
                show(self.queue.backoff_base),
                show(self.queue.backoff_cap)
            ),
        );
        require(self.queue.max_attempts >= 1, "queue.max_attempts: 0 is below 1".into());
        require(self.queue.max_stalls >= 1, "queue.max_stalls: 0 is below 1".into());
        let listen = self.worker.address();
        require(listen.is_ok(), listen.err().unwrap_or_default());
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
                "worker.soft_time_limit: {} is zero or exceeds worker.hard_time_limit ({})",
                show(self.worker.soft_time_limit),
                show(self.worker.hard_time_limit)
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
        let (buffered, body) = (self.limits.max_buffered_bytes, self.limits.max_body_bytes as u64);
        require(
            buffered >= LEAST_BUFFERED && buffered / 2 >= body,
            format!(
                "limits.max_buffered_bytes: {buffered} is below {LEAST_BUFFERED}, or below twice \
                 limits.max_body_bytes ({body})"
            ),
        );
        for fault in self.sources.faults().into_iter().chain(self.calls.faults(&self.worker)) {
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
}

/// The first parts of the service's own paths.
const OWN_PATHS: [&str; 11] =
    ["api", "docs", "files", "groups", "healthz", "login", "metrics", "openapi.json", "problems", "readyz", "upload"];

/// Whether a text is a path such as `/tools/mill`: its parts are plain characters, and none is empty or only dots.
pub fn is_path(text: &str) -> bool {
    let is_part = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~');
        part.chars().all(plain) && part.chars().any(|c| c != '.')
    };
    text.strip_prefix('/').is_some_and(|parts| parts.split('/').all(is_part))
}

/// Whether a path begins like one of the service's own, and so would be ambiguous as a prefix.
pub fn is_own_path(path: &str) -> bool {
    path.split('/').nth(1).is_some_and(|first| OWN_PATHS.contains(&first))
}

impl Server {
    fn validate(&self, require: &mut impl FnMut(bool, String)) {
        for (name, time) in [("idle_timeout", self.idle_timeout), ("keep_alive", self.keep_alive)] {
            require(time >= MOMENT, format!("server.{name}: {} is less than 1s", show(time)));
        }
        require(
            (1..=MOST_CONNECTIONS).contains(&self.max_connections),
            format!("server.max_connections: {} is not within 1 to {MOST_CONNECTIONS}", self.max_connections),
        );
        require(
            (MOMENT..=MOST_LIFETIME).contains(&self.link_lifetime),
            format!("server.link_lifetime: {} is not within 1s and 8760h (a year)", show(self.link_lifetime)),
        );
        require(
            self.public_url.is_empty() || is_origin(self.public_url.trim_end_matches('/')),
            format!("server.public_url: `{}` is not http:// or https:// with a host and no path", self.public_url),
        );
        require(
            self.base_path.is_empty() || (is_path(&self.base_path) && !is_own_path(&self.base_path)),
            format!(
                "server.base_path: `{}` is not a path such as /pixmill: it begins with `/` and does not end with it, has \
                 letters, digits, `-`, `.`, `_` and `~` only, and begins with no path of the service's own (/{})",
                self.base_path,
                OWN_PATHS.join(", /")
            ),
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

impl Sources {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        faults.extend(self.guard().err());
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
}

impl Calls {
    fn faults(&self, worker: &Worker) -> Vec<String> {
        let mut faults = Vec::new();
        // A call waits for its turn, too. An attempt that takes longer than a worker allows is not tried again.
        let longest = worker.soft_time_limit.saturating_sub(PATIENCE);
        if !self.urls.is_empty() && self.timeout > longest {
            faults.push(format!(
                "calls.timeout: {} exceeds worker.soft_time_limit less the {} that a call may wait for its turn ({})",
                show(self.timeout),
                show(PATIENCE),
                show(longest)
            ));
        }
        faults.extend(self.guard().err());
        faults.extend(self.signer().err());
        if self.timeout.is_zero() {
            faults.push("calls.timeout: 0s is no time to call anybody in".into());
        }
        faults
    }
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
