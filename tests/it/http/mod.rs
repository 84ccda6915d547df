//! What a client of the HTTP API may rely on, shown with the real program over real connections.

mod access;
mod archive;
mod cancelling;
mod clients;
mod connections;
mod contract;
mod docs;
mod erasing;
mod events;
mod files;
mod forms;
mod keys;
mod links;
mod lists;
mod manners;
mod oddities;
mod openapi;
mod operations;
mod pictures;
mod retries;
mod routing;
mod sources;
mod steering;
mod submitting;
mod telemetry;
