//! Keeps a worker's leases, from a thread and a connection of its own.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::job::JobId;
use crate::queue::{Broker, Lease};

/// The leases that this worker holds.
#[derive(Default)]
pub(super) struct Leases {
    held: Mutex<HashMap<JobId, Held>>,
}

struct Held {
    lease: Lease,
    stop: Arc<AtomicBool>,
}

impl Leases {
    /// Keeps a lease from now on; the flag is raised when it is lost.
    ///
    /// An older lease on the same job is lost already, or the broker would not have given a new one.
    pub(super) fn hold(&self, lease: &Lease) -> Arc<AtomicBool> {
        let stop = Arc::new(AtomicBool::new(false));
        let held = Held { lease: lease.clone(), stop: stop.clone() };
        if let Some(older) = self.locked().insert(lease.job, held) {
            older.stop.store(true, Ordering::Relaxed);
        }
        stop
    }

    /// Keeps it no longer; a newer lease on the same job stays.
    pub(super) fn forget(&self, lease: &Lease) {
        let mut held = self.locked();
        if held.get(&lease.job).is_some_and(|held| held.lease == *lease) {
            held.remove(&lease.job);
        }
    }

    pub(super) fn snapshot(&self) -> Vec<Lease> {
        self.locked().values().map(|held| held.lease.clone()).collect()
    }

    /// Stops an attempt whose result will not count; it stays held until the worker has seen its end.
    ///
    /// Answers whether it was held: one settled since the heartbeat is none that was lost.
    fn stop(&self, lease: &Lease) -> bool {
        let held = self.locked();
        let held = held.get(&lease.job).filter(|held| held.lease == *lease);
        held.inspect(|held| held.stop.store(true, Ordering::Relaxed)).is_some()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Heartbeat {
    stop: CancellationToken,
}

impl Heartbeat {
    pub(super) async fn start(broker: &Broker, leases: Arc<Leases>, every: Duration) -> Result<Self> {
        let broker = broker.dedicated().await?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        std::thread::Builder::new().name("heartbeat".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = stopped.cancelled() => {}
                    () = beat(&broker, &leases, every) => {}
                }
            });
        })?;
        Ok(Self { stop })
    }

    pub(super) fn stop(self) {
        self.stop.cancel();
    }
}

async fn beat(broker: &Broker, leases: &Leases, every: Duration) {
    let mut away = false;
    loop {
        // After a failure sooner: the lease has only two more beats to live.
        tokio::time::sleep(if away { every / 5 } else { every }).await;
        let held = leases.snapshot();
        if held.is_empty() {
            continue;
        }
        match broker.beat(&held).await {
            Ok(answer) => {
                if std::mem::take(&mut away) {
                    info!("the heartbeat reaches the broker again");
                }
                let gone: HashSet<JobId> = answer.lost.into_iter().chain(answer.cancelled).collect();
                for lease in held.iter().filter(|lease| gone.contains(&lease.job)) {
                    if leases.stop(lease) {
                        warn!(job.id = %lease.job, "lost the lease of job {}: its attempt is stopped", lease.job);
                    }
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    warn!("a heartbeat failed: {error}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker that slept through its lease may be given the same job again while the first attempt still runs.
    #[test]
    fn end_of_a_lost_attempt_leaves_the_lease_of_the_next() {
        let leases = Leases::default();
        let job = JobId::new();
        let [old, new] = [1, 2].map(|run| Lease { job, token: format!("session:{run}") });
        let old_stop = leases.hold(&old);
        let new_stop = leases.hold(&new);
        assert!(old_stop.load(Ordering::Relaxed), "the older attempt goes on for nothing");
        assert!(!leases.stop(&old));
        leases.forget(&old);
        assert!(!new_stop.load(Ordering::Relaxed), "a late answer stops the wrong attempt");
        assert_eq!(leases.snapshot(), std::slice::from_ref(&new));
        leases.forget(&new);
        assert!(leases.snapshot().is_empty());
    }
}
