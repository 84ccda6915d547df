//! A worker: claims jobs, has them computed in its child processes, and settles them.
//!
//! Only this process talks to the broker and makes outputs durable. Pictures are computed in a child process of the
//! same program, connected by a pipe, so that a crash there costs no lease and affects no other work. A finished job is
//! settled at once (with others that end within 2 ms), and the same round trip refills its slot. While the broker is
//! unreachable, results are kept and sent again until it is back or the lease is lost.

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
    /// The program that computes pictures, started as `program compute`; see [`own_program`].
    pub program: PathBuf,
    /// Its further arguments.
    pub arguments: Vec<OsString>,
    /// Number of pictures computed at a time.
    pub cpu: usize,
    /// Number of jobs at a time that wait for networks and disks.
    pub io: usize,
    /// Number of pictures claimed ahead of their turn.
    pub ahead: usize,
    pub queues: Vec<String>,
    /// Nice value of the computing threads, 0–19.
    pub niceness: i32,
    /// An attempt that takes longer is asked to end.
    pub soft_time_limit: Duration,
    /// The process of an attempt that takes longer is killed.
    pub hard_time_limit: Duration,
    /// Number of pictures that a child takes before it is replaced; 0 for no limit.
    pub max_jobs_per_child: u64,
    /// Estimated bytes that the pictures computed at a time may use. A larger picture is computed alone. 0: half of the
    /// memory of the machine, or of the control group.
    pub memory: u64,
    /// Time after the shutdown signal in which running jobs may end. Others are released then.
    pub shutdown_grace: Duration,
    pub limits: Limits,
    pub sources: Places,
    pub calls: Calls,
    pub(crate) workflows: WorkflowRunner,
    pub policy: Policy,
}

/// The two steps of a shutdown.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Claims no more and finishes running jobs.
    pub warm: CancellationToken,
    /// Releases running jobs at once.
    pub cold: CancellationToken,
}

/// The running program, even if its file has been replaced since, so that its children have the same version.
///
/// # Errors
/// If the system does not know.
pub fn own_program() -> std::io::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() { Ok(running.into()) } else { std::env::current_exe() }
}

/// Runs until `shutdown`, or until a letter orders the end.
///
/// # Errors
/// If the heartbeat cannot connect, or a child process cannot be started. If the broker becomes unreachable later, the
/// worker waits for it.
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
