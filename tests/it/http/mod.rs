//! What a client of the HTTP API may rely on, shown with the real program over real connections.

mod access;
mod cancelling;
mod clients;
mod contract;
mod docs;
mod files;
mod forms;
mod keys;
mod oddities;
mod openapi;
mod operations;
mod pictures;
mod retries;
mod routing;
mod telemetry;
