//! pixmill: an image-processing service with an internal job queue.
//!
//! The modules in reading order, each importing only from those below it.

pub mod cli;
pub mod config;
pub mod imaging;
pub mod job;
pub mod metrics;
pub mod worker;

pub mod queue;
pub mod storage;
