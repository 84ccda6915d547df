//! The Prometheus metrics: one registry with all families, and no logic.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::process;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    pub method: String,
    pub route: String,
    pub status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    pub route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabels {
    pub code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AttemptLabels {
    pub kind: String,
    /// `succeeded`, `failed`, `retried`, `released`, `cancelled`, `crashed` or `lost`.
    pub outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FetchLabels {
    /// `fetched`, or the code of the failure.
    pub outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabels {
    pub kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct QueueLabels {
    pub queue: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DepthLabels {
    pub queue: String,
    pub state: &'static str,
}

/// All families. Cheap to clone; clones share their values.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub requests: Family<RequestLabels, Counter>,
    pub request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    pub refusals: Family<RefusalLabels, Counter>,
    pub uploaded_bytes: Counter,
    pub fetched_bytes: Counter,
    pub fetches: Family<FetchLabels, Counter>,
    pub images_accepted: Counter,
    pub images_rejected: Counter,
    pub manifests_damaged: Counter,
    pub attempts: Family<AttemptLabels, Counter>,
    pub attempt_seconds: Family<KindLabels, Histogram, fn() -> Histogram>,
    /// Time from a job's last entry into its queue until its claim.
    pub wait_seconds: Family<KindLabels, Histogram, fn() -> Histogram>,
    pub jobs: Family<DepthLabels, Gauge>,
    pub oldest_waiting: Family<QueueLabels, Gauge<f64, AtomicU64>>,
    pub jobs_in_flight: Gauge,
    pub queue_paused: Family<QueueLabels, Gauge>,
    /// NaN while the broker is unreachable, as is `dead_letters`.
    pub workers: Gauge<f64, AtomicU64>,
    pub dead_letters: Gauge<f64, AtomicU64>,
    /// 1 while the worker of this process is deaf.
    pub deaf_workers: Gauge,
    pub disk_free: Gauge<f64, AtomicU64>,
    /// 1 while less space is free than `limits.min_free_disk`.
    pub disk_short: Gauge,
    /// Size in bytes.
    pub ballast: Gauge,
    pub event_streams: Gauge,
    pub connections: Gauge,
    /// Bytes held in memory of requests that are being received.
    pub buffered: Gauge,
    pub slow_clients: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds),
            refusals: Family::default(),
            uploaded_bytes: Counter::default(),
            fetched_bytes: Counter::default(),
            fetches: Family::default(),
            images_accepted: Counter::default(),
            images_rejected: Counter::default(),
            manifests_damaged: Counter::default(),
            attempts: Family::default(),
            attempt_seconds: Family::new_with_constructor(seconds),
            wait_seconds: Family::new_with_constructor(long_seconds),
            jobs: Family::default(),
            oldest_waiting: Family::default(),
            jobs_in_flight: Gauge::default(),
            queue_paused: Family::default(),
            workers: Gauge::default(),
            dead_letters: Gauge::default(),
            deaf_workers: Gauge::default(),
            disk_free: Gauge::default(),
            disk_short: Gauge::default(),
            ballast: Gauge::default(),
            event_streams: Gauge::default(),
            connections: Gauge::default(),
            buffered: Gauge::default(),
            slow_clients: Counter::default(),
        }
    }
}

impl Metrics {
    /// The text of `/metrics`, including the resources that this process uses at present.
    pub fn encode(&self, format: Format) -> String {
        let mut text = String::new();
        let written = text::encode_registry(&mut text, &self.registry())
            .and_then(|()| text::encode_registry(&mut text, &machine()))
            .and_then(|()| text::encode_eof(&mut text));
        written.expect("a String takes everything");
        match format {
            Format::OpenMetrics => text,
            Format::Prometheus => in_prometheus_text(&text),
        }
    }

    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("pixmill");
        registry.register("http_requests", "Requests answered", self.requests.clone());
        let (name, help) = ("http_request_duration", "Time from a request's head to its answer's head");
        registry.register_with_unit(name, help, Unit::Seconds, self.request_seconds.clone());
        registry.register("http_refusals", "Requests not let in, by the code of the answer", self.refusals.clone());
        registry.register_with_unit("uploaded", "Bytes of pictures received", Unit::Bytes, self.uploaded_bytes.clone());
        let (name, help) = ("fetched", "Bytes of pictures fetched by URL");
        registry.register_with_unit(name, help, Unit::Bytes, self.fetched_bytes.clone());
        registry.register("fetches", "Pictures fetched by URL, by how that ended", self.fetches.clone());
        registry.register("images_accepted", "Pictures enqueued", self.images_accepted.clone());
        registry.register("images_rejected", "Pictures refused at upload", self.images_rejected.clone());
        registry.register(
            "manifests_damaged",
            "Manifests of the outbox that could not be read, and were set aside",
            self.manifests_damaged.clone(),
        );
        registry.register("attempts", "Attempts of jobs by how they ended", self.attempts.clone());
        let (name, help) = ("attempt_duration", "Time that an attempt took, from its start to its result");
        registry.register_with_unit(name, help, Unit::Seconds, self.attempt_seconds.clone());
        let (name, help) = ("job_wait", "Time from when a job came to wait until a worker claimed it");
        registry.register_with_unit(name, help, Unit::Seconds, self.wait_seconds.clone());
        registry.register("jobs", "Open jobs by queue and state", self.jobs.clone());
        let (name, help) = ("oldest_waiting_job_age", "How long the oldest waiting job of a queue has waited");
        registry.register_with_unit(name, help, Unit::Seconds, self.oldest_waiting.clone());
        registry.register(
            "jobs_in_flight",
            "Jobs that this process has claimed and not settled",
            self.jobs_in_flight.clone(),
        );
        registry.register("queue_paused", "1 for a queue that no worker takes from", self.queue_paused.clone());
        registry.register("workers", "Workers that have reported themselves lately", self.workers.clone());
        registry.register(
            "dead_letters",
            "Jobs that failed for good and were not retried, counted up to 1000",
            self.dead_letters.clone(),
        );
        registry.register(
            "deaf_workers",
            "Workers of this process that have room and claim nothing although jobs wait",
            self.deaf_workers.clone(),
        );
        registry.register("disk_free_ratio", "Share of the store's disk that is free", self.disk_free.clone());
        registry.register(
            "disk_short",
            "1 while less of the disk is free than limits.min_free_disk: uploads are refused, pictures are not begun",
            self.disk_short.clone(),
        );
        let (name, help) = ("ballast", "Bytes of the disk kept for settling and erasing; 0 while the disk is full");
        registry.register_with_unit(name, help, Unit::Bytes, self.ballast.clone());
        registry.register("event_streams", "Clients that listen to events at present", self.event_streams.clone());
        registry.register("http_connections", "Open connections", self.connections.clone());
        let (name, help) = ("http_buffered", "Bytes of requests that nothing was made of yet");
        registry.register_with_unit(name, help, Unit::Bytes, self.buffered.clone());
        registry.register(
            "http_slow_clients",
            "Uploads and connections cut off because their client did not go on",
            self.slow_clients.clone(),
        );
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", version);
        if let Some(children) = process::children() {
            let (name, help) =
                ("child_cpu", "Processor time of the processes that compute pictures, of ended ones too");
            registry.register_with_unit(name, help, Unit::Seconds, ConstCounter::new(children.usage.cpu_seconds));
            let (name, help) = ("child_resident_memory", "Memory of the processes that compute pictures");
            registry.register_with_unit(name, help, Unit::Bytes, gauge(children.usage.resident_bytes));
            registry.register("children", "Processes that compute pictures", gauge(children.running));
        }
        registry
    }
}

