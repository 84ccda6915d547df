//! One binary for every integration test: real servers, real files, no mocks.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(unreachable_pub, reason = "everything here is for this binary alone")]

mod broker;
mod calls;
mod chaos;
mod cli;
mod docs_sources;
mod faults;
mod http;
mod maintenance;
mod schedules;
mod sources;
mod support;
