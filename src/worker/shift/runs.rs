//! The steps of a job in a shift: it is accepted, gets memory and a slot, is computed or carried out, published,
//! concluded.

use std::time::Duration;

use queue::{ClaimedJob, Class, Lease, Settled, Verdict};
use tokio::time::{Instant, timeout};
use tracing::{debug, error, warn};

use super::super::attempt::{Attempt, Ended, Picture, Stop, Whereabouts, Yield};
use super::super::event::Event;
use super::super::execute::{Outcome, Spec};
use super::super::wire::{self, Order};
use super::{Execution, Phase, Run, Shift};
use crate::errors::Failure;
use crate::kinds::{self, Context, ImageProcess, Missing, Payload, Source, Unread};
use crate::metrics::KindLabels;
use crate::storage::{self, LocalFile, RunFolder, Storage, manifest_key};

/// How long a job of an unknown kind waits for another worker.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(5);

impl Shift {
    pub(super) fn accept(&mut self, job: ClaimedJob, class: Class) {
        let request_id = kinds::request_id(&job.payload);
        debug!(job.id = %job.lease.job, request.id = request_id, attempt = job.attempt, "claimed job {}", job.lease.job);
        if let Some(older) = self.leases.hold(&job.lease) {
            // The older lease is lost, because otherwise the broker would not have given a new one.
            self.stop(&older, Stop::LeaseLost);
        }
        self.controls.claimed(&job);
        if let Some(waited) = job.waited {
            let kind = KindLabels { kind: job.kind.clone() };
            self.metrics.wait_seconds.get_or_create(&kind).observe(waited.as_secs_f64());
        }
        let payload = match Payload::from_bytes(&job.payload) {
            Ok(payload) => payload,
            Err(damaged @ Unread::Damaged(_)) => {
                let failure = Failure::permanent("payload-damaged", damaged.to_string());
                self.intake(class).opened();
                let since = Instant::now();
                let attempt = Attempt { job, class, request_id, payload: None, picture: None, since, stopped: None };
                return self.conclude(attempt, Err(failure));
            }
            Err(error @ Unread::Unknown(_)) => {
                let (id, kind) = (job.lease.job, &job.kind);
                warn!(job.id = %id, request.id = request_id, "job {id} of kind `{kind}` is not for this version and is given back: {error}");
                return self.release(vec![job.lease], Some(UNKNOWN_PAUSE));
            }
        };
        self.intake(class).opened();
        let picture = match payload.picture() {
            Some(request) if class == Class::Cpu && payload.class() == Class::Cpu => Some(self.picture(&job, request)),
            _ => None,
        };
        let since = Instant::now();
        let attempt = Attempt { job, class, request_id, payload: Some(payload), picture, since, stopped: None };
        if attempt.picture.is_none() {
            return self.carry_out(attempt);
        }
        // A picture whose process died has waited before, so it is next.
        let before = |other: &Attempt| other.job.alone || !attempt.job.alone;
        let place = self.waiting.iter().take_while(|other| before(other)).count();
        self.waiting.insert(place, attempt);
    }

    /// The data needed to compute this picture. Begins to fetch an original from the store.
    fn picture(&self, job: &ClaimedJob, request: &ImageProcess) -> Picture {
        let source = match &request.source {
            Source::Stored(key) => {
                self.fetch(job.lease.clone(), key.clone());
                None
            }
            Source::File(path) => {
                read_ahead(path.clone());
                Some(Whereabouts::File(path.clone()))
            }
            Source::Shared(key) => {
                // Without the folder on this machine, the picture fails as missing.
                let folder = self.settings.sources.folder.as_ref().map(|folder| folder.root().to_owned());
                Some(Whereabouts::Beneath(folder.unwrap_or_default(), key.clone()))
            }
        };
        let folder = self.storage.run_folder(job.group, job.lease.job, job.lease.run());
        // Payloads of older versions have no peak.
        let peak = request.peak.unwrap_or(self.settings.limits.max_decoded_bytes);
        Picture { source, folder, peak, original: None }
    }

    fn fetch(&self, lease: Lease, key: String) {
        let (storage, reports) = (self.storage.clone(), self.reports.clone());
        tokio::spawn(async move {
            let fetched = storage.fetch(&key).await;
            if let Ok(original) = &fetched {
                read_ahead(original.path().to_owned());
            }
            let _ = reports.send(Event::Fetched(lease, fetched));
        });
    }

