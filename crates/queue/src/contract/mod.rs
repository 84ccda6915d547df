//! The types of the queue's calls, by subject. They know no backend; the calls themselves are methods of
//! [`Broker`](crate::Broker).

mod cursors;
mod enqueue;
mod events;
mod idempotency;
mod leases;
mod lists;
mod status;
mod workers;

pub use cursors::{Advance, Advanced, CURSOR_NOTES, Cursor};
pub use enqueue::{NewGroup, NewJob, On, Then};
pub use events::{Event, EventKind};
pub use idempotency::{IdempotencyKey, Reservation};
pub use leases::{Beat, Claim, ClaimRequest, ClaimedJob, Lease, Settled, Settlement, Stage, Verdict};
pub use lists::{GroupFilter, JobFilter, JobList, ListPosition, ListedJob, Page, Period};
pub(crate) use lists::{SCAN_LIMIT, SORT_LIMIT};
pub use status::{Group, GroupResult, Job, LINE_HEAD, QueueDepth};
pub use workers::{MAIL_MEMORY, Worker};

/// Largest number of jobs, leases or settlements in one transition. The backend serves no other call during a
/// transition.
pub(crate) const CHUNK: usize = 1_000;
