//! What a worker does while its disk or its process lacks something. It begins no picture while the disk is short of
//! space, and releases attempts that failed for a lack, so that they do not count.

use std::time::Duration;

use queue::{Class, policy};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::super::attempt::Attempt;
use super::Shift;
use crate::errors::{Failure, Lacking};

/// How long a look at the disk is valid.
const LOOK: Duration = Duration::from_millis(250);
/// How long nothing begins after an attempt that lacked something.
const BREATH: Duration = Duration::from_secs(1);
/// Least space that a file takes, because of whole blocks.
const LEAST: u64 = 4 << 10;

/// The reasons for which a worker begins no work.
#[derive(Default)]
pub(super) struct Lacks {
    /// The disk has less space than new work needs.
    short: bool,
    looked: Option<Instant>,
    /// Nothing begins before this time.
    breath: Option<Instant>,
}

impl Lacks {
    fn holds(&self, class: Class) -> bool {
        // Jobs of class io may be those that make space.
        self.breath.is_some() || self.short && class == Class::Cpu
    }
}

impl Shift {
    /// Checks whether new work may begin, and suspends the claims of classes that may not.
    pub(super) fn look_for_lacks(&mut self) {
        let now = Instant::now();
        self.lacks.breath = self.lacks.breath.filter(|&until| until > now);
        if self.lacks.looked.is_none_or(|looked| now >= looked + LOOK) {
            self.lacks.looked = Some(now);
            self.look_at_the_disk();
        }
        let [cpu, io] = [Class::Cpu, Class::Io].map(|class| self.lacks.holds(class));
        self.cpu.hold(cpu);
        self.io.hold(io);
        self.controls.hold(cpu || io);
    }

    fn look_at_the_disk(&mut self) {
        // If the disk cannot be asked, the picture is tried anyway.
        let Ok(space) = self.storage.space() else { return };
        let short = space.is_short();
        if short != std::mem::replace(&mut self.lacks.short, short) {
            if short {
                warn!("no picture is begun until the disk has room: {space}");
            } else {
                info!("pictures are begun again: {space}");
            }
        }
    }

    /// Whether a picture may begin.
    pub(super) fn may_begin(&self) -> bool {
        !self.lacks.holds(Class::Cpu)
    }

    /// Time of the next look, if one is needed.
    pub(super) fn lacks_until(&self) -> Option<Instant> {
        let look = self.lacks.looked.filter(|_| self.lacks.short).map(|looked| looked + LOOK);
        self.lacks.breath.into_iter().chain(look).min()
    }

    /// Whether an attempt failed for a lack that is not due to the picture's own size.
    pub(super) fn is_blameless(&self, failure: &Failure) -> bool {
        match failure.lacking {
            None => false,
            Some(Lacking::Means | Lacking::Turn) => true,
            // What the attempt wrote has been removed by now. Where the rest of the disk has room, and not enough for
            // this, the picture is too large for it.
            Some(Lacking::Room(bytes)) => {
                self.storage.space().is_ok_and(|space| space.is_full() || space.free >= bytes.max(LEAST))
            }
        }
    }

    /// Releases an attempt that failed for a lack. The pause before the next try grows with the number of such
    /// failures.
    pub(super) fn give_back(&mut self, attempt: Attempt, failure: &Failure) {
        // Who waits for a turn says nothing of other work.
        let lacks_turn = failure.lacking == Some(Lacking::Turn);
        if !lacks_turn {
            self.lacks.breath = Some(Instant::now() + BREATH);
        }
        let lease = attempt.lease().clone();
        let policy = &self.settings.policy;
        let times = lease.claims().saturating_sub(attempt.job.attempt) + 1;
        let after = policy.backoff_base + policy::backoff(policy, times, fastrand::f64());
        let (id, code, detail) = (lease.job, &failure.code, &failure.detail);
        let request = attempt.request_id.as_deref();
        if lacks_turn {
            debug!(job.id = %id, request.id = request, "job {id} is given back for {after:.1?}: {detail}");
        } else {
            warn!(job.id = %id, request.id = request, %code, "job {id} is given back, and begun again in {after:.1?} at the earliest: {code}: {detail}");
        }
        self.count("released", &attempt.job.kind);
        self.give_up(attempt);
        self.release(vec![lease], Some(after));
    }
}
