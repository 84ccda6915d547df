//! What Prometheus is told: one registry, its families by name, no logic.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

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
    /// `succeeded`, `failed`, `retried`, `cancelled`, `crashed` or `lost`.
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

/// Every family; cheap to clone, clones count together.
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
    pub jobs: Family<DepthLabels, Gauge>,
    pub jobs_in_flight: Gauge,
    pub queue_paused: Family<QueueLabels, Gauge>,
    /// Not a number while the broker is away, as `dead_letters`.
    pub workers: Gauge<f64, AtomicU64>,
    pub dead_letters: Gauge<f64, AtomicU64>,
    /// 1 while this process' worker leaves work lying.
    pub deaf_workers: Gauge,
    pub disk_free: Gauge<f64, AtomicU64>,
    pub event_streams: Gauge,
    pub connections: Gauge,
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
            jobs: Family::default(),
            jobs_in_flight: Gauge::default(),
            queue_paused: Family::default(),
            workers: Gauge::default(),
            dead_letters: Gauge::default(),
            deaf_workers: Gauge::default(),
            disk_free: Gauge::default(),
            event_streams: Gauge::default(),
            connections: Gauge::default(),
            slow_clients: Counter::default(),
        }
    }
}

impl Metrics {
    /// The text that `/metrics` answers with.
    pub fn encode(&self) -> String {
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
        registry.register("jobs", "Open jobs by queue and state", self.jobs.clone());
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
        registry.register("event_streams", "Clients that listen to events at present", self.event_streams.clone());
        registry.register("http_connections", "Open connections", self.connections.clone());
        registry.register(
            "http_slow_clients",
            "Uploads and connections cut off because their client did not go on",
            self.slow_clients.clone(),
        );
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("a String takes everything");
        text
    }
}

fn seconds() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0])
}
