//! The job queue: one contract over SQLite and over Redis.
//!
//! The broker promises: an acknowledged job reaches exactly one terminal state; an attempt whose lease was lost changes
//! nothing; a group's counters are exact at every instant. A backend makes atomic moves between states and decides
//! nothing else: backoff, attempts and leases are pure functions in [`policy`], and payloads and results are opaque
//! bytes.
//!
//! | word | meaning |
//! |---|---|
//! | line | the waiting jobs of one queue, class and priority; a job's *place* is its position in the line |
//! | claim | takes jobs out of their lines and gives a lease on each |
//! | lease | the right to one attempt, until it expires; its *token* names it |
//! | run | the output folder of one claim |
//! | stall | the death of a process, or an expired lease, while a job ran alone |
//! | held | delayed until another job of the group has succeeded |
//! | sealed | said of a group to which no jobs can be added |
//! | cursor | a named value that moves only from the value that its mover has seen, with the work that the move brings |
//! | position | where a page of a list ends and the next one begins |
//! | letter | a message in the mailbox of a worker, or of a program that asks workers |
//! | chunk | the jobs, leases or settlements of one transition, at most 1,000 |
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
    Advance, Advanced, Beat, CURSOR_NOTES, Claim, ClaimRequest, ClaimedJob, Cursor, Event, EventKind, Group,
    GroupFilter, GroupResult, IdempotencyKey, Job, JobFilter, JobList, LINE_HEAD, Lease, ListPosition, ListedJob,
    MAIL_MEMORY, NewGroup, NewJob, On, Page, Period, QueueDepth, Reservation, Settled, Settlement, Stage, Then,
    Verdict, Worker,
};
pub use error::{Error, Result};
pub use id::{GroupId, JobId};
pub use policy::Policy;
pub use run::Run;
pub use sqlite::{MakeRoom, ReadOnlyQueue};
pub use state::State;
