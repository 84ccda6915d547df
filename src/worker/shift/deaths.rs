//! What happens to the pictures of a child process that died or was killed by the worker.

use queue::Verdict;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::super::attempt::{Attempt, Picture, Stop};
use super::runs::remove_run;
use super::{Blame, Execution, Phase, Run, Shift};
use crate::errors::Failure;

impl Shift {
    /// Kills the processes of pictures that exceed the hard time limit, and of those that do not stop when asked.
    pub(super) fn kill_overdue(&mut self) {
        let limit = self.settings.hard_time_limit;
        let now = Instant::now();
        let mut doomed = Vec::new();
        for run in self.runs.values_mut() {
            if run.overdue(limit).is_none_or(|due| due > now) {
                continue;
            }
            let Execution::Child { id, killed, .. } = &mut run.place else { continue };
            *killed = Some(Blame::This);
            doomed.push(*id);
            let (job, request) = (run.attempt.lease().job, run.attempt.request_id.as_deref());
            match run.attempt.stopped {
                Some(Stop::Cancelled) => {
                    info!(job.id = %job, request.id = request, "job {job} is cancelled and does not stop: its process is killed");
                }
                Some(Stop::LeaseLost) => {
                    warn!(job.id = %job, request.id = request, "the lease of job {job} is lost and it does not stop: its process is killed");
                }
                None => {
                    warn!(job.id = %job, request.id = request, "job {job} exceeds worker.hard_time_limit ({limit:?}): its process is killed");
                }
            }
        }
        for child in doomed {
            self.crew.kill(child);
            // From now on, its other pictures make no more progress.
            for run in self.runs.values_mut() {
                if let Execution::Child { id, killed: killed @ None, .. } = &mut run.place
                    && *id == child
                {
                    *killed = Some(Blame::Neighbour);
                }
            }
        }
    }

    pub(super) fn died(&mut self, child: u64, how: &str) {
        let Some(killed) = self.crew.bury(child) else { return };
        if matches!(self.phase, Phase::Working)
            && let Err(error) = self.crew.stand_ready(self.cpu.slots())
        {
            warn!("cannot start a computing process: {error}");
        }
        let here = |run: &mut Run| matches!(run.place, Execution::Child { id, .. } if id == child);
        let mut lost: Vec<(u64, Run)> = self.runs.extract_if(|_, run| here(run)).collect();
        if !killed {
            warn!("a computing process died ({how}) with {} jobs", lost.len());
            for (_, Run { attempt, .. }) in &lost {
                let (job, request) = (attempt.lease().job, attempt.request_id.as_deref());
                debug!(job.id = %job, request.id = request, "job {job} was in the process that died");
            }
        }
        // In the order in which they began, also in the queue of waiting pictures.
        lost.sort_by_key(|(number, _)| *number);
        let alone =
            lost.iter().filter(|(_, run)| matches!(run.place, Execution::Child { begun: true, .. })).count() == 1;
        let (mut released, mut crashed) = (Vec::new(), Vec::new());
        let is_working = matches!(self.phase, Phase::Working);
        for (_, Run { mut attempt, place }) in lost.into_iter().rev() {
            self.leave_slot(&attempt);
            match (attempt.stopped, place) {
                (Some(Stop::LeaseLost), _) => self.lose(attempt),
                (Some(Stop::Cancelled), _) => {
                    self.discard(&attempt);
                    self.settle(attempt.end(Verdict::Cancel, None));
                }
                // Its process never had it, so it is to blame for nothing: another takes it, under the same lease.
                (_, Execution::Child { begun: false, .. }) => self.waiting.push_front(attempt),
                (_, Execution::Child { killed: Some(Blame::This), .. }) => {
                    self.discard(&attempt);
                    let limit = self.settings.hard_time_limit;
                    let detail = format!("it took longer than worker.hard_time_limit ({limit:?})");
                    self.conclude(attempt, Err(Failure::permanent("time-limit", detail)));
                }
                // It is not to blame for the picture beside it. It begins again at once, in a process of its own.
                _ if killed && is_working => {
                    attempt.job.alone = true;
                    self.waiting.push_front(attempt);
                }
                _ if killed => {
                    released.push(attempt.lease().clone());
                    self.give_up(attempt);
                }
                _ => {
                    self.discard(&attempt);
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

    /// Ends work on an attempt that is being released, and removes its outputs.
    pub(super) fn give_up(&mut self, attempt: Attempt) {
        self.intake(attempt.class).closed();
        let Some(Picture { folder, .. }) = attempt.picture else { return };
        let storage = self.storage.clone();
        tokio::task::spawn_blocking(move || remove_run(&storage, &folder));
    }

    /// Removes the outputs of an ended attempt. Done before it is settled, because the settlement may have to wait for
    /// this space.
    fn discard(&self, attempt: &Attempt) {
        let Some(Picture { folder, .. }) = &attempt.picture else { return };
        let (storage, folder) = (self.storage.clone(), folder.clone());
        tokio::task::spawn_blocking(move || remove_run(&storage, &folder));
    }

    pub(super) fn leave_slot(&mut self, attempt: &Attempt) {
        if let Some(picture) = &attempt.picture {
            self.computing -= 1;
            self.budget.give_back(picture.peak);
        }
    }
}
