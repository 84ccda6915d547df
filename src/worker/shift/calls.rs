//! The calls of a shift to the broker: settlements together with claims, and releases.

use std::time::Duration;

use queue::{Lease, Settled, Verdict};
use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

use super::super::attempt::Ended;
use super::super::control::Totals;
use super::super::lanes::{Answered, Complaint, RETRY_PAUSE};
use super::runs::remove_run;
use super::{Phase, Shift};
use crate::errors::Failure;
use crate::kinds::Payload;
use crate::metrics::{AttemptLabels, KindLabels};

/// Most settlements in one call, and how long the first of them waits for more.
const BATCH: usize = 16;
const GATHER: Duration = Duration::from_millis(2);

impl Shift {
    /// Sends the calls that are due.
    pub(super) fn call(&mut self) {
        let working = matches!(self.phase, Phase::Working);
        while self.results_due().is_some_and(|due| due <= Instant::now()) {
            let batch: Vec<Ended> = self.results.drain(..self.results.len().min(BATCH)).collect();
            for ended in &batch {
                // The slots of these jobs are free as soon as they are settled, so the claim in the same call may fill
                // them.
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

    /// When to send the next batch of results; `None` if there are no results or no free lane.
    pub(super) fn results_due(&self) -> Option<Instant> {
        if self.results.is_empty() {
            return None;
        }
        let all = self.results.len() >= BATCH || self.results.len() == self.cpu.open() + self.io.open();
        let gathered = if all { self.gathering } else { self.gathering + GATHER };
        Some(gathered.max(self.lanes.open_at()?))
    }

    pub(super) fn answered(&mut self, answered: Answered) {
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

    /// Counts and logs a settled attempt, and removes its outputs if it does not count.
    pub(super) fn close(&mut self, ended: Ended, answer: Settled) {
        let Ended { job, request_id, verdict, failure, folder, took, .. } = ended;
        if matches!(verdict, Verdict::Crash { .. }) {
            self.recovering -= 1;
        }
        self.forget(std::slice::from_ref(&job.lease));
        let (outcome, count): (_, fn(&mut Totals)) = match (answer, &verdict) {
            (Settled::LeaseLost, _) => ("lost", |totals| totals.lost += 1),
            (_, Verdict::Succeed { .. } | Verdict::Continue(_)) => ("succeeded", |totals| totals.succeeded += 1),
            (_, Verdict::Fail { .. }) => ("failed", |totals| totals.failed += 1),
            (_, Verdict::Retry { .. }) => ("retried", |totals| totals.retried += 1),
            (_, Verdict::Cancel) => ("cancelled", |totals| totals.cancelled += 1),
            (_, Verdict::Crash { .. }) => ("crashed", |totals| totals.crashed += 1),
        };
        self.controls.count(count);
        self.count(outcome, &job.kind);
        let kind = KindLabels { kind: job.kind.clone() };
        self.metrics.attempt_seconds.get_or_create(&kind).observe(took.as_secs_f64());
        let (id, run, attempt, duration_ms) = (job.lease.job, job.lease.run(), job.attempt, took.as_millis() as u64);
        let request = request_id.as_deref();
        match failure {
            None if Payload::is_maintenance(&job.kind) => {
                debug!(job.id = %id, %run, attempt, duration_ms, outcome, "{outcome}: job {id} ({}) in {duration_ms} ms", job.kind);
            }
            None => {
                info!(job.id = %id, request.id = request, %run, attempt, duration_ms, outcome, "{outcome}: job {id} in {duration_ms} ms");
            }
            Some(Failure { code, detail, .. }) => {
                warn!(job.id = %id, request.id = request, %run, attempt, duration_ms, outcome, %code, "{outcome}: job {id}: {code}: {detail}");
            }
        }
        if let Some(folder) = folder.filter(|_| outcome != "succeeded") {
            let storage = self.storage.clone();
            tokio::task::spawn_blocking(move || remove_run(&storage, &folder));
        }
    }

    /// Counts an attempt that has ended or was released.
    pub(super) fn count(&self, outcome: &'static str, kind: &str) {
        self.metrics.attempts.get_or_create(&AttemptLabels { kind: kind.to_owned(), outcome }).inc();
    }

    /// Releases jobs without counting the attempts. Their leases are held until the broker has answered.
    pub(super) fn release(&mut self, leases: Vec<Lease>, after: Option<Duration>) {
        if leases.is_empty() {
            return;
        }
        let (broker, patience) = (self.broker.clone(), self.settings.policy.lease);
        self.releases.spawn(async move {
            let mut complaint = Complaint::default();
            let released = timeout(patience, async {
                while let Err(error) = broker.release(&leases, after).await {
                    if complaint.is_due() {
                        warn!("cannot give {} jobs back: {error}; trying again", leases.len());
                    }
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            });
            if released.await.is_err() {
                warn!("{} jobs could not be given back; they run again when their leases end", leases.len());
            }
            leases
        });
    }

    /// Removes leases that the worker no longer holds.
    pub(super) fn forget(&self, leases: &[Lease]) {
        for lease in leases {
            self.leases.forget(lease);
            self.controls.done(lease);
        }
    }
}
