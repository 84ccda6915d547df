//! The commands that wait for the writer, in three lanes. Commands that keep work going overtake those that bring new
//! work, so that many enqueues never cost a worker its lease.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::ledger::{Ledger, Outcome};
use crate::Result;

/// How soon a command is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Renewals of leases: before all others, and without waiting for the disk. Only a power cut undoes them, and it
    /// ends the work that they are for as well.
    Beat,
    /// Before new work.
    Drain,
    /// New work; each batch runs at least one of these.
    Intake,
}

/// A call that the writer runs in a transaction.
pub(super) trait Command: Send {
    fn lane(&self) -> Lane;
    /// When it began to wait.
    fn since(&self) -> Instant;
    /// May be called more than once; only the last run counts.
    fn run(&mut self, ledger: &Ledger<'_>) -> rusqlite::Result<()>;
    /// Sends the answer of the last run, or the error of the transaction, to the caller.
    fn answer(self: Box<Self>, committed: Result<()>);
}

/// A command made of a closure.
pub(super) struct Pending<T, F> {
    lane: Lane,
    moves: F,
    answer: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
    since: Instant,
}

impl<T, F> Pending<T, F> {
    pub(super) fn new(lane: Lane, moves: F, reply: oneshot::Sender<Result<T>>) -> Self {
        Self { lane, moves, answer: None, reply, since: Instant::now() }
    }
}

impl<T, F> Command for Pending<T, F>
where
    T: Send,
    F: FnMut(&Ledger<'_>) -> Outcome<T> + Send,
{
    fn lane(&self) -> Lane {
        self.lane
    }

    fn since(&self) -> Instant {
        self.since
    }

    fn run(&mut self, ledger: &Ledger<'_>) -> rusqlite::Result<()> {
        self.answer = Some((self.moves)(ledger)?);
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        let Self { answer, reply, .. } = *self;
        let answer = committed.and_then(|()| answer.expect("a command is committed after it ran"));
        // The caller may have given up waiting; the transaction counts all the same.
        let _ = reply.send(answer);
    }
}

/// The commands that wait.
#[derive(Default)]
pub(super) struct Lanes {
    waiting: Mutex<Waiting>,
    came: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// One for each [`Lane`], in their order.
    lanes: [VecDeque<Box<dyn Command>>; 3],
    closed: bool,
}

impl Lanes {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a command; drops it if the lanes are closed.
    pub(super) fn push(&self, command: Box<dyn Command>) {
        let mut waiting = self.waiting();
        if waiting.closed {
            return;
        }
        waiting.lanes[command.lane() as usize].push_back(command);
        drop(waiting);
        self.came.notify_one();
    }

    /// Puts a command that could not be run back at the front of its lane. Removes and returns all commands that have
    /// waited for `patience`.
    pub(super) fn put_back(&self, command: Box<dyn Command>, patience: Duration) -> Vec<Box<dyn Command>> {
        let mut waiting = self.waiting();
        waiting.lanes[command.lane() as usize].push_front(command);
        let mut expired = Vec::new();
        for lane in &mut waiting.lanes {
            while let Some(command) = lane.pop_front_if(|command| command.since().elapsed() >= patience) {
                expired.push(command);
            }
        }
        expired
    }

    /// Waits for the next command; `None` once the lanes are closed and empty.
    pub(super) fn wait(&self) -> Option<Box<dyn Command>> {
        let mut waiting = self.waiting();
        loop {
            if let Some(next) = waiting.next() {
                return Some(next);
            }
            if waiting.closed {
                return None;
            }
            waiting = self.came.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next command, without waiting.
    pub(super) fn next(&self) -> Option<Box<dyn Command>> {
        self.waiting().next()
    }

    /// The next command of one lane, without waiting.
    pub(super) fn next_of(&self, lane: Lane) -> Option<Box<dyn Command>> {
        self.waiting().lanes[lane as usize].pop_front()
    }

    /// Takes no more commands; those that wait are still run.
    pub(super) fn close(&self) {
        self.waiting().closed = true;
        self.came.notify_one();
    }

    /// Takes no more commands, and drops those that wait.
    pub(super) fn abort(&self) {
        *self.waiting() = Waiting { closed: true, ..Waiting::default() };
    }
}

impl Waiting {
    fn next(&mut self) -> Option<Box<dyn Command>> {
        self.lanes.iter_mut().find_map(VecDeque::pop_front)
    }
}
