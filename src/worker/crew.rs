//! The child processes of a worker: one that most pictures share, its predecessors that finish what they have, and
//! one for each picture that runs alone.

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

/// After a child that could not be started, or died at its start.
const PAUSE: Duration = Duration::from_millis(500);
const START: Duration = Duration::from_secs(1);

pub(super) struct Crew {
    program: PathBuf,
    arguments: Vec<OsString>,
    niceness: i32,
    /// Pictures a shared child takes; 0: no limit.
    most: u64,
    events: mpsc::UnboundedSender<Event>,
    next: u64,
    members: HashMap<u64, Member>,
    shared: Option<u64>,
    /// No child is started before.
    pause: Option<Instant>,
}

struct Member {
    child: Child,
    since: Instant,
    threads: usize,
    taken: u64,
    /// Pictures that it has and has not finished.
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

    /// Starts the shared child where there is none, so that the next picture need not wait for it; for so many at a time.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub(super) fn stand_ready(&mut self, slots: usize) -> io::Result<()> {
        if self.shared.is_none() && self.pause().is_none() {
            self.shared = Some(self.start(slots)?);
        }
        Ok(())
    }

    /// The child for one more picture; none while none can be started, see [`pause`](Self::pause).
    ///
    /// A fresh one takes over when the shared one has done its share, or has too few threads since the slots have grown.
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

    /// Until when no child is started.
    pub(super) fn pause(&mut self) -> Option<Instant> {
        self.pause = self.pause.filter(|&until| until > Instant::now());
        self.pause
    }

    pub(super) fn send(&self, id: u64, frame: Vec<u8>) {
        if let Some(member) = self.members.get(&id) {
            member.child.send(frame);
        }
    }

    /// A child has begun with a picture; its process id.
    pub(super) fn heard(&mut self, id: u64) -> u32 {
        let member = self.members.get_mut(&id).expect("it ends after its last word");
        member.spoke = true;
        member.child.pid
    }

    /// A picture of this child's has ended. One that takes no more ends with its last.
    pub(super) fn finished(&mut self, id: u64) {
        if let Some(member) = self.members.get_mut(&id) {
            member.open -= 1;
            self.dismiss_if_idle(id);
        }
    }

    /// Ends a child at once; what it computes is not to blame. Its successor takes what comes next.
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

    /// Takes a dead child off the list, and answers whether it died by our own hand; none for one that was dismissed.
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
