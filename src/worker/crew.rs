//! The child processes of a worker: one shared by most pictures, its predecessors that finish their pictures, and one
//! for each picture that runs alone.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::Settings;
use super::child::Child;
use super::event::Event;

/// Pause after a child that could not be started, or that died at its start.
const PAUSE: Duration = Duration::from_millis(500);
const START: Duration = Duration::from_secs(1);

pub(super) struct Crew {
    program: PathBuf,
    arguments: Vec<OsString>,
    niceness: i32,
    /// Number of pictures that a shared child takes; 0 for no limit.
    most: u64,
    events: mpsc::UnboundedSender<Event>,
    next: u64,
    members: HashMap<u64, Member>,
    shared: Option<u64>,
    /// No child is started before this time.
    pause: Option<Instant>,
}

struct Member {
    child: Child,
    since: Instant,
    threads: usize,
    taken: u64,
    /// Number of its pictures that have not ended.
    open: usize,
    spoke: bool,
    killed: bool,
}

impl Crew {
    pub(super) fn new(settings: &Settings, events: mpsc::UnboundedSender<Event>) -> Self {
        let Settings { program, arguments, niceness, max_jobs_per_child, .. } = settings;
        Self {
            program: program.clone(),
            arguments: arguments.clone(),
            niceness: *niceness,
            most: *max_jobs_per_child,
            events,
            next: 0,
            members: HashMap::new(),
            shared: None,
            pause: None,
        }
    }

    /// Starts the shared child if there is none, for `slots` pictures at a time, so that the next picture need not
    /// wait.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub(super) fn stand_ready(&mut self, slots: usize) -> io::Result<()> {
        if self.shared.is_none() && self.pause().is_none() {
            self.shared = Some(self.start(slots)?);
        }
        Ok(())
    }

    /// The child for one more picture; `None` while no child can be started, see [`pause`](Self::pause).
    ///
    /// A new child replaces the shared one after that has taken its number of pictures, or if it has too few threads
    /// because the number of slots has grown.
    pub(super) fn place(&mut self, alone: bool, slots: usize) -> Option<u64> {
        let worn = |member: &Member| self.most > 0 && member.taken >= self.most || member.threads < slots;
        if let Some(worn) = self.shared.filter(|id| worn(&self.members[id])) {
            self.shared = None;
            self.dismiss_if_idle(worn);
        }
        if (alone || self.shared.is_none()) && self.pause().is_some() {
            return None;
        }
        let started =
            if alone { self.start(1) } else { self.stand_ready(slots).map(|()| self.shared.expect("just started")) };
        match started {
            Ok(id) => {
                let member = self.members.get_mut(&id).expect("it has not died");
                member.taken += 1;
                member.open += 1;
                Some(id)
            }
            Err(error) => {
                warn!("cannot start {} to compute pictures: {error}; trying again", self.program.display());
                self.pause = Some(Instant::now() + PAUSE);
                None
            }
        }
    }

    /// The time before which no child is started, if there is one.
    pub(super) fn pause(&mut self) -> Option<Instant> {
        self.pause = self.pause.filter(|&until| until > Instant::now());
        self.pause
    }

    pub(super) fn send(&self, id: u64, frame: Vec<u8>) {
        if let Some(member) = self.members.get(&id) {
            member.child.send(frame);
        }
    }

    /// Notes that a child has begun a picture; returns its process id.
    pub(super) fn heard(&mut self, id: u64) -> u32 {
        let member = self.members.get_mut(&id).expect("it ends after its last word");
        member.spoke = true;
        member.child.pid
    }

    /// Notes that a picture of this child has ended. A child that takes no more pictures ends with its last one.
    pub(super) fn finished(&mut self, id: u64) {
        if let Some(member) = self.members.get_mut(&id) {
            member.open -= 1;
            self.dismiss_if_idle(id);
        }
    }

    /// Kills a child, and notes that this was not the child's fault. The next picture goes to a new child.
    pub(super) fn kill(&mut self, id: u64) {
        self.shared.take_if(|shared| *shared == id);
        if let Some(member) = self.members.get_mut(&id) {
            member.killed = true;
            member.child.kill();
        }
    }

    pub(super) fn kill_all(&mut self) {
        for id in self.members.keys().copied().collect::<Vec<_>>() {
            self.kill(id);
        }
    }

    /// Removes a dead child; returns whether the worker killed it. `None` for a child that was dismissed.
    pub(super) fn bury(&mut self, id: u64) -> Option<bool> {
        let member = self.members.remove(&id)?;
        if self.shared == Some(id) {
            self.shared = None;
        }
        if !member.spoke && !member.killed && member.since.elapsed() < START {
            self.pause = Some(Instant::now() + PAUSE);
        }
        Some(member.killed)
    }

    fn dismiss_if_idle(&mut self, id: u64) {
        if self.shared != Some(id) && self.members.get(&id).is_some_and(|member| member.open == 0) {
            self.members.remove(&id);
        }
    }

    fn start(&mut self, threads: usize) -> io::Result<u64> {
        let id = self.next;
        let child = Child::start(id, (&self.program, &self.arguments), (threads, self.niceness), self.events.clone())?;
        debug!(child.pid = child.pid, "started computing process {}", child.pid);
        self.next += 1;
        self.members.insert(
            id,
            Member { child, since: Instant::now(), threads, taken: 0, open: 0, spoke: false, killed: false },
        );
        Ok(id)
    }
}
