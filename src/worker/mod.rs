//! A worker: claims jobs, has them computed in its child processes, and settles them.
//!
//! Only this process speaks to the broker and makes outputs durable; pictures are computed in a child of the same
//! program, behind a pipe, so that whatever breaks there breaks no lease and nobody else's work. A finished job is
//! settled at once (with others that end within 2 ms) and its slot refilled in the same round trip. When the broker is
//! away, results are held and settled again until it is back or the lease is lost.

mod attempt;
mod budget;
mod child;
mod compute;
pub mod control;
mod crew;
mod event;
mod execute;
mod heartbeat;
mod intake;
mod lanes;
pub mod roster;
mod shift;
mod watchdog;
mod wire;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use imaging::Limits;
use queue::{Broker, Policy};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::kinds::WorkflowRunner;
use crate::metrics::Metrics;
use crate::net::Calls;
use crate::sources::Places;
use crate::storage::Storage;

pub use compute::compute;

use control::Controls;
use heartbeat::{Heartbeat, Leases};
use shift::Shift;

#[derive(Debug, Clone)]
pub struct Settings {
    /// What computes pictures, started as `program compute`; see [`own_program`].
    pub program: PathBuf,
    /// What else it is started with.
    pub arguments: Vec<OsString>,
    /// Pictures computed at a time.
    pub cpu: usize,
    /// Jobs carried out at a time that wait for networks and disks.
    pub io: usize,
    /// Pictures claimed ahead of their turn.
    pub ahead: usize,
    pub queues: Vec<String>,
    /// Nice value of the computing threads, 0–19.
    pub niceness: i32,
    /// An attempt that takes longer is asked to end.
    pub soft_time_limit: Duration,
    /// The process that computes an attempt for longer is killed.
    pub hard_time_limit: Duration,
    /// Pictures that a child takes before a fresh one follows it; 0: no limit.
    pub max_jobs_per_child: u64,
    /// Bytes that the pictures computed at a time may take by estimate; one above that is computed alone. 0: half of the
    /// machine's memory, or of the control group's.
    pub memory: u64,
    /// After the shutdown signal: what has not ended by then is given back.
    pub shutdown_grace: Duration,
    pub limits: Limits,
    pub sources: Places,
    pub calls: Calls,
    pub(crate) workflows: WorkflowRunner,
    pub policy: Policy,
}

/// How a worker is told to end.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Claims no more and finishes what runs.
    pub warm: CancellationToken,
    /// Gives back what runs, at once.
    pub cold: CancellationToken,
}

/// The program that runs at present, also where its file has been replaced since: its children speak its version.
///
/// # Errors
/// When the system does not tell.
pub fn own_program() -> std::io::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() { Ok(running.into()) } else { std::env::current_exe() }
}

/// Runs until `shutdown`, or until a letter orders it.
///
/// # Errors
/// When the heartbeat's connection or a child process cannot be had. A broker that goes away later is waited for.
pub async fn run(
    broker: Broker,
    storage: Storage,
    settings: Settings,
    metrics: Metrics,
    shutdown: Shutdown,
) -> Result<()> {
    let session = uuid::Uuid::now_v7().simple().to_string();
    let leases = Arc::new(Leases::default());
    let controls =
        Controls::new(session.clone(), settings.queues.clone(), (settings.cpu, settings.io), shutdown.clone());
    let (reports, events) = mpsc::unbounded_channel();
    let (place, beat) = (broker.to_string(), settings.policy.beat);
    let heartbeat = Heartbeat::start(&broker, leases.clone(), beat, controls.clone(), metrics.clone(), reports.clone())
        .await
        .context("the heartbeat has no connection to the broker")?;
    let (cpu, io, program) = (settings.cpu, settings.io, settings.program.display().to_string());
    let shift = Shift::new((broker, storage, settings, metrics), &session, controls, leases, (reports, events))
        .with_context(|| format!("cannot start {program} to compute pictures"))?;
    info!(%session, cpu, io, "worker {session} takes jobs from {place}");
    shift.run(&shutdown).await;
    heartbeat.stop().await;
    info!(%session, "worker {session} has ended");
    Ok(())
}
