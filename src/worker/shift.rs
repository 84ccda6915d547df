//! What a worker does from its first claim to its last settlement: one loop over everything that happens.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::attempt::{Attempt, Ended, Picture, Stop, Yield};
use super::budget::Budget;
use super::control::{Desk, Totals};
use super::crew::Crew;
use super::execute::{Outcome, Spec};
use super::heartbeat::Leases;
use super::intake::Intake;
use super::io;
use super::lanes::{Answered, Lanes, RETRY_PAUSE};
use super::wire::{self, Order};
use super::{Settings, Shutdown};
use crate::job::{Class, Failure, Payload, Source};
use crate::metrics::{AttemptLabels, KindLabels, Metrics};
use crate::queue::{Broker, ClaimedJob, Lease, Settled, Verdict};
use crate::storage::{self, Storage};

/// Settlements that go out together at the most, and how long the first waits for company.
const BATCH: usize = 16;
const GATHER: Duration = Duration::from_millis(2);
/// For telling the broker of results that are there when the grace period ends, however short that was.
const LAST_WORD: Duration = Duration::from_secs(2);
/// A job of a kind that this version does not know waits so long for another worker.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(5);

/// What happens outside the loop.
pub(super) enum Event {
    /// A child has begun with a picture.
    Started {
        run: u64,
    },
    Computed {
        run: u64,
        outcome: Outcome,
    },
    Died {
        child: u64,
        how: String,
    },
    /// A picture's outputs are durable, or could not be made so.
    Published(Box<Attempt>, Result<Yield, Failure>),
    /// An io job has ended.
    CarriedOut {
        run: u64,
        outcome: Result<Bytes, Failure>,
    },
    /// The heartbeat has learnt that an attempt is to end.
    Stop(Lease, Stop),
}

/// An attempt that is being computed or carried out.
struct Run {
    attempt: Attempt,
    place: Place,
}

enum Place {
    Child {
        id: u64,
        /// It was ordered before that, but no thread had it.
        begun: bool,
        /// Killed for exceeding the hard time limit.
        overran: bool,
    },
    Task(AbortHandle),
}

enum Phase {
    Working,
    /// Claims no more and finishes what runs, until then.
    Draining(Instant),
    /// Computes no more; tells the broker what there is to tell, until then.
    Ending(Instant),
}

pub(super) struct Shift {
    broker: Broker,
    storage: Storage,
    settings: Settings,
    metrics: Metrics,
    desk: Desk,
    leases: Arc<Leases>,
    events: mpsc::UnboundedReceiver<Event>,
    /// Kept for those who report what happens.
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
    /// Pictures being computed.
    computing: usize,
    /// Pictures whose process died and whose settlement is under way: their slots are kept for when they come back with
    /// its answer.
    recovering: usize,
    /// Pictures whose outputs are being made durable.
    publishing: usize,
    results: VecDeque<Ended>,
    /// When the first of `results` came.
    gathering: Instant,
    releases: JoinSet<Vec<Lease>>,
    phase: Phase,
}

