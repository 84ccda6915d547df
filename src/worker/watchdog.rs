//! Detects a deaf worker: jobs wait in its queues and it has free slots, but it claims nothing.

use queue::Broker;
use tokio::time::sleep;
use tracing::{info, warn};

use super::control::Controls;
use super::intake::POLL;
use crate::metrics::Metrics;

/// Looks every few seconds, over a connection other than the watched one. If two successive looks found waiting jobs
/// and the worker claimed none in between, it connects again, and counts as deaf until its next claim.
pub(super) async fn watch(watched: &Broker, broker: &Broker, controls: &Controls, metrics: &Metrics) {
    let mut before = Look::default();
    let mut deaf = false;
    loop {
        sleep(POLL).await;
        let Ok(depths) = broker.depths().await else { continue };
        let waiting = depths.iter().filter(|depth| !depth.paused && controls.takes_from(&depth.queue));
        let now = Look {
            claims: controls.claims(),
            idle: controls.is_idle(),
            waiting: waiting.map(|depth| depth.waiting).sum(),
        };
        match (deaf, now.is_deaf_since(&before)) {
            (false, true) => {
                warn!("{} jobs wait, and claims bring none: connecting anew", now.waiting);
                watched.reconnect().await;
            }
            (true, false) => info!("claims bring jobs again, or none wait"),
            _ => {}
        }
        deaf = now.is_deaf_since(&before);
        metrics.deaf_workers.set(deaf.into());
        before = now;
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Look {
    /// Number of jobs claimed so far.
    claims: u64,
    /// Whether it has free slots of both classes, and so could take any job.
    idle: bool,
    /// Number of jobs waiting in its queues.
    waiting: u64,
}

impl Look {
    fn is_deaf_since(&self, before: &Self) -> bool {
        let sees_work = |look: &Self| look.idle && look.waiting > 0;
        sees_work(before) && sees_work(self) && before.claims == self.claims
    }
}

#[cfg(test)]
mod tests {
    use super::Look;

    #[test]
    fn only_idle_workers_that_leave_work_lying_are_deaf() {
        let deaf = Look { claims: 7, idle: true, waiting: 3 };
        assert!(deaf.is_deaf_since(&deaf));
        for hearing in [Look { claims: 8, ..deaf }, Look { idle: false, ..deaf }, Look { waiting: 0, ..deaf }] {
            assert!(!hearing.is_deaf_since(&deaf), "{hearing:?}");
        }
        assert!(!deaf.is_deaf_since(&Look::default()), "at the first look");
    }
}
