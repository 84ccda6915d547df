//! Whether the process runs, and its metrics. [`readiness`](super::readiness) has whether it is ready.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use queue::{Broker, JobList};
use serde_json::{Value, json};

use crate::http::Services;
use crate::http::operation::{Operation, ok_as};
use crate::http::problem::Problem;
use crate::metrics::{DepthLabels, Format, QueueLabels};

/// Most dead letters that are counted, because counting means listing them.
pub(in crate::http) const DEAD_COUNTED: usize = 1_000;

/// The process runs. Nothing else is checked.
pub(in crate::http) async fn alive() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

pub(in crate::http) fn alive_docs() -> Operation {
    let about = "Whether the process runs.";
    Operation::new("alive", "operations", about, ok_as(about, &["application/json"]))
}

/// The number of dead letters, at most [`DEAD_COUNTED`].
pub(in crate::http) async fn dead_letters(broker: &Broker) -> queue::Result<usize> {
    broker.list(JobList::Dead, 0, DEAD_COUNTED).await.map(|dead| dead.len())
}

pub(in crate::http) async fn metrics(
    State(services): State<Arc<Services>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let metrics = &services.metrics;
    let space = services.storage.space()?;
    metrics.disk_free.set(space.free_share());
    metrics.disk_short.set(space.is_short().into());
    metrics.ballast.set(space.ballast as i64);
    // Without the broker the other metrics are still useful; old numbers of the queue are not.
    metrics.jobs.clear();
    metrics.queue_paused.clear();
    metrics.oldest_waiting.clear();
    let broker = &services.broker;
    let (depths, workers, dead, oldest) =
        tokio::join!(broker.depths(), broker.workers(), dead_letters(broker), broker.oldest_waiting());
    let oldest = oldest.unwrap_or_default();
    metrics.workers.set(workers.map_or(f64::NAN, |workers| workers.len() as f64));
    metrics.dead_letters.set(dead.map_or(f64::NAN, |dead| dead as f64));
    for depth in depths.unwrap_or_default() {
        let queue = QueueLabels { queue: depth.queue.clone() };
        metrics.queue_paused.get_or_create(&queue).set(depth.paused.into());
        let age = oldest.iter().find(|(name, _)| *name == depth.queue).map_or(Duration::ZERO, |(_, age)| *age);
        metrics.oldest_waiting.get_or_create(&queue).set(age.as_secs_f64());
        for (state, jobs) in [("waiting", depth.waiting), ("delayed", depth.delayed), ("active", depth.active)] {
            metrics.jobs.get_or_create(&DepthLabels { queue: depth.queue.clone(), state }).set(jobs as i64);
        }
    }
    let format = format(&headers);
    // The metrics of the process are read from files.
    let counted = metrics.clone();
    let text = tokio::task::spawn_blocking(move || counted.encode(format)).await.expect("encoding does not panic");
    let headers = [(header::CONTENT_TYPE, format.media_type()), (header::VARY, "accept")];
    Ok((headers, text).into_response())
}

pub(in crate::http) fn metrics_docs() -> Operation {
    let about = "Metrics, in OpenMetrics' text format or in Prometheus' own as `Accept` prefers.";
    let answer = ok_as(about, &["application/openmetrics-text", "text/plain"]);
    Operation::new("metrics", "operations", about, answer).problems(&["503"])
}

/// The format that `Accept` prefers; `OpenMetrics` if it prefers none.
fn format(headers: &HeaderMap) -> Format {
    let accepts: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|l| l.split(','))
        .collect();
    // The most specific range decides (RFC 9110, 12.5.1).
    let quality = |ranges: [&str; 3]| {
        let of = |range: &str| {
            accepts.iter().find_map(|accepted| {
                let mut parameters = accepted.split(';').map(str::trim);
                parameters.next().filter(|named| named.eq_ignore_ascii_case(range))?;
                let quality = parameters.find_map(|parameter| parameter.strip_prefix("q=")?.parse::<f32>().ok());
                Some(quality.unwrap_or(1.0))
            })
        };
        ranges.into_iter().find_map(of).unwrap_or(0.0)
    };
    let openmetrics = quality(["application/openmetrics-text", "application/*", "*/*"]);
    let prometheus = quality(["text/plain", "text/*", "*/*"]);
    if prometheus > openmetrics { Format::Prometheus } else { Format::OpenMetrics }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_come_in_the_format_that_is_asked_for() {
        let of = |accept: &'static str| {
            format(&HeaderMap::from_iter([(header::ACCEPT, axum::http::HeaderValue::from_static(accept))]))
        };
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for openmetrics in [prometheus, "*/*", "application/json", "text/html,*/*;q=0.8", "application/*, text/*;q=0.9"]
        {
            assert_eq!(of(openmetrics), Format::OpenMetrics, "{openmetrics}");
        }
        for text in [
            "text/plain",
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "TEXT/*",
            "application/openmetrics-text;q=0, */*",
        ] {
            assert_eq!(of(text), Format::Prometheus, "{text}");
        }
        assert_eq!(format(&HeaderMap::new()), Format::OpenMetrics);
    }
}
