//! Changes to the counters of queues and groups, gathered during a transition and written once at its end.

use std::collections::BTreeMap;

use super::encoding::state_code;
use crate::State;

#[derive(Default)]
pub(super) struct Tally {
    /// Waiting, delayed, active; by the queue's row.
    pub(super) queues: BTreeMap<i64, [i64; 3]>,
    /// Succeeded, failed, cancelled; by the group's id.
    pub(super) groups: BTreeMap<[u8; 16], [i64; 3]>,
}

impl Tally {
    /// A job of `queue` changed from one state to another. Terminal states have no counter in a queue.
    pub(super) fn moved(&mut self, queue: i64, from: State, to: State) {
        let depth = self.queues.entry(queue).or_default();
        for (state, change) in [(from, -1), (to, 1)] {
            if let Some(column) = depth.get_mut(state_code(state) as usize) {
                *column += change;
            }
        }
    }

    /// A job of `group` ended in a terminal state.
    pub(super) fn ended(&mut self, group: [u8; 16], state: State) {
        self.groups.entry(group).or_default()[(state_code(state) - state_code(State::Succeeded)) as usize] += 1;
    }

    /// How many jobs were cancelled.
    pub(super) fn cancelled(&self) -> u64 {
        self.groups.values().map(|[_, _, cancelled]| *cancelled as u64).sum()
    }
}
