//! `GET /docs`: the OpenAPI document for people. The page needs no other request and no internet. Its script, which can be done
//! without, sends the requests that the page describes.

mod curl;
mod description;
mod reference;
mod schema;
mod trying;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use crate::http::Shared;
use crate::http::operation::{Operation, ok_as};

pub(in crate::http) async fn reference(State(services): Shared, request: Request) -> Response {
    let address = services.access.address(&request.into_parts().0);
    reference::page(&services.openapi, &address).into_response()
}

pub(in crate::http) fn reference_docs() -> Operation {
    let about = "This document, for people.";
    Operation::new("docs", "documentation", about, ok_as(about, &["text/html"]))
}
