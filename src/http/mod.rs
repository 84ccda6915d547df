//! The HTTP server: a table of contents, and what every request passes through.
//!
//! Handlers are extract → one call → response. Every error, the framework's own included, is an
//! `application/problem+json` document.

mod access;
mod archive;
mod base;
mod bodies;
mod conditional;
mod disposition;
mod docs;
mod events;
mod files;
mod form;
mod groups;
mod health;
mod held;
mod home;
mod linger;
mod links;
mod listen;
mod lists;
mod manners;
mod openapi;
mod operation;
mod pace;
mod page;
mod problem;
mod query;
mod queues;
mod readiness;
mod request_id;
mod router;
mod sources;
mod stats;
mod uploads;
mod workers;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{self, StatusCode, Version, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use queue::Broker;
use serde_json::Value;
use tower::util::{MapRequestLayer, MapResponseLayer};
use tower::{BoxError, Layer, Service};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::TraceLayer;
use tracing::{debug, field, info, info_span};

use crate::config;
use crate::metrics::{Metrics, RequestLabels, RouteLabels};
use crate::storage::Storage;
use crate::submission::Places;

pub use access::Access;
pub use events::Feed;
use held::Held;
pub use links::Links;
pub use listen::{Bounds, serve};
use problem::{Problem, UrlPath};
pub use readiness::{Readiness, Role};
use router::Route;
pub use router::document as openapi;

/// What the handlers work with.
pub struct Services {
    pub broker: Broker,
    pub storage: Storage,
    pub limits: config::Limits,
    pub queue: config::Queue,
    pub retention: config::Retention,
    pub presets: config::Presets,
    pub sources: Places,
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
        Self {
            feed: Feed::new(broker.clone(), tokio_util::sync::CancellationToken::new()),
            broker,
            storage,
            presets: config.presets().expect("the defaults are valid"),
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

/// The route of paths where nothing is.
const UNMATCHED: &str = "unmatched";

/// What answers requests, whole.
pub trait App:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> App for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

/// What a worker answers on `worker.listen`: whether it is well, and its numbers.
pub fn worker_app(services: Services) -> impl App {
    around(router::of_worker(), services)
}

/// What the service answers.
pub fn app(services: Services) -> impl App {
    around(router::of_service(&services.limits), services)
}

/// The routes with what every request passes through.
fn around(routes: Vec<Route>, services: Services) -> impl App {
    let services = Arc::new(services);
    let cors = access::cors(&services.cors_origins);
    let routes = router::build(routes, &services)
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer((
            manners::compression(),
            CatchPanicLayer::custom(problem::panicked),
            // Uploads are bounded by limits.max_request_bytes as they stream.
            DefaultBodyLimit::disable(),
            middleware::from_fn_with_state(services.clone(), attend),
        ));
    // Around all of it: a page elsewhere may read its errors, too.
    let routes = match cors {
        Some(cors) => routes.layer(cors),
        None => routes,
    };
    let trace = TraceLayer::new_for_http().make_span_with(|request: &Request| {
        let id = request_id::of(request.headers()).unwrap_or_default();
        info_span!("request", id, method = %request.method(), path = request.uri().path(), key = field::Empty)
    });
    // Wraps the router instead of using `Router::layer`, because axum copies layers for each request. The first is the
    // outermost.
    let around = (
        MapResponseLayer::new(response_of),
        MapRequestLayer::new(request_id::vet),
        SetRequestIdLayer::x_request_id(request_id::Fresh),
        trace,
        PropagateRequestIdLayer::x_request_id(),
        MapResponseLayer::new(manners::dress),
    );
    base::Under::new(services.clone(), around.layer(routes.with_state(services)))
}

/// Of one type, whatever has wrapped the body.
fn response_of<B>(response: http::Response<B>) -> Response
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    response.map(Body::new)
}

/// Counts a request and the time that its answer took, and takes what is left of it after a refusal.
async fn attend(State(services): Shared, request: Request, next: Next) -> Response {
    linger::linger(request, |request| measure(&services.metrics, request, next)).await
}

/// Refuses requests without exactly one `Host` (RFC 9112, 3.2), and heads that the budget has no room for.
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
        held.add(lines as u64).map_err(pace::no_room)?;
    }
    Ok(())
}

/// Logs a line for each request; the span around it has the key's name. Probes are frequent, and logged at debug.
fn tell_of(route: &str, status: StatusCode, took: Duration) {
    let (status, ms) = (status.as_u16(), took.as_millis() as u64);
    if matches!(route, "/healthz" | "/readyz" | "/metrics") {
        debug!(status, ms, "answered {status} in {ms} ms");
    } else {
        info!(status, ms, "answered {status} in {ms} ms");
    }
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
    tell_of(&route, status, took);
    let seconds = took.as_secs_f64();
    metrics.request_seconds.get_or_create(&RouteLabels { route: route.clone() }).observe(seconds);
    let method = if route == UNMATCHED { "any".into() } else { method };
    metrics.requests.get_or_create(&RequestLabels { method, route, status: response.status().as_u16() }).inc();
    response
}
