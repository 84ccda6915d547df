//! What operators' tools ask: alive, ready, and the numbers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Problem, Services};
use crate::metrics::DepthLabels;

/// The process runs; nothing else is asked.
pub(super) async fn alive() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// Uploads would be taken: the broker answers and the disk has room.
pub(super) async fn ready(State(services): State<Arc<Services>>) -> Result<Json<Value>, Problem> {
    services.broker.ping().await?;
    let (free, least) = (services.storage.free_share()?, services.limits.min_free_disk);
    if free < least {
        let detail =
            format!("{:.1} % of the disk is free, limits.min_free_disk is {:.1} %.", free * 100.0, least * 100.0);
        return Err(Problem::unavailable("storage-full", detail, 60));
    }
    Ok(Json(json!({"status": "ready", "broker": services.broker.to_string()})))
}

pub(super) async fn metrics(State(services): State<Arc<Services>>) -> Result<Response, Problem> {
    let metrics = &services.metrics;
    metrics.disk_free.set(services.storage.free_share()?);
    // Without the broker the rest is still worth telling; stale depths are not.
    metrics.jobs.clear();
    for depth in services.broker.depths().await.unwrap_or_default() {
        for (state, jobs) in [("waiting", depth.waiting), ("delayed", depth.delayed), ("active", depth.active)] {
            metrics.jobs.get_or_create(&DepthLabels { queue: depth.queue.clone(), state }).set(jobs as i64);
        }
    }
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, media_type)], metrics.encode()).into_response())
}
