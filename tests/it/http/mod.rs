//! What a client of the HTTP API may rely on, shown with the real program over real connections.

mod access;
mod cancelling;
mod contract;
mod files;
mod forms;
mod keys;
mod login;
mod openapi;
mod operations;
mod pictures;
mod rates;
mod request_ids;
mod retries;
mod routing;
mod scopes;
mod telemetry;