/// The format of `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics` 1.0.0.
    OpenMetrics,
    /// Prometheus' own text format, version 0.0.4.
    Prometheus,
}

impl Format {
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The families that every exporter has under the same names.
fn machine() -> Registry {
    let mut registry = Registry::default();
    let Some(own) = process::own() else { return registry };
    let help = "Processor time of this process, in user mode and in the kernel";
    registry.register_with_unit("process_cpu", help, Unit::Seconds, ConstCounter::new(own.usage.cpu_seconds));
    let (name, help) = ("process_resident_memory", "Memory of this process");
    registry.register_with_unit(name, help, Unit::Bytes, gauge(own.usage.resident_bytes));
    let (name, help) = ("process_virtual_memory", "Address space of this process");
    registry.register_with_unit(name, help, Unit::Bytes, gauge(own.virtual_bytes));
    registry.register("process_open_fds", "Open file descriptors", gauge(own.open_fds));
    if let Some(most) = own.max_fds {
        registry.register("process_max_fds", "Most file descriptors that may be open", gauge(most));
    }
    let (name, help) = ("process_start_time", "When this process started, since 1970");
    registry.register_with_unit(name, help, Unit::Seconds, ConstGauge::new(own.started_at_s));
    registry
}

fn gauge(number: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Converts families to Prometheus' text format. It has no units, no end mark and no type `info`, and names a counter
/// like its sample.
fn in_prometheus_text(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut help = None;
    for line in openmetrics.lines() {
        if let Some(named) = line.strip_prefix("# HELP ") {
            help = named.split_once(' ').map(|(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|named| named.split_once(' ')) {
            let (name, kind) = match kind {
                "counter" => (format!("{name}_total"), kind),
                "info" => (format!("{name}_info"), "gauge"),
                _ => (name.to_owned(), kind),
            };
            let help = help.take().unwrap_or_default();
            text.extend(["# HELP ", &name, " ", help, "\n# TYPE ", &name, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            text.extend([line, "\n"]);
        }
    }
    text
}

fn seconds() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0])
}

fn long_seconds() -> Histogram {
    Histogram::new([0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_text_names_counters_as_their_samples_and_has_no_units() {
        let openmetrics = "# HELP a_seconds Time.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n\
                           a_seconds_total 1.0\n# HELP b The version.\n# TYPE b info\nb_info{version=\"1\"} 1\n\
                           # HELP c Jobs.\n# TYPE c gauge\nc 2\n# EOF\n";
        let expected = "# HELP a_seconds_total Time.\n# TYPE a_seconds_total counter\na_seconds_total 1.0\n\
                        # HELP b_info The version.\n# TYPE b_info gauge\nb_info{version=\"1\"} 1\n\
                        # HELP c Jobs.\n# TYPE c gauge\nc 2\n";
        assert_eq!(in_prometheus_text(openmetrics), expected);
    }

    /// Alerts and dashboards depend on these names, which docs/metrics.md lists.
    #[test]
    fn documentation_lists_every_family() {
        let metrics = Metrics::default();
        // A family without a sample is left out.
        let (kind, queue) = ("image.process".to_owned(), "default".to_owned());
        metrics.attempt_seconds.get_or_create(&KindLabels { kind: kind.clone() }).observe(1.0);
        metrics.wait_seconds.get_or_create(&KindLabels { kind: kind.clone() }).observe(1.0);
        metrics.attempts.get_or_create(&AttemptLabels { kind, outcome: "succeeded" }).inc();
        metrics.fetches.get_or_create(&FetchLabels { outcome: "fetched".into() }).inc();
        metrics.jobs.get_or_create(&DepthLabels { queue: queue.clone(), state: "waiting" }).set(1);
        metrics.queue_paused.get_or_create(&QueueLabels { queue: queue.clone() }).set(0);
        metrics.oldest_waiting.get_or_create(&QueueLabels { queue }).set(1.0);
        metrics.refusals.get_or_create(&RefusalLabels { code: "unauthorized".into() }).inc();
        metrics.request_seconds.get_or_create(&RouteLabels { route: "/".into() }).observe(1.0);
        let request = RequestLabels { method: "GET".into(), route: "/".into(), status: 200 };
        metrics.requests.get_or_create(&request).inc();
        let text = metrics.encode(Format::Prometheus);
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let mut families: Vec<String> = types.map(|family| family.replacen(' ', "` | ", 1)).collect();
        families.sort();
        let document = include_str!("../docs/metrics.md");
        let row = |line: &str| {
            let mut cells = line.strip_prefix("| `")?.splitn(4, " | ");
            let is_family = line.starts_with("| `pixmill_") || line.starts_with("| `process_");
            if !is_family {
                return None;
            }
            Some(format!("{} | {}", cells.next()?, cells.next()?))
        };
        let mut listed: Vec<String> = document.lines().filter_map(row).collect();
        listed.sort();
        assert_eq!(families, listed);
    }
}
