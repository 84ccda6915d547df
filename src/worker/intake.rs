//! The claiming side of a worker: one for each class of jobs.

use std::future::pending;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use queue::{Broker, Claim, Class};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::lanes::{RETRY_PAUSE, Wanted};

/// The longest wait for work between two claims, each of which also recovers what expired.
pub(super) const POLL: Duration = Duration::from_secs(5);

pub(super) struct Intake {
    class: Class,
    queues: Vec<String>,
    slots: watch::Receiver<usize>,
    /// Jobs claimed ahead of their turn.
    ahead: usize,
    /// Claimed, and not yet handed to a lane to be settled.
    open: usize,
    /// What claims under way have asked for.
    asked: usize,
    claims: usize,
    /// The last claim was answered in full, so there may be more.
    more: bool,
    /// When to claim at the latest, with room.
    due: Instant,
    /// Nothing is to be claimed for now.
    held: bool,
    /// A wake-up was taken that is to be answered by a claim.
    woken: bool,
    /// Kept from turn to turn: given up, it would cost its connection.
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

    /// Room for jobs that nobody has been asked for yet.
    pub(super) fn free(&self) -> usize {
        match self.slots() {
            _ if self.held => 0,
            0 => 0,
            slots => (slots + self.ahead).saturating_sub(self.open + self.asked),
        }
    }

    /// Claims nothing, or does again.
    pub(super) fn hold(&mut self, held: bool) {
        if std::mem::replace(&mut self.held, held) && !held {
            self.more = true;
        }
    }

    /// Whether it is time for a claim of its own. After a wake-up that is so without room too: the claim passes it on.
    pub(super) fn is_due(&self) -> bool {
        self.claims == 0 && (self.woken || self.free() > 0 && (self.more || self.due <= Instant::now()))
    }

    /// The next time that matters.
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

    /// Begins to wait for work, where there is room for it and nothing says that there is some.
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

    /// Returns when there may be work, or other room for it.
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

    /// Waits for no more work.
    pub(super) fn shut(&mut self) {
        self.wake = None;
    }
}
