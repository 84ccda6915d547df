//! Keeps a worker's leases, from a thread and a connection of its own.

use std::collections::HashMap;
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
    pub(super) fn hold(&self, lease: &Lease) -> Arc<AtomicBool> {
        let stop = Arc::new(AtomicBool::new(false));
        self.locked().insert(lease.job, Held { lease: lease.clone(), stop: stop.clone() });
        stop
    }

    pub(super) fn forget(&self, job: JobId) {
        self.locked().remove(&job);
    }

    pub(super) fn snapshot(&self) -> Vec<Lease> {
        self.locked().values().map(|held| held.lease.clone()).collect()
    }

    /// Stops an attempt whose result will not count; it stays held until the worker has seen its end.
    fn stop(&self, job: JobId) {
        if let Some(held) = self.locked().get(&job) {
            held.stop.store(true, Ordering::Relaxed);
        }
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
                for job in answer.lost.into_iter().chain(answer.cancelled) {
                    warn!(job.id = %job, "lost the lease of job {job}: its attempt is stopped");
                    leases.stop(job);
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
