//! The HTTP server. `router.rs` is the table of its routes.
//!
//! Handlers are extract → one call → response. Every error, also of the framework, is an `application/problem+json` document.

mod access;
mod answers;
mod base;
mod bulk;
mod events;
mod files;
mod groups;
mod lists;
mod monitoring;
mod openapi;
mod operation;
mod pages;
mod problem;
mod queues;
mod request;
mod router;
mod schedules;
mod server;
mod submissions;
mod workers;
mod workflows;

use std::sync::Arc;

use axum::extract::State;
use jiff::Timestamp;
use queue::Broker;
use serde_json::Value;

use crate::config;
use crate::metrics::Metrics;
use crate::schedules::{Shelf, Sweep};
use crate::sources::Places;
use crate::storage::Storage;
use crate::workflows::Engine;

pub use access::{Access, Links};
pub use events::Feed;
pub use monitoring::{Readiness, Role};
pub use router::document as openapi;
pub use server::{App, Bounds, serve};

/// What the handlers work with.
pub struct Services {
    pub broker: Broker,
    pub storage: Storage,
    pub limits: config::Limits,
    pub queue: config::Queue,
    pub retention: config::Retention,
    pub presets: config::Presets,
    pub workflows: Arc<Engine>,
    pub sources: Places,
    pub schedules: Shelf,
    /// The schedules of the service itself.
    pub sweeps: Vec<Sweep>,
    pub access: Access,
    pub cors_origins: Vec<String>,
    pub links: Links,
    pub metrics: Metrics,
    pub feed: Feed,
    pub readiness: Readiness,
    /// The OpenAPI document, without the address of this service.
    pub openapi: Value,
    pub started_at: Timestamp,
}

#[cfg(test)]
impl Services {
    /// With the default settings and a store in `home`.
    fn of_a_test(broker: Broker, home: &std::path::Path) -> Self {
        let config = config::Config::load(None, vec![]).expect("the defaults are valid");
        let limits = config.limits.clone();
        let storage = Storage::local(home).expect("the folder is there");
        let access = Access::open(&config.server, &config.auth, &limits, &storage).expect("the folder is empty");
        let settings = crate::schedules::Settings {
            queue: config.queue.clone(),
            retention: config.retention.clone(),
            presets: config.presets().expect("the defaults are valid"),
            limits: limits.clone(),
        };
        Self {
            schedules: Shelf::new(storage.clone(), settings, &config.schedules).expect("the defaults are valid"),
            sweeps: Sweep::all(&config.retention, &config.queue),
            feed: Feed::new(broker.clone(), tokio_util::sync::CancellationToken::new()),
            broker,
            storage,
            presets: config.presets().expect("the defaults are valid"),
            workflows: Arc::new(Engine::of_a_test(&config)),
            limits,
            queue: config.queue,
            retention: config.retention,
            sources: Places::default(),
            access,
            cors_origins: Vec::new(),
            links: Links::new(&[7; 32], config.server.link_lifetime),
            metrics: Metrics::default(),
            readiness: Readiness::of(Role::Service),
            openapi: Value::Null,
            started_at: Timestamp::now(),
        }
    }
}

type Shared = State<Arc<Services>>;

/// What a worker answers on `worker.listen`: health, readiness and metrics.
pub fn worker_app(services: Services) -> impl App {
    let services = Arc::new(services);
    server::around(router::build(router::of_worker(), &services), services)
}

/// What the service answers.
pub fn app(services: Services) -> impl App {
    let services = Arc::new(services);
    server::around(router::build(router::of_service(&services.limits), &services), services)
}