impl Shift {
    /// Starts the first child.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn new(
        (broker, storage, settings, metrics): (Broker, Storage, Settings, Metrics),
        session: &str,
        desk: Desk,
        leases: Arc<Leases>,
        (reports, events): (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>),
    ) -> std::io::Result<Self> {
        let Settings { program, niceness, max_jobs_per_child, .. } = &settings;
        let mut crew = Crew::new(program.clone(), *niceness, *max_jobs_per_child, reports.clone());
        crew.stand_ready(settings.cpu)?;
        let intake = |class, ahead| Intake::new(class, settings.queues.clone(), desk.slots(class), ahead);
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
            phase: Phase::Working,
            broker,
            storage,
            settings,
            metrics,
            desk,
            leases,
            events,
            reports,
        })
    }

    /// Works until `shutdown`, and to the end of what that leaves to be done.
    pub(super) async fn run(mut self, shutdown: &Shutdown) {
        loop {
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

    /// When something is to be done although nothing happens.
    fn next_time(&mut self) -> Instant {
        let pause = if self.waiting.is_empty() { None } else { self.crew.pause() };
        let limit = self.settings.hard_time_limit;
        let overdue = self.runs.values().filter_map(|run| match run.place {
            Place::Child { overran: false, .. } => Some(run.attempt.since + limit),
            _ => None,
        });
        let claims = match self.phase {
            Phase::Working if self.lanes.is_free() => [self.cpu.due(), self.io.due()],
            _ => [None, None],
        };
        let times = overdue.chain(pause).chain(self.results_due()).chain(claims.into_iter().flatten());
        times.min().unwrap_or_else(|| Instant::now() + Duration::from_hours(1))
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Started { run } => self.started(run),
            Event::Computed { run, outcome } => self.computed(run, outcome),
            Event::Died { child, how } => self.died(child, &how),
            Event::Published(attempt, outcome) => {
                self.publishing -= 1;
                self.conclude(*attempt, outcome);
            }
            Event::CarriedOut { run, outcome } => {
                if let Some(run) = self.runs.remove(&run) {
                    self.conclude(run.attempt, outcome.map(Yield::Result));
                }
            }
            Event::Stop(lease, cause) => self.stop(&lease, cause),
        }
    }

    // Claims and settlements.

    /// Sends the calls that are due.
    fn call(&mut self) {
        let working = matches!(self.phase, Phase::Working);
        while self.results_due().is_some_and(|due| due <= Instant::now()) {
            let batch: Vec<Ended> = self.results.drain(..self.results.len().min(BATCH)).collect();
            for ended in &batch {
                // The slots of what is being settled are free as soon as it is.
                self.intake(ended.class).closed();
            }
            let intake = self.intake(batch[0].class);
            let wanted = (working && intake.free() > 0).then(|| intake.ask());
            self.lanes.send(&self.broker, batch, wanted);
        }
        if !working {
            return;
        }
        for intake in [&mut self.cpu, &mut self.io] {
            if intake.is_due() && self.lanes.is_free() {
                self.lanes.send(&self.broker, Vec::new(), Some(intake.ask()));
            }
        }
    }

    /// When the next batch of results goes out; none while there is none, or no lane for it.
    fn results_due(&self) -> Option<Instant> {
        if self.results.is_empty() {
            return None;
        }
        let all = self.results.len() >= BATCH || self.results.len() == self.cpu.open() + self.io.open();
        let gathered = if all { self.gathering } else { self.gathering + GATHER };
        Some(gathered.max(self.lanes.open_at()?))
    }

    fn answered(&mut self, answered: Answered) {
        for (ended, settled) in answered.batch.into_iter().zip(answered.settled) {
            self.close(ended, settled);
        }
        let Some((request, claim)) = answered.claim else { return };
        self.intake(request.class).answered(request.limit, &claim);
        if matches!(self.phase, Phase::Working) {
            for job in claim.jobs {
                self.accept(job, request.class);
            }
        } else {
            self.release(claim.jobs.into_iter().map(|job| job.lease).collect(), None);
        }
    }

    /// Counts and logs a settled attempt, and removes what it wrote if it does not count.
    fn close(&mut self, ended: Ended, answer: Settled) {
        let Ended { job, run, verdict, failure, folder, took, .. } = ended;
        if matches!(verdict, Verdict::Crash { .. }) {
            self.recovering -= 1;
        }
        self.forget(std::slice::from_ref(&job.lease));
        let (outcome, count): (_, fn(&mut Totals)) = match (answer, &verdict) {
            (Settled::LeaseLost, _) => ("lost", |totals| totals.lost += 1),
            (_, Verdict::Succeed { .. }) => ("succeeded", |totals| totals.succeeded += 1),
            (_, Verdict::Fail { .. }) => ("failed", |totals| totals.failed += 1),
            (_, Verdict::Retry { .. }) => ("retried", |totals| totals.retried += 1),
            (_, Verdict::Cancel) => ("cancelled", |totals| totals.cancelled += 1),
            (_, Verdict::Crash { .. }) => ("crashed", |totals| totals.crashed += 1),
        };
        self.desk.count(count);
        self.metrics.attempts.get_or_create(&AttemptLabels { kind: job.kind.clone(), outcome }).inc();
        let kind = KindLabels { kind: job.kind.clone() };
        self.metrics.attempt_seconds.get_or_create(&kind).observe(took.as_secs_f64());
        let (id, attempt, duration_ms) = (job.lease.job, job.attempt, took.as_millis() as u64);
        match failure {
            None => {
                info!(job.id = %id, run, attempt, duration_ms, outcome, "{outcome}: job {id} in {duration_ms} ms");
            }
            Some(Failure { code, detail, .. }) => {
                info!(job.id = %id, run, attempt, duration_ms, outcome, %code, "{outcome}: job {id}: {code}: {detail}");
            }
        }
        if let Some(folder) = folder.filter(|_| outcome != "succeeded") {
            let storage = self.storage.clone();
            tokio::task::spawn_blocking(move || {
                if let Err(error) = storage.remove_run(&folder) {
                    warn!("an attempt's outputs stay behind: {error}");
                }
            });
        }
    }

    /// Gives jobs back without blame; their leases are held until the broker has them.
    fn release(&mut self, leases: Vec<Lease>, after: Option<Duration>) {
        if leases.is_empty() {
            return;
        }
        let (broker, patience) = (self.broker.clone(), self.settings.policy.lease);
        self.releases.spawn(async move {
            let released = timeout(patience, async {
                while let Err(error) = broker.release(&leases, after).await {
                    warn!("cannot give {} jobs back: {error}; trying again", leases.len());
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            });
            if released.await.is_err() {
                warn!("{} jobs could not be given back; they run again when their leases end", leases.len());
            }
            leases
        });
    }

    /// The worker has nothing to do with these any more.
    fn forget(&self, leases: &[Lease]) {
        for lease in leases {
            self.leases.forget(lease);
            self.desk.done(lease);
        }
    }

    // From a claim to an end.

    fn accept(&mut self, job: ClaimedJob, class: Class) {
        debug!(job.id = %job.lease.job, attempt = job.attempt, "claimed job {}", job.lease.job);
        if let Some(older) = self.leases.hold(&job.lease) {
            // It is lost, or the broker would not have given a new one.
            self.stop(&older, Stop::LeaseLost);
        }
        self.desk.claimed(&job);
        let payload = match serde_json::from_slice::<Payload>(&job.payload) {
            Ok(payload) => payload,
            Err(error) => {
                let (id, kind) = (job.lease.job, &job.kind);
                warn!(job.id = %id, "job {id} of kind `{kind}` is not for this version and is given back: {error}");
                return self.release(vec![job.lease], Some(UNKNOWN_PAUSE));
            }
        };
        self.intake(class).opened();
        let attempt = Attempt { job, class, picture: None, since: Instant::now(), stopped: None };
        match (class, payload) {
            (Class::Cpu, Payload::ImageProcess(request)) => {
                let source = match &request.source {
                    Source::Stored(key) => self.storage.path(key),
                    Source::File(path) => path.clone(),
                };
                read_ahead(source.clone());
                let lease = attempt.lease();
                let run = request.run(lease.run());
                let folder = self.storage.run_folder(attempt.job.group, lease.job, run);
                // Older versions did not say.
                let peak = request.peak.unwrap_or(self.settings.limits.max_decoded_bytes);
                let picture = Some(Picture { request, source, run, folder, peak });
                // One whose process died has waited before; its turn is the next.
                let before = |other: &Attempt| other.job.alone || !attempt.job.alone;
                let place = self.waiting.iter().take_while(|other| before(other)).count();
                self.waiting.insert(place, Attempt { picture, ..attempt });
            }
            (_, payload) => self.carry_out(attempt, payload),
        }
    }

    fn carry_out(&mut self, attempt: Attempt, payload: Payload) {
        let context = io::Context { broker: self.broker.clone(), storage: self.storage.clone() };
        let limit = self.settings.soft_time_limit;
        let work = tokio::spawn(async move { timeout(limit, io::carry_out(&payload, &context)).await });
        let abort = work.abort_handle();
        let (run, reports) = (self.number(), self.reports.clone());
        tokio::spawn(async move {
            let outcome = match work.await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(Failure::permanent("time-limit", format!("it took longer than {limit:?}"))),
                Err(error) if error.is_cancelled() => Err(Failure::transient("stopped", "the attempt was stopped")),
                Err(error) => Err(Failure::permanent("internal", format!("the attempt panicked: {error}"))),
            };
            let _ = reports.send(Event::CarriedOut { run, outcome });
        });
        self.desk.started(&attempt.job, Class::Io);
        self.runs.insert(run, Run { attempt, place: Place::Task(abort) });
    }

    /// Has pictures computed, in the order in which they came, while there are slots and memory.
    fn admit(&mut self) {
        if !matches!(self.phase, Phase::Working) {
            self.give_waiting_back();
            return;
        }
        while self.computing + self.recovering < self.cpu.slots()
            && let Some(peak) = self.waiting.front().map(|next| picture(next).peak)
            && self.budget.take(peak)
        {
            let mut attempt = self.waiting.pop_front().expect("it was there");
            let Some(child) = self.crew.place(attempt.job.alone, self.cpu.slots()) else {
                self.budget.give_back(peak);
                self.waiting.push_front(attempt);
                return;
            };
            attempt.since = Instant::now();
            self.computing += 1;
            let run = self.number();
            let Picture { request, source, folder, .. } = picture(&attempt);
            let order = Order::Run {
                run,
                spec: Spec {
                    source: source.clone(),
                    operations: request.operations.clone(),
                    folder: folder.clone(),
                    limits: self.settings.limits.clone(),
                    time_limit: self.settings.soft_time_limit,
                },
            };
            match wire::frame(&order) {
                Ok(frame) => self.crew.send(child, frame),
                Err(error) => {
                    let failure = Failure::permanent("storage", format!("{}: {error}", folder.display()));
                    let _ = self.reports.send(Event::Computed { run, outcome: Err(failure) });
                }
            }
            self.runs.insert(run, Run { attempt, place: Place::Child { id: child, begun: false, overran: false } });
        }
    }

    fn started(&mut self, run: u64) {
        let Some(Run { attempt, place }) = self.runs.get_mut(&run) else { return };
        if let Place::Child { id, begun, .. } = place {
            *begun = true;
            let pid = self.crew.heard(*id);
            let (job, run) = (attempt.lease().job, attempt.run());
            debug!(job.id = %job, run, child.pid = pid, "started job {job} in process {pid}");
        }
        attempt.since = Instant::now();
        self.desk.started(&attempt.job, Class::Cpu);
    }

    fn computed(&mut self, run: u64, outcome: Outcome) {
        let Some(Run { attempt, place }) = self.runs.remove(&run) else { return };
        if let Place::Child { id, .. } = place {
            self.crew.finished(id);
        }
        self.leave_slot(&attempt);
        match outcome {
            Ok(outputs) => {
                self.publishing += 1;
                let (storage, reports) = (self.storage.clone(), self.reports.clone());
                // The disk is waited for elsewhere; the slot is the next picture's.
                tokio::task::spawn_blocking(move || {
                    let published = storage.publish(&picture(&attempt).folder);
                    let outcome = published
                        .map(|()| Yield::Outputs(outputs))
                        .map_err(|error| Failure::transient(storage_code(&error), error.to_string()));
                    let _ = reports.send(Event::Published(Box::new(attempt), outcome));
                });
            }
            Err(failure) => self.conclude(attempt, Err(failure)),
        }
    }

    fn conclude(&mut self, attempt: Attempt, outcome: Result<Yield, Failure>) {
        if attempt.stopped == Some(Stop::LeaseLost) && outcome.is_err() {
            return self.lose(attempt);
        }
        let ended = attempt.conclude(outcome, &self.settings.policy);
        self.settle(ended);
    }

    fn settle(&mut self, ended: Ended) {
        if self.results.is_empty() {
            self.gathering = Instant::now();
        }
        self.results.push_back(ended);
    }

    /// The broker has given the job to another attempt already: there is nothing to settle.
    fn lose(&mut self, attempt: Attempt) {
        self.intake(attempt.class).closed();
        self.close(attempt.end(Verdict::Cancel, None), Settled::LeaseLost);
    }

    fn stop(&mut self, lease: &Lease, cause: Stop) {
        if let Some(position) = self.waiting.iter().position(|attempt| attempt.lease() == lease) {
            let attempt = self.waiting.remove(position).expect("it was there");
            match cause {
                Stop::Cancelled => self.settle(attempt.end(Verdict::Cancel, None)),
                Stop::LeaseLost => self.lose(attempt),
            }
            return;
        }
        let Some((&number, run)) = self.runs.iter_mut().find(|(_, run)| run.attempt.lease() == lease) else { return };
        if run.attempt.stopped.replace(cause).is_some() {
            return;
        }
        match &run.place {
            Place::Child { id, .. } => {
                let frame = wire::frame(&Order::Stop { run: number }).expect("it holds no path");
                self.crew.send(*id, frame);
            }
            Place::Task(task) => task.abort(),
        }
    }

    // When a child ends.

    fn kill_overdue(&mut self) {
        let limit = self.settings.hard_time_limit;
        for run in self.runs.values_mut() {
            if let Place::Child { id, overran, .. } = &mut run.place
                && !*overran
                && run.attempt.since.elapsed() >= limit
            {
                *overran = true;
                let job = run.attempt.lease().job;
                warn!(job.id = %job, "job {job} exceeds worker.hard_time_limit ({limit:?}): its process is killed");
                self.crew.kill(*id);
            }
        }
    }

    fn died(&mut self, child: u64, how: &str) {
        let Some(killed) = self.crew.bury(child) else { return };
        if matches!(self.phase, Phase::Working)
            && let Err(error) = self.crew.stand_ready(self.cpu.slots())
        {
            warn!("cannot start a computing process: {error}");
        }
        let here = |run: &mut Run| matches!(run.place, Place::Child { id, .. } if id == child);
        let mut lost: Vec<(u64, Run)> = self.runs.extract_if(|_, run| here(run)).collect();
        if !killed {
            warn!("a computing process died ({how}) with {} jobs", lost.len());
        }
        // The first one first, also where they wait again.
        lost.sort_by_key(|(number, _)| *number);
        let alone = lost.iter().filter(|(_, run)| matches!(run.place, Place::Child { begun: true, .. })).count() == 1;
        let (mut released, mut crashed) = (Vec::new(), Vec::new());
        for (_, Run { attempt, place }) in lost.into_iter().rev() {
            self.leave_slot(&attempt);
            match (attempt.stopped, place) {
                (Some(Stop::LeaseLost), _) => self.lose(attempt),
                (_, Place::Child { overran: true, .. }) => {
                    let limit = self.settings.hard_time_limit;
                    let detail = format!("it took longer than worker.hard_time_limit ({limit:?})");
                    self.conclude(attempt, Err(Failure::permanent("time-limit", detail)));
                }
                // Its process never had it: another takes it, under the same lease.
                (_, Place::Child { begun: false, .. }) => self.waiting.push_front(attempt),
                _ if killed => {
                    released.push(attempt.lease().clone());
                    self.give_up(attempt);
                }
                _ => {
                    let failure = Failure::transient("crashed", format!("its process died: {how}"));
                    crashed.push(attempt.end(Verdict::Crash { alone }, Some(failure)));
                }
            }
        }
        self.recovering += crashed.len();
        for ended in crashed.into_iter().rev() {
            self.settle(ended);
        }
        released.reverse();
        self.release(released, None);
    }

    /// Leaves an attempt that is being given back, with what it wrote.
    fn give_up(&mut self, attempt: Attempt) {
        self.intake(attempt.class).closed();
        let Some(Picture { folder, .. }) = attempt.picture else { return };
        let storage = self.storage.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = storage.remove_run(&folder) {
                warn!("an attempt's outputs stay behind: {error}");
            }
        });
    }

    fn leave_slot(&mut self, attempt: &Attempt) {
        if let Some(picture) = &attempt.picture {
            self.computing -= 1;
            self.budget.give_back(picture.peak);
        }
    }

    // The end.

    /// Claims no more, gives back what has not begun, and lets the rest finish within the grace period.
    fn drain(&mut self) {
        self.phase = Phase::Draining(Instant::now() + self.settings.shutdown_grace);
        self.cpu.shut();
        self.io.shut();
        let waiting = self.waiting.len();
        let running = self.cpu.open() + self.io.open() - waiting;
        info!("stopping: {running} jobs are finished, {waiting} given back");
        self.give_waiting_back();
    }

    /// Computes no more: what runs is given back as soon as its process is dead.
    fn end(&mut self) {
        self.phase = Phase::Ending(Instant::now() + LAST_WORD);
        self.cpu.shut();
        self.io.shut();
        self.crew.kill_all();
        let tasks: Vec<Run> =
            self.runs.extract_if(|_, run| matches!(run.place, Place::Task(_))).map(|(_, run)| run).collect();
        let mut leases = Vec::new();
        for Run { attempt, place } in tasks {
            if let Place::Task(task) = place {
                task.abort();
            }
            leases.push(attempt.lease().clone());
            self.give_up(attempt);
        }
        self.release(leases, None);
    }

    fn give_waiting_back(&mut self) {
        let waiting: Vec<Attempt> = self.waiting.drain(..).collect();
        for _ in &waiting {
            self.cpu.closed();
        }
        self.release(waiting.into_iter().map(|attempt| attempt.job.lease).collect(), None);
    }

    /// Nothing runs, and the broker knows of everything; it may still be answering a claim.
    fn has_nothing_to_finish(&self) -> bool {
        self.runs.is_empty()
            && self.publishing == 0
            && self.results.is_empty()
            && !self.lanes.are_settling()
            && self.releases.is_empty()
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

fn picture(attempt: &Attempt) -> &Picture {
    attempt.picture.as_ref().expect("only pictures are computed")
}

/// Asks the kernel to read the source into its cache while it waits for a slot.
fn read_ahead(source: std::path::PathBuf) {
    tokio::task::spawn_blocking(move || {
        if let Ok(file) = std::fs::File::open(source) {
            // Advice: without it the picture is read when its turn comes.
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::WillNeed);
        }
    });
}

fn storage_code(error: &storage::Error) -> &'static str {
    match error {
        storage::Error::Full(_) => "storage-full",
        storage::Error::Failed(_) => "storage",
    }
}
