//! What happens outside a shift's loop, sent to it over a channel.

use queue::Lease;

use super::attempt::{Attempt, Stop, Yield};
use super::execute::Outcome;
use crate::errors::Failure;
use crate::storage::{self, LocalFile};

/// What a shift learns from its children, its tasks and its heartbeat.
pub(super) enum Event {
    /// The original of a picture that waits is on this machine, or cannot be had.
    Fetched(Lease, storage::Result<LocalFile>),
    /// A child has begun with a picture.
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
    /// A picture's outputs are durable, or could not be made so.
    Published(Box<Attempt>, Result<Yield, Failure>),
    /// An io job has ended.
    CarriedOut {
        run: u64,
        outcome: Result<Yield, Failure>,
    },
    /// The broker told the heartbeat to end an attempt.
    Stop(Lease, Stop),
}
