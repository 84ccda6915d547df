//! The job queue: what it promises, over SQLite or Redis.
//!
//! A backend makes atomic moves between states and nothing else. Every number (backoff, attempts, lease) is a pure function in
//! [`policy`], and payloads and results are opaque bytes. Promised: an acknowledged job reaches exactly one terminal state, an
//! attempt that lost its lease changes nothing, and a group's counters equal the truth at every instant.
//!
//! [`Broker`] is the whole contract, and `contract/` has its words, by subject. `tests/it/broker` of the package `pixmill`
//! holds both backends to it.

mod broker;
mod check;
mod clock;
mod contract;
pub mod policy;
mod redis;
mod relief;
mod sqlite;

pub use broker::Broker;
pub use clock::Clock;
pub use contract::*;
pub use policy::{LINE_HEAD, MAIL_MEMORY, Policy};
pub use relief::Relief;
pub use sqlite::Look;

use policy::CHUNK;
#[cfg(test)]
use relief::no_relief;
