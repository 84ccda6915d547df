//! A worker's shift, from its first claim to its last settlement: one loop that handles all events.
//!
//! This file has the state and the loop. The handling of events is in a file per subject: `calls` to the broker, `runs`
//! from a claim to its end, `deaths` of child processes, `lacks` of the machine, and the `ending`.

mod calls;
mod deaths;
mod ending;
mod lacks;
mod runs;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use queue::{Broker, Class, Lease};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::attempt::{Attempt, Ended};
use super::budget::Budget;
use super::control::Controls;
use super::crew::Crew;
use super::event::Event;
use super::heartbeat::Leases;
use super::intake::Intake;
use super::lanes::Lanes;
use super::{Settings, Shutdown};
use crate::metrics::Metrics;
use crate::storage::Storage;

use lacks::Lacks;

/// Time in which an attempt that was asked to stop has to end. Then its process is killed. Most steps check whether to
/// continue, but for example AVIF's encoder does not.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// A running attempt.
struct Run {
    attempt: Attempt,
    place: Execution,
}

enum Execution {
    Child {
        id: u64,
        /// Whether its process has begun with it. Before, it was ordered, but no thread had taken it.
        begun: bool,
        /// When it was asked to stop.
        asked: Option<Instant>,
        /// Set after the worker killed its process.
        killed: Option<Blame>,
    },
    Task(AbortHandle),
}

/// The picture for which a process was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blame {
    This,
    Neighbour,
}

impl Run {
    /// When its process is to be killed; `None` if that has happened, and for io jobs.
    fn overdue(&self, limit: Duration) -> Option<Instant> {
        let Execution::Child { begun, asked, killed: None, .. } = self.place else { return None };
        let limit = self.attempt.since + limit;
        // An attempt that no thread has taken is stopped before its first step.
        let patience = asked.filter(|_| begun).map(|asked| asked.max(self.attempt.since) + STOP_PATIENCE);
        Some(patience.map_or(limit, |patience| patience.min(limit)))
    }
}

enum Phase {
    Working,
    /// Claims no more and finishes running jobs, until this time.
    Draining(Instant),
    /// Computes no more, and sends the remaining settlements and releases, until this time.
    Ending(Instant),
}

pub(super) struct Shift {
    broker: Broker,
    storage: Storage,
    settings: Settings,
    metrics: Metrics,
    controls: Controls,
    leases: Arc<Leases>,
    events: mpsc::UnboundedReceiver<Event>,
    /// The sender for tasks that report events.
    reports: mpsc::UnboundedSender<Event>,
    crew: Crew,
    budget: Budget,
    lanes: Lanes,
    cpu: Intake,
    io: Intake,
    /// Pictures claimed ahead of their turn.
    waiting: VecDeque<Attempt>,
    runs: HashMap<u64, Run>,
    next_run: u64,
    /// Number of pictures being computed.
    computing: usize,
    /// Number of pictures whose process died and whose settlement is under way. Their slots are kept until its answer
    /// gives them back.
    recovering: usize,
    /// Number of pictures whose outputs are being made durable.
    publishing: usize,
    results: VecDeque<Ended>,
    /// When the first of `results` arrived.
    gathering: Instant,
    releases: JoinSet<Vec<Lease>>,
    lacks: Lacks,
    phase: Phase,
}

impl Shift {
    /// Starts the first child.
    ///
    /// # Errors
    /// If the child cannot be started.
    pub(super) fn new(
        (broker, storage, settings, metrics): (Broker, Storage, Settings, Metrics),
        session: &str,
        controls: Controls,
        leases: Arc<Leases>,
        (reports, events): (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>),
    ) -> std::io::Result<Self> {
        let mut crew = Crew::new(&settings, reports.clone());
        crew.stand_ready(settings.cpu)?;
        let intake = |class, ahead| Intake::new(class, settings.queues.clone(), controls.slots(class), ahead);
        Ok(Self {
            crew,
            budget: Budget::new(settings.memory),
            lanes: Lanes::new(session),
            cpu: intake(Class::Cpu, settings.ahead),
            io: intake(Class::Io, 0),
            waiting: VecDeque::new(),
            runs: HashMap::new(),
            next_run: 0,
            computing: 0,
            recovering: 0,
            publishing: 0,
            results: VecDeque::new(),
            gathering: Instant::now(),
            releases: JoinSet::new(),
            lacks: Lacks::default(),
            phase: Phase::Working,
            broker,
            storage,
            settings,
            metrics,
            controls,
            leases,
            events,
            reports,
        })
    }

