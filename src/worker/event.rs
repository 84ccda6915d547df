//! Events that a shift's loop receives over a channel.

use queue::Lease;

use super::attempt::{Attempt, Stop, Yield};
use super::execute::Outcome;
use crate::errors::Failure;
use crate::storage::{self, LocalFile};

/// An event from a child, a task or the heartbeat.
pub(super) enum Event {
    /// The original of a waiting picture is on this machine, or could not be fetched.
    Fetched(Lease, storage::Result<LocalFile>),
    /// A child has begun a picture.
    Started {
        run: u64,
    },
    Computed {
        run: u64,
        outcome: Outcome,
    },
    Died {
        child: u64,
        how: String,
    },
    /// A picture's outputs are durable, or could not be made durable.
    Published(Box<Attempt>, Result<Yield, Failure>),
    /// The work of an io job has ended.
    CarriedOut {
        run: u64,
        outcome: Result<Yield, Failure>,
    },
    /// The broker has told the heartbeat to end an attempt.
    Stop(Lease, Stop),
}
