//! `GET /api/stats`: statistics of the service.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::http::answers::fresh;
use crate::http::monitoring::health::dead_letters;
use crate::http::operation::{Operation, ok};
use crate::http::problem::Problem;
use crate::http::request::Parameters;
use crate::http::{Services, queues};

pub(in crate::http) async fn stats(State(services): State<Arc<Services>>, uri: Uri) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    Ok(fresh(document(&services).await?))
}

pub(in crate::http) fn stats_docs() -> Operation {
    Operation::new("stats", "watching", "The service in few numbers.", ok("The numbers.", "Stats"))
        .problems(&["400", "503"])
}

pub(in crate::http) async fn document(services: &Services) -> Result<Value, Problem> {
    let Services { broker, storage, metrics, started_at, .. } = services;
    let (queues, workers, dead) = tokio::try_join!(queues::all(services), broker.workers(), dead_letters(broker))?;
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "broker": broker.to_string(),
        "started_at": started_at,
        "uptime_s": Timestamp::now().duration_since(*started_at).as_secs().max(0),
        "queues": queues,
        "dead_letters": dead,
        "workers": workers.len(),
        "disk_free": storage.space()?.free_share(),
        "images": {"accepted": metrics.images_accepted.get(), "rejected": metrics.images_rejected.get()},
    }))
}
