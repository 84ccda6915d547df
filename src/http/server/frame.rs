//! What every request passes through, around the router.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{DefaultBodyLimit, Request};
use axum::http;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use tower::util::{MapRequestLayer, MapResponseLayer};
use tower::{BoxError, Layer};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::TraceLayer;
use tracing::{field, info_span};

use super::measure::attend;
use super::{App, compression, headers, request_id};
use crate::http::access::cors;
use crate::http::{Services, base, problem};

/// The application: these routes with what every request passes through.
pub(in crate::http) fn around(routes: Router<Arc<Services>>, services: Arc<Services>) -> impl App {
    let cors = cors(&services.cors_origins);
    let routes =
        routes.fallback(problem::no_such_route).method_not_allowed_fallback(problem::method_not_allowed).layer((
            compression::layer(),
            CatchPanicLayer::custom(problem::panicked),
            // Uploads are bounded by limits.max_request_bytes as they stream.
            DefaultBodyLimit::disable(),
            from_fn_with_state(services.clone(), attend),
        ));
    // Outside of the rest, so that pages of other origins may read errors, too.
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
        MapResponseLayer::new(headers::add_defaults),
    );
    base::Under::new(services.clone(), around.layer(routes.with_state(services)))
}

/// Gives the body one type, whatever has wrapped it.
fn response_of<B>(response: http::Response<B>) -> Response
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    response.map(Body::new)
}
