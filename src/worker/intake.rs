//! Decides when and how much a worker claims, separately for each class of jobs.

use std::future::pending;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use queue::{Broker, Claim, Class};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::lanes::{RETRY_PAUSE, Wanted};

/// Longest wait for work between two claims. Each claim also recovers jobs with expired leases.
pub(super) const POLL: Duration = Duration::from_secs(5);

pub(super) struct Intake {
    class: Class,
    queues: Vec<String>,
    slots: watch::Receiver<usize>,
    /// Number of jobs claimed ahead of their turn.
    ahead: usize,
    /// Claimed jobs that were not yet given to a lane to be settled.
    open: usize,
    /// Number of jobs that the running claims ask for.
    asked: usize,
    claims: usize,
    /// Whether the last claim returned as many jobs as it asked for, so there may be more.
    more: bool,
    /// Time of the next claim at the latest, if there is room.
    due: Instant,
    /// Set while nothing is to be claimed.
    held: bool,
    /// Set after a wake-up that has to be answered by a claim.
    woken: bool,
    /// The wait for work. It is kept between turns, because dropping it would cost its connection.
    wake: Option<BoxFuture<'static, ()>>,
}

impl Intake {
    pub(super) fn new(class: Class, queues: Vec<String>, slots: watch::Receiver<usize>, ahead: usize) -> Self {
        let due = Instant::now();
        Self {
            class,
            queues,
            slots,
            ahead,
            open: 0,
            asked: 0,
            claims: 0,
            more: true,
            due,
            held: false,
            woken: false,
            wake: None,
        }
    }

    pub(super) fn slots(&self) -> usize {
        *self.slots.borrow()
    }

    pub(super) fn open(&self) -> usize {
        self.open
    }

    pub(super) fn opened(&mut self) {
        self.open += 1;
    }

    pub(super) fn closed(&mut self) {
        self.open -= 1;
    }

    /// Number of jobs that may still be asked for.
    pub(super) fn free(&self) -> usize {
        match self.slots() {
            _ if self.held => 0,
            0 => 0,
            slots => (slots + self.ahead).saturating_sub(self.open + self.asked),
        }
    }

    /// Sets whether claims are suspended.
    pub(super) fn hold(&mut self, held: bool) {
        if std::mem::replace(&mut self.held, held) && !held {
            self.more = true;
        }
    }

    /// Whether to claim now, even without results to send. After a wake-up also without room, because the claim passes
    /// the wake-up on.
    pub(super) fn is_due(&self) -> bool {
        self.claims == 0 && (self.woken || self.free() > 0 && (self.more || self.due <= Instant::now()))
    }

    /// The time of the next claim.
    pub(super) fn due(&self) -> Option<Instant> {
        (self.claims == 0 && self.free() > 0).then_some(self.due)
    }

    pub(super) fn ask(&mut self) -> Wanted {
        let limit = self.free();
        self.asked += limit;
        self.claims += 1;
        self.woken = false;
        Wanted { queues: self.queues.clone(), class: self.class, limit }
    }

    pub(super) fn answered(&mut self, limit: usize, claim: &Claim) {
        self.asked -= limit;
        self.claims -= 1;
        self.more = limit > 0 && claim.jobs.len() >= limit;
        self.due = Instant::now() + claim.next_due.map_or(POLL, |due| due.min(POLL));
    }

    /// Begins to wait for work, if there is room and no sign of waiting jobs.
    pub(super) fn watch(&mut self, broker: &Broker) {
        if self.wake.is_some() || self.claims > 0 || self.more || self.free() == 0 {
            return;
        }
        let (broker, queues, class) = (broker.clone(), self.queues.clone(), self.class);
        let wait = async move {
            if let Err(error) = broker.wait(&queues, class, POLL).await {
                debug!("cannot wait for work: {error}");
                sleep(RETRY_PAUSE).await;
            }
        };
        self.wake = Some(wait.boxed());
    }

    /// Returns when there may be work, or when the number of slots has changed.
    pub(super) async fn stirred(&mut self) {
        let woken = async {
            match &mut self.wake {
                Some(wake) => wake.await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = woken => {
                self.wake = None;
                self.woken = true;
            }
            Ok(()) = self.slots.changed() => self.more = true,
            else => pending().await,
        }
    }

    /// Stops waiting for work.
    pub(super) fn shut(&mut self) {
        self.wake = None;
    }
}
