//! The controls of a worker: its present state, its number of slots, and the commands that change them.
//!
//! Reports and commands are letters, which the broker stores without reading them. A worker's mailbox is its session.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use queue::{ClaimedJob, Class, GroupId, JobId, Lease};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Shutdown;

/// A command to one worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
pub enum Command {
    /// Does nothing but ask for the [`Report`] that answers every command.
    Ping,
    /// Adds slots of a class.
    Grow { class: Class, by: usize },
    /// Removes slots of a class, but at least one of cpu or of io is left.
    Shrink { class: Class, by: usize },
    /// Ends the worker as SIGTERM does; with `cold`, as the second SIGTERM does.
    Shutdown { cold: bool },
}

/// A command, and the mailbox for the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    #[serde(flatten)]
    pub command: Command,
    /// The mailbox to which the [`Report`] is sent after the command.
    pub reply: String,
}

/// A worker's report on its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub session: String,
    pub host: String,
    pub pid: u32,
    pub version: String,
    pub started_at: Timestamp,
    pub queues: Vec<String>,
    pub cpu: Slots,
    pub io: Slots,
    /// Jobs that are running.
    pub active: Vec<ActiveJob>,
    /// Jobs claimed ahead of their turn.
    pub reserved: Vec<JobId>,
    pub totals: Totals,
    /// Whether it is stopping: it claims no more and finishes its jobs.
    pub stopping: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    pub total: usize,
    pub busy: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveJob {
    pub job: JobId,
    pub group: GroupId,
    pub kind: String,
    pub class: Class,
    pub attempt: u32,
    pub started_at: Timestamp,
}

impl Report {
    /// Whether it claims pictures from this queue at present.
    pub fn takes_pictures_from(&self, queue: &str) -> bool {
        !self.stopping && self.cpu.total > 0 && self.queues.iter().any(|taken| taken == queue)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers always serialise")
    }
}

/// Numbers of attempts since the worker started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub succeeded: u64,
    pub failed: u64,
    pub retried: u64,
    pub cancelled: u64,
    /// Attempts whose process died.
    pub crashed: u64,
    /// Attempts whose lease was lost.
    pub lost: u64,
}

/// A worker's present state, and what commands change. Shared by the parts of one worker; cheap to clone.
#[derive(Clone)]
pub(super) struct Controls(Arc<Shared>);

struct Shared {
    session: String,
    queues: Vec<String>,
    started_at: Timestamp,
    cpu: watch::Sender<usize>,
    io: watch::Sender<usize>,
    jobs: Mutex<Jobs>,
    shutdown: Shutdown,
}

#[derive(Default)]
struct Jobs {
    reserved: HashSet<JobId>,
    active: HashMap<JobId, (Lease, ActiveJob)>,
    totals: Totals,
    /// Number of jobs claimed so far.
    claims: u64,
    /// Set while jobs of at least one class are not claimed because the disk or the process lacks something.
    held: bool,
}

impl Controls {
    /// `shutdown` can also be ordered by a letter.
    pub(super) fn new(session: String, queues: Vec<String>, (cpu, io): (usize, usize), shutdown: Shutdown) -> Self {
        Self(Arc::new(Shared {
            session,
            queues,
            started_at: Timestamp::now(),
            cpu: watch::Sender::new(cpu),
            io: watch::Sender::new(io),
            jobs: Mutex::default(),
            shutdown,
        }))
    }

    /// The number of slots of a class, with notice of changes.
    pub(super) fn slots(&self, class: Class) -> watch::Receiver<usize> {
        self.sender(class).subscribe()
    }

    /// The worker's session, which is also its mailbox.
    pub(super) fn session(&self) -> &str {
        &self.0.session
    }

    pub(super) fn claimed(&self, job: &ClaimedJob) {
        let mut jobs = self.jobs();
        jobs.reserved.insert(job.lease.job);
        jobs.claims += 1;
    }

    pub(super) fn claims(&self) -> u64 {
        self.jobs().claims
    }

    pub(super) fn takes_from(&self, queue: &str) -> bool {
        self.0.queues.iter().any(|taken| taken == queue)
    }

    /// Sets whether a class claims nothing at present.
    pub(super) fn hold(&self, held: bool) {
        self.jobs().held = held;
    }

    /// Whether a job of either class would be claimed and find a free slot.
    pub(super) fn is_idle(&self) -> bool {
        let held = self.jobs().held;
        let Report { cpu, io, reserved, stopping, .. } = self.report();
        !held && !stopping && reserved.is_empty() && [cpu, io].iter().all(|slots| slots.busy < slots.total)
    }

    pub(super) fn started(&self, job: &ClaimedJob, class: Class) {
        let mut jobs = self.jobs();
        jobs.reserved.remove(&job.lease.job);
        let active = ActiveJob {
            job: job.lease.job,
            group: job.group,
            kind: job.kind.clone(),
            class,
            attempt: job.attempt,
            started_at: Timestamp::now(),
        };
        jobs.active.insert(job.lease.job, (job.lease.clone(), active));
    }

    /// Removes a lease that was settled, lost or released. A newer lease on the same job is kept.
    pub(super) fn done(&self, lease: &Lease) {
        let mut jobs = self.jobs();
        jobs.reserved.remove(&lease.job);
        if jobs.active.get(&lease.job).is_some_and(|(held, _)| held == lease) {
            jobs.active.remove(&lease.job);
        }
    }

    pub(super) fn count(&self, add: impl FnOnce(&mut Totals)) {
        add(&mut self.jobs().totals);
    }

    /// Carries out a command.
    pub(super) fn obey(&self, command: &Command) {
        match *command {
            Command::Ping => {}
            Command::Grow { class, by } => self.sender(class).send_modify(|slots| *slots = (*slots + by).min(1024)),
            Command::Shrink { class, by } => {
                // A class without slots stays without slots.
                self.sender(class).send_modify(|slots| *slots = slots.saturating_sub(by).max(1).min(*slots));
            }
            Command::Shutdown { cold } => {
                self.0.shutdown.warm.cancel();
                if cold {
                    self.0.shutdown.cold.cancel();
                }
            }
        }
    }

    pub(super) fn report(&self) -> Report {
        let jobs = self.jobs();
        let busy = |class| jobs.active.values().filter(|(_, active)| active.class == class).count();
        let slots = |class| Slots { total: *self.sender(class).borrow(), busy: busy(class) };
        let mut active: Vec<ActiveJob> = jobs.active.values().map(|(_, active)| active.clone()).collect();
        active.sort_by_key(|active| active.started_at);
        Report {
            session: self.0.session.clone(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: self.0.started_at,
            queues: self.0.queues.clone(),
            cpu: slots(Class::Cpu),
            io: slots(Class::Io),
            active,
            reserved: jobs.reserved.iter().copied().collect(),
            totals: jobs.totals,
            stopping: self.0.shutdown.warm.is_cancelled(),
        }
    }

    fn sender(&self, class: Class) -> &watch::Sender<usize> {
        match class {
            Class::Cpu => &self.0.cpu,
            Class::Io => &self.0.io,
        }
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