    /// Works until `shutdown`, and then until the remaining work is done.
    pub(super) async fn run(mut self, shutdown: &Shutdown) {
        loop {
            self.look_for_lacks();
            self.admit();
            self.call();
            let (draining, ending) = match self.phase {
                Phase::Working => (None, None),
                Phase::Draining(until) => (Some(until), None),
                Phase::Ending(until) => (None, Some(until)),
            };
            if draining.is_some() && self.has_nothing_to_finish() {
                self.end();
                continue;
            }
            if ending.is_some() && self.has_nothing_to_finish() && self.lanes.are_idle() {
                break;
            }
            let working = draining.is_none() && ending.is_none();
            if working {
                self.cpu.watch(&self.broker);
                self.io.watch(&self.broker);
            }
            let next = self.next_time();
            tokio::select! {
                biased;
                () = shutdown.cold.cancelled(), if ending.is_none() => self.end(),
                () = shutdown.warm.cancelled(), if working => self.drain(),
                () = sleep_until(draining.unwrap_or(next)), if draining.is_some_and(|until| until <= next) => {
                    warn!("{} jobs did not end in time and are given back", self.runs.len());
                    self.end();
                }
                () = sleep_until(ending.unwrap_or(next)), if ending.is_some_and(|until| until <= next) => break,
                Some(event) = self.events.recv() => self.happened(event),
                answered = self.lanes.answered() => self.answered(answered),
                Some(released) = self.releases.join_next() => self.forget(&released.unwrap_or_default()),
                () = self.cpu.stirred(), if working => {}
                () = self.io.stirred(), if working => {}
                () = sleep_until(next) => self.kill_overdue(),
            }
            self.metrics.jobs_in_flight.set((self.cpu.open() + self.io.open()) as i64);
        }
        let held = self.leases.snapshot();
        if !held.is_empty() {
            warn!("the broker was not told of {} jobs in time; they run again when their leases end", held.len());
        }
    }

    /// The time of the next work that no event announces.
    fn next_time(&mut self) -> Instant {
        let pause = if self.waiting.is_empty() { None } else { self.crew.pause() };
        let limit = self.settings.hard_time_limit;
        let overdue = self.runs.values().filter_map(|run| run.overdue(limit));
        let claims = match self.phase {
            Phase::Working if self.lanes.is_free() => [self.cpu.due(), self.io.due()],
            _ => [None, None],
        };
        let times = overdue.chain(pause).chain(self.results_due()).chain(claims.into_iter().flatten());
        let times = times.chain(self.lacks_until());
        times.min().unwrap_or_else(|| Instant::now() + Duration::from_hours(1))
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Fetched(lease, fetched) => self.fetched(&lease, fetched),
            Event::Started { run } => self.started(run),
            Event::Computed { run, outcome } => self.computed(run, outcome),
            Event::Died { child, how } => self.died(child, &how),
            Event::Published(attempt, outcome) => {
                self.publishing -= 1;
                self.conclude(*attempt, outcome);
            }
            Event::CarriedOut { run, outcome } => {
                let Some(Run { attempt, .. }) = self.runs.remove(&run) else { return };
                match outcome {
                    Err(failure) => self.failed(attempt, failure),
                    done => self.conclude(attempt, done),
                }
            }
            Event::Stop(lease, cause) => self.stop(&lease, cause),
        }
    }

    fn intake(&mut self, class: Class) -> &mut Intake {
        match class {
            Class::Cpu => &mut self.cpu,
            Class::Io => &mut self.io,
        }
    }

    fn number(&mut self) -> u64 {
        self.next_run += 1;
        self.next_run
    }
}
