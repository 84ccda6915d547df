//! What happens before and after every handler: requests that are not well-formed are refused, answers are counted and logged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{debug, info};

use super::budget::Held;
use super::drain;
use super::request_body::no_room;
use crate::http::Shared;
use crate::http::problem::Problem;
use crate::metrics::{Metrics, RequestLabels, RouteLabels};

/// The metrics' label for paths without a route.
pub(super) const UNMATCHED: &str = "unmatched";

/// Answers a request. It is counted with the time that this took; after a refusal the rest of its body is drained.
pub(super) async fn attend(State(services): Shared, request: Request, next: Next) -> Response {
    drain::answer(request, |request| measure(&services.metrics, request, next)).await
}

async fn measure(metrics: &Metrics, request: Request, next: Next) -> Response {
    // Unknown paths share one label, or anyone could fill the registry.
    let route = request.extensions().get::<MatchedPath>().map_or(UNMATCHED, MatchedPath::as_str).to_owned();
    let method = request.method().as_str().to_owned();
    let started = Instant::now();
    let refused = admitted(&request).err();
    let response = match refused {
        None => next.run(request).await,
        Some(problem) => problem.into_response(),
    };
    let (took, status) = (started.elapsed(), response.status());
    log(&route, status, took);
    let seconds = took.as_secs_f64();
    metrics.request_seconds.get_or_create(&RouteLabels { route: route.clone() }).observe(seconds);
    let method = if route == UNMATCHED { "any".into() } else { method };
    metrics.requests.get_or_create(&RequestLabels { method, route, status: response.status().as_u16() }).inc();
    response
}

/// Refuses requests without exactly one `Host` (RFC 9112, 3.2), and heads that the memory budget has no room for.
fn admitted(request: &Request) -> Result<(), Problem> {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if hosts > 1 {
        return Err(Problem::bad_request("malformed-request", format!("The request has {hosts} `Host` lines.")));
    }
    if hosts == 0 && request.version() == Version::HTTP_11 && request.uri().authority().is_none() {
        return Err(Problem::bad_request("malformed-request", "The request has no `Host` line, which HTTP/1.1 wants."));
    }
    // HTTP/1 heads are counted as they come.
    if request.version() == Version::HTTP_2
        && let Some(held) = request.extensions().get::<Arc<Held>>()
    {
        let lines = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
        held.add(lines as u64).map_err(no_room)?;
    }
    Ok(())
}

/// Logs a line for each request; the span around it has the key's name. Probes are frequent, and logged at debug.
fn log(route: &str, status: StatusCode, took: Duration) {
    let (status, ms) = (status.as_u16(), took.as_millis() as u64);
    if matches!(route, "/healthz" | "/readyz" | "/metrics") {
        debug!(status, ms, "answered {status} in {ms} ms");
    } else {
        info!(status, ms, "answered {status} in {ms} ms");
    }
}
