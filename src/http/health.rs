//! What operators' tools ask: alive, ready, and the numbers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Problem, Services};
use crate::metrics::{DepthLabels, QueueLabels};
use crate::queue::{self, Broker, Index};

/// Dead letters are counted by listing them, so not without end.
pub(super) const DEAD_COUNTED: usize = 1_000;

/// The process runs; nothing else is asked.
pub(super) async fn alive() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// Uploads would be taken and worked on: the broker answers, the disk has room, the workers here claim what waits.
pub(super) async fn ready(State(services): State<Arc<Services>>) -> Result<Json<Value>, Problem> {
    takes_work(&services).await?;
    if services.metrics.deaf_workers.get() > 0 {
        return Err(Problem::unavailable("worker-deaf", "Jobs wait, and the workers here claim none.", 5));
    }
    Ok(Json(json!({"status": "ready", "broker": services.broker.to_string()})))
}

/// The broker answers, and the disk has room: on a nearly full one what is queued can still be finished.
pub(super) async fn takes_work(services: &Services) -> Result<(), Problem> {
    services.broker.ping().await?;
    let (free, least) = (services.storage.free_share()?, services.limits.min_free_disk);
    if free >= least {
        return Ok(());
    }
    let detail = format!(
        "Only {:.1} % of the disk is free; uploads are taken above {:.1} % (limits.min_free_disk).",
        free * 100.0,
        least * 100.0
    );
    Err(Problem::unavailable("storage-full", detail, 60))
}

/// At most [`DEAD_COUNTED`].
pub(super) async fn dead_letters(broker: &Broker) -> queue::Result<usize> {
    broker.list(Index::Dead, 0, DEAD_COUNTED).await.map(|dead| dead.len())
}

pub(super) async fn metrics(State(services): State<Arc<Services>>) -> Result<Response, Problem> {
    let metrics = &services.metrics;
    metrics.disk_free.set(services.storage.free_share()?);
    // Without the broker the rest is still worth telling; stale numbers of the queue are not.
    metrics.jobs.clear();
    metrics.queue_paused.clear();
    let broker = &services.broker;
    let (depths, workers, dead) = tokio::join!(broker.depths(), broker.workers(), dead_letters(broker));
    metrics.workers.set(workers.map_or(f64::NAN, |workers| workers.len() as f64));
    metrics.dead_letters.set(dead.map_or(f64::NAN, |dead| dead as f64));
    for depth in depths.unwrap_or_default() {
        let queue = QueueLabels { queue: depth.queue.clone() };
        metrics.queue_paused.get_or_create(&queue).set(depth.paused.into());
        for (state, jobs) in [("waiting", depth.waiting), ("delayed", depth.delayed), ("active", depth.active)] {
            metrics.jobs.get_or_create(&DepthLabels { queue: depth.queue.clone(), state }).set(jobs as i64);
        }
    }
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, media_type)], metrics.encode()).into_response())
}
