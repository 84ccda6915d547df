//! The job queue: one contract over SQLite and over Redis.
//!
//! The broker promises: an acknowledged job reaches exactly one terminal state; an attempt whose lease was lost changes
//! nothing; a group's counters are exact at every instant. A backend makes atomic moves between states and decides nothing
//! else: backoff, attempts and leases are pure functions in [`policy`], and payloads and results are opaque bytes.
//!
//! The modules below are in reading order, and each imports only those after it.

mod broker;
mod redis;
mod sqlite;

mod contract;
mod error;

pub mod policy;

mod class;
mod clock;
mod id;
mod run;
mod state;

pub use broker::Broker;
pub use class::Class;
pub use clock::Clock;
pub use contract::{
    Beat, Claim, ClaimRequest, ClaimedJob, Event, EventKind, Group, GroupResult, IdempotencyKey, Index, Job, JobFilter,
    LINE_HEAD, Lease, ListPosition, Listed, MAIL_MEMORY, NewGroup, NewJob, On, Page, Period, QueueDepth, Reservation,
    Settled, Settlement, Stage, Then, Verdict, Worker,
};
pub use error::{Error, Result};
pub use id::{GroupId, JobId};
pub use policy::Policy;
pub use run::Run;
pub use sqlite::{MakeRoom, ReadOnlyQueue};
pub use state::State;