    pub(super) fn fetched(&mut self, lease: &Lease, fetched: storage::Result<LocalFile>) {
        // It may have been stopped or released meanwhile.
        let Some(place) = self.waiting.iter().position(|attempt| attempt.lease() == lease) else { return };
        match fetched {
            Ok(original) => {
                let Some(picture) = &mut self.waiting[place].picture else { return };
                picture.source = Some(Whereabouts::File(original.path().to_owned()));
                picture.original = Some(original);
            }
            Err(error) => {
                let attempt = self.waiting.remove(place).expect("it was there");
                self.failed(attempt, error.into());
            }
        }
    }

    /// Does the work of an io job, in a task of this process.
    fn carry_out(&mut self, attempt: Attempt) {
        let Some(payload) = attempt.payload.clone() else { return };
        let context = Context {
            broker: self.broker.clone(),
            storage: self.storage.clone(),
            sources: self.settings.sources.clone(),
            limits: self.settings.limits.clone(),
            calls: self.settings.calls.clone(),
            workflows: self.settings.workflows.clone(),
            metrics: self.metrics.clone(),
            job: attempt.lease().job,
            request_id: attempt.request_id.clone(),
        };
        let limit = self.settings.soft_time_limit;
        let work = tokio::spawn(async move { timeout(limit, payload.run(&context)).await });
        let abort = work.abort_handle();
        let (run, reports) = (self.number(), self.reports.clone());
        tokio::spawn(async move {
            let outcome = match work.await {
                Ok(Ok(outcome)) => outcome.map(Yield::Done),
                Ok(Err(_)) => Err(Failure::permanent("time-limit", format!("it took longer than {limit:?}"))),
                Err(error) if error.is_cancelled() => Err(Failure::transient("stopped", "the attempt was stopped")),
                Err(error) => Err(Failure::permanent("internal", format!("the attempt panicked: {error}"))),
            };
            let _ = reports.send(Event::CarriedOut { run, outcome });
        });
        self.controls.started(&attempt.job, Class::Io);
        self.runs.insert(run, Run { attempt, place: Execution::Task(abort) });
    }

