//! The end of a shift: it releases jobs that have not begun, finishes running jobs, and finally releases those as well.

use std::time::Duration;

use tokio::time::Instant;
use tracing::info;

use super::super::attempt::Attempt;
use super::{Execution, Phase, Run, Shift};

/// Time to settle finished results after the grace period, however short that was.
const LAST_WORD: Duration = Duration::from_secs(2);

impl Shift {
    /// Claims no more, releases jobs that have not begun, and lets the others finish within the grace period.
    pub(super) fn drain(&mut self) {
        self.phase = Phase::Draining(Instant::now() + self.settings.shutdown_grace);
        self.cpu.shut();
        self.io.shut();
        let waiting = self.waiting.len();
        let running = self.cpu.open() + self.io.open() - waiting;
        info!("stopping: {running} jobs are finished, {waiting} given back");
        self.give_waiting_back();
    }

    /// Stops computing: each running job is released as soon as its process is dead.
    pub(super) fn end(&mut self) {
        self.phase = Phase::Ending(Instant::now() + LAST_WORD);
        self.cpu.shut();
        self.io.shut();
        self.crew.kill_all();
        let tasks: Vec<Run> =
            self.runs.extract_if(|_, run| matches!(run.place, Execution::Task(_))).map(|(_, run)| run).collect();
        let mut leases = Vec::new();
        for Run { attempt, place } in tasks {
            if let Execution::Task(task) = place {
                task.abort();
            }
            leases.push(attempt.lease().clone());
            self.give_up(attempt);
        }
        self.release(leases, None);
    }

    pub(super) fn give_waiting_back(&mut self) {
        let waiting: Vec<Attempt> = self.waiting.drain(..).collect();
        for _ in &waiting {
            self.cpu.closed();
        }
        self.release(waiting.into_iter().map(|attempt| attempt.job.lease).collect(), None);
    }

    /// Whether nothing runs and the broker has all results. It may still be answering a claim.
    pub(super) fn has_nothing_to_finish(&self) -> bool {
        self.runs.is_empty()
            && self.publishing == 0
            && self.results.is_empty()
            && !self.lanes.are_settling()
            && self.releases.is_empty()
    }
}
