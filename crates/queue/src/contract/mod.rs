//! The contract's words, by subject. Both backends take and give these.

mod claim;
mod class;
mod enqueue;
mod error;
mod events;
mod id;
mod listing;
mod lists;
mod records;
mod run;
mod settle;
mod state;

pub use claim::{Claim, ClaimRequest, ClaimedJob, Lease};
pub use class::Class;
pub use enqueue::{Key, NewGroup, NewJob, On, Reservation, Then};
pub use error::{Error, Result};
pub use events::{Event, EventKind};
pub use id::{GroupId, JobId};
pub(crate) use listing::{FEW, LOOKS};
pub use listing::{JobFilter, Page, Period, Place};
pub use lists::{Index, Listed, QueueDepth, WorkerEntry};
pub use records::{Group, GroupResult, Job};
pub use run::Run;
pub use settle::{Beat, Settled, Settlement, Stage, Verdict};
pub use state::State;
