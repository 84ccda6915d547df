//! What a client of the HTTP API may rely on, shown with the real program over real connections.

mod access;
mod contract;
mod files;
mod forms;
mod operations;
mod pictures;
mod telemetry;
