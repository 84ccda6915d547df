//! Connections, and what every request passes through before and after its handler.

pub(super) mod bodies;
mod budget;
mod compression;
mod drain;
mod frame;
pub(super) mod headers;
mod listen;
mod measure;
mod request_body;
pub(super) mod request_id;
mod response_body;
mod socket;
mod traffic;

use std::convert::Infallible;

use axum::extract::Request;
use axum::response::Response;
use tower::Service;

pub(super) use budget::Held;
pub(super) use frame::around;
pub use listen::{Bounds, serve};
pub(super) use request_body::broken_off;

/// A whole application, which answers requests.
pub trait App:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> App for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}
