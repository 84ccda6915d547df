//! pixmill: an image-processing service with an internal job queue.
//!
//! The modules in reading order; each imports only from those below it.

// The schemas of the OpenAPI document are long literals of JSON.
#![recursion_limit = "256"]

pub mod cli;

pub mod app;

pub mod http;
pub mod worker;

pub mod schedules;

pub mod maintenance;

pub mod workflows;

pub mod submission;

pub mod auth;

pub mod config;

pub mod kinds;
pub mod probe;
pub mod sources;

pub mod net;

pub mod job;
pub mod storage;

pub mod errors;

pub mod descriptors;

pub mod metrics;
pub mod process;

pub mod duration;
pub mod fold;

pub mod assets;
