//! Workflows: documents of steps that come after each other, checked whole before anything is stored.
//!
//! [`Document`] is the parsed document and [`Step`] a step of it. [`mod@reference`] resolves what steps take from the input and from
//! earlier steps. [`outcome`] decides by what has ended which steps begin, which are skipped, and how the workflow ends.
//! [`drawing`] shows the graph in text. Only [`engine`] reads and writes the queue and the store.

pub mod document;
pub mod drawing;
pub mod engine;
mod fields;
mod graph;
pub mod outcome;
pub mod reference;
mod rules;
mod steps;
#[cfg(test)]
mod tests;
mod values;

pub use document::{Document, Templates, group_of};
pub use engine::Engine;
pub use rules::{Refusal, Rules, Settings};
pub use steps::{CallFields, Concurrency, Fan, Limit, On, Operations, Step, Work};