    /// Begins pictures in the order in which they arrived, while there are slots and memory.
    pub(super) fn admit(&mut self) {
        if !matches!(self.phase, Phase::Working) {
            self.give_waiting_back();
            return;
        }
        while self.may_begin()
            && self.computing + self.recovering < self.cpu.slots()
            && let Some((_, Picture { source: Some(_), peak, .. })) = self.waiting.front().map(Attempt::to_compute)
            && let peak = *peak
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
            let (request, Picture { source, folder, .. }) = attempt.to_compute();
            let source = source.clone().expect("it is on this machine");
            let order = Order::Run {
                run,
                memory: self.budget.bound(),
                spec: Spec {
                    source,
                    check: request.check,
                    operations: request.operations.clone(),
                    folder: folder.path().to_owned(),
                    lenient: request.lenient,
                    limits: self.settings.limits.clone(),
                    time_limit: self.settings.soft_time_limit,
                },
            };
            match wire::frame(&order) {
                Ok(frame) => self.crew.send(child, frame),
                Err(error) => {
                    let failure = Failure::permanent("storage", format!("{}: {error}", folder.path().display()));
                    let _ = self.reports.send(Event::Computed { run, outcome: Err(failure) });
                }
            }
            self.runs.insert(
                run,
                Run { attempt, place: Execution::Child { id: child, begun: false, asked: None, killed: None } },
            );
        }
    }

    pub(super) fn started(&mut self, run: u64) {
        let Some(Run { attempt, place }) = self.runs.get_mut(&run) else { return };
        if let Execution::Child { id, begun, .. } = place {
            *begun = true;
            let pid = self.crew.heard(*id);
            let (job, run) = (attempt.lease().job, attempt.run());
            let request = attempt.request_id.as_deref();
            debug!(job.id = %job, request.id = request, %run, child.pid = pid, "started job {job} in process {pid}");
        }
        attempt.since = Instant::now();
        self.controls.started(&attempt.job, Class::Cpu);
    }

    pub(super) fn computed(&mut self, run: u64, outcome: Outcome) {
        let Some(Run { attempt, place }) = self.runs.remove(&run) else { return };
        if let Execution::Child { id, .. } = place {
            self.crew.finished(id);
        }
        self.leave_slot(&attempt);
        match outcome {
            Ok(outputs) => {
                self.publishing += 1;
                let (storage, reports) = (self.storage.clone(), self.reports.clone());
                // The task waits for the disk, so the slot is free for the next picture.
                tokio::task::spawn_blocking(move || {
                    let folder = &attempt.to_compute().1.folder;
                    let outcome = storage.publish(folder).map(|()| Yield::Outputs(outputs)).map_err(|error| {
                        // Removed before the result is reported, because these files may be what fills the disk.
                        remove_run(&storage, folder);
                        Failure::of_store(error.lack(), error.to_string())
                    });
                    let _ = reports.send(Event::Published(Box::new(attempt), outcome));
                });
            }
            Err(failure) => self.failed(attempt, failure),
        }
    }

    /// Concludes a failed attempt, unless an original is missing that must exist. Then the job waits for it, and the
    /// attempt does not count: the store may be the wrong one, or its disk may be missing.
    pub(super) fn failed(&mut self, attempt: Attempt, failure: Failure) {
        if !self.lacks_its_original(&attempt, &failure) {
            return self.conclude(attempt, Err(failure));
        }
        let pause = self.settings.policy.backoff_cap;
        let (lease, group, request) = (attempt.lease().clone(), attempt.job.group, attempt.request_id.as_deref());
        let job = lease.job;
        let lacks = match attempt.image() {
            Some(image) => format!("the original of job {job} (`{image}`) is"),
            None => format!("the originals that job {job} is to work on are"),
        };
        error!(
            job.id = %job, group.id = %group, request.id = request,
            "{lacks} missing from the store, and its group {group} is owed: it is tried again in {pause:?}. Is the store's \
             disk mounted? Bring the file back, or cancel the group"
        );
        self.give_up(attempt);
        self.release(vec![lease], Some(pause));
    }

    fn lacks_its_original(&self, attempt: &Attempt, failure: &Failure) -> bool {
        if attempt.stopped.is_some() {
            return false;
        }
        match attempt.payload.as_ref().and_then(|payload| payload.misses(&failure.code)) {
            // If the store cannot be read, or its `store.id` is missing or different, it cannot show whether the group
            // is in the outbox.
            Some(Missing::Original) => {
                let owed = self.storage.has_at_once(&manifest_key(attempt.job.group)).unwrap_or(true);
                owed || !self.storage.is_itself()
            }
            Some(Missing::OthersOriginals) => !self.storage.is_itself(),
            None => false,
        }
    }

    pub(super) fn conclude(&mut self, attempt: Attempt, outcome: Result<Yield, Failure>) {
        if attempt.stopped == Some(Stop::LeaseLost) && outcome.is_err() {
            return self.lose(attempt);
        }
        let outcome = match outcome {
            Err(failure) if attempt.stopped.is_none() && self.is_blameless(&failure) => {
                return self.give_back(attempt, &failure);
            }
            // Only the worker uses this field.
            Err(failure) => Err(Failure { lacking: None, ..failure }),
            done @ Ok(_) => done,
        };
        let ended = attempt.conclude(outcome, &self.settings.policy);
        self.settle(ended);
    }

    pub(super) fn settle(&mut self, ended: Ended) {
        if self.results.is_empty() {
            self.gathering = Instant::now();
        }
        self.results.push_back(ended);
    }

    /// Drops an attempt whose job the broker has given to another one. There is nothing to settle.
    pub(super) fn lose(&mut self, attempt: Attempt) {
        self.intake(attempt.class).closed();
        self.close(attempt.end(Verdict::Cancel, None), Settled::LeaseLost);
    }

    pub(super) fn stop(&mut self, lease: &Lease, cause: Stop) {
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
        match &mut run.place {
            Execution::Child { id, asked, .. } => {
                *asked = Some(Instant::now());
                let frame = wire::frame(&Order::Stop { run: number }).expect("it holds no path");
                self.crew.send(*id, frame);
            }
            Execution::Task(task) => task.abort(),
        }
    }
}

/// Asks the kernel to read the source into its cache while the picture waits for a slot.
fn read_ahead(source: std::path::PathBuf) {
    tokio::task::spawn_blocking(move || {
        if let Ok(file) = std::fs::File::open(source) {
            // Only advice. Without it, the picture is read when its turn comes.
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::WillNeed);
        }
    });
}

/// Removes the outputs of an attempt. Blocks on the disk.
pub(super) fn remove_run(storage: &Storage, folder: &RunFolder) {
    if let Err(error) = storage.remove_run(folder) {
        warn!("an attempt's outputs stay behind: {error}");
    }
}
