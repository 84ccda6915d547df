//! One round's world: a data folder, a broker, programs, a client that goes on uploading, and the look at the end.

mod client;
mod end;
mod pace;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use queue::{Broker, Class, GroupId, JobId, NewGroup, NewJob, On, Policy, Then};
use rustix::process::{Resource, Rlimit, Signal, prlimit};
use serde_json::{Value, json};

use crate::check::{self, Terms};
use crate::history::{Entry, History, What};
use crate::program::{Program, SET_BACK};
use crate::support::client::Client;
use crate::support::disk::SmallDisk;
use crate::support::faketime::FakeClock;
use crate::support::pictures::photo;
use crate::support::proxy::Proxy;
use crate::support::redis::RedisServer;
use crate::support::{free_port, until, until_within};
use client::{Uploads, long_operations, status};

pub use pace::{Kind, Pace};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pixmill");
/// As the compose file has it, and with what DEBUG needs.
const REDIS: [&str; 8] = [
    "--appendonly",
    "yes",
    "--appendfsync",
    "everysec",
    "--maxmemory-policy",
    "noeviction",
    "--enable-debug-command",
    "local",
];
/// Operations that are done in milliseconds, into a format whose files show that they are whole.
const SMALL: &str = r#"[{"type": "resize", "width": 40, "height": 30, "format": "png"}]"#;
/// Who says in the history that a follow-up was enqueued.
const BROKER: &str = "broker";
/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(30);

/// A program of this round, by its place.
#[derive(Debug, Clone, Copy)]
pub struct Handle(usize);

pub struct Stage {
    pub pace: Pace,
    pub kind: Kind,
    pub terms: Terms,
    random: fastrand::Rng,
    folder: PathBuf,
    data: PathBuf,
    disk: Option<SmallDisk>,
    redis: Option<RedisServer>,
    /// What all programs go by.
    clock: Option<FakeClock>,
    /// The limit of open files that the programs are started with.
    files: Option<u64>,
    silent: Vec<std::net::TcpStream>,
    proxy: Option<Proxy>,
    settings: Vec<(String, String)>,
    programs: Vec<Program>,
    port: u16,
    history: Arc<History>,
    uploads: Option<Uploads>,
}

impl Stage {
    pub fn new(folder: &Path, kind: Kind, pace: Pace, seed: u64) -> Self {
        let data = folder.join("data");
        std::fs::create_dir_all(&data).unwrap();
        let stage = Self {
            pace,
            kind,
            terms: Terms::default(),
            random: fastrand::Rng::with_seed(seed),
            folder: folder.into(),
            data,
            disk: None,
            redis: (kind == Kind::Redis).then(|| RedisServer::start(&REDIS)),
            clock: None,
            files: None,
            silent: Vec::new(),
            proxy: None,
            settings: Vec::new(),
            programs: Vec::new(),
            port: free_port(),
            history: Arc::new(History::begin(folder.join("history.jsonl"))),
            uploads: None,
        };
        // The machine's own disk may be nearly full.
        let stage = stage.set("limits.min_free_disk", "0").set("limits.ballast", "0").set("worker.cpu", "2");
        let stage = stage.set("log.format", "json").set("log.level", "info,pixmill::worker=debug");
        if pace.shipped {
            return stage;
        }
        let stage = stage.set("queue.lease", &ms(pace.lease)).set("queue.beat", &ms(pace.beat));
        stage.set("queue.backoff_base", "100ms").set("queue.backoff_cap", "500ms").set("retention.outbox_age", "2s")
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        self.configure(name, value);
        self
    }

    /// A setting of the programs to be started, by its dotted name.
    pub fn configure(&mut self, name: &str, value: &str) {
        self.settings.push((format!("PIXMILL__{}", name.to_uppercase().replace('.', "__")), value.into()));
    }

    /// Puts the data folder on a disk of its own.
    pub fn on_small_disk(&mut self, size: &str) {
        let disk = SmallDisk::mount(size);
        self.data = disk.path().join("data");
        std::fs::create_dir(&self.data).unwrap();
        self.disk = Some(disk);
    }

    /// Has the programs to be started go by a clock that can be set. Redis keeps the machine's: libfaketime does not get on
    /// with its allocator.
    pub fn by_a_clock(&mut self) {
        self.clock = Some(FakeClock::at(self.folder.join("clock")));
    }

    /// Sets the clock back by [`SET_BACK`].
    pub fn set_clock_back(&self) {
        let clock = self.clock.as_ref().expect("the round goes by a clock");
        clock.set(&format!("-{}", SET_BACK.as_secs()));
    }

    /// Limits the files that programs started from now on may have open.
    pub fn limit_files(&mut self, files: u64) {
        self.files = Some(files);
    }

    /// Lets a program open no more files than it has open, or as many as before.
    pub fn take_descriptors(&self, handle: Handle, take: bool) {
        let process = self.program(handle).id();
        let open = std::fs::read_dir(format!("/proc/{}/fd", process.as_raw_nonzero())).unwrap().count() as u64;
        let maximum = self.files;
        let current = if take { Some(open) } else { maximum };
        prlimit(Some(process), Resource::Nofile, Rlimit { current, maximum }).unwrap();
    }

    /// Opens connections that send nothing.
    pub fn connect_in_silence(&mut self, count: usize) {
        let address = format!("127.0.0.1:{}", self.port);
        let connect = |_| std::net::TcpStream::connect(&address).ok();
        self.silent.extend((0..count).filter_map(connect));
    }

    /// Closes them.
    pub fn hang_up(&mut self) {
        self.silent.clear();
    }

    pub fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().expect("the data lie on a small disk")
    }

    /// Puts a proxy between the programs and Redis.
    pub async fn behind_proxy(&mut self) {
        self.proxy = Some(Proxy::before(self.redis().port()).await);
    }

    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("there is a proxy")
    }

    pub fn redis(&self) -> &RedisServer {
        self.redis.as_ref().expect("the round runs on Redis")
    }

    /// The master dies, and the replica takes its place.
    pub async fn fail_over_to(&mut self, replica: RedisServer) {
        let master = self.redis.take().expect("the round runs on Redis");
        self.redis = Some(replica.takes_over(master).await);
    }

    /// A copy of the queue's file as it is now, made as a backup is: whole, and beside the programs at work.
    pub fn copy_of_queue(&self) -> PathBuf {
        let copy = self.folder.join("copy.db");
        let queue = rusqlite::Connection::open(self.data.join("queue.db")).unwrap();
        queue.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
        copy
    }

    /// Puts a copy in the place of the queue's file, which nobody has open.
    pub fn restore_queue(&self, copy: &Path) {
        for beside in ["queue.db-wal", "queue.db-shm"] {
            let _ = std::fs::remove_file(self.data.join(beside));
        }
        std::fs::rename(copy, self.data.join("queue.db")).unwrap();
    }

    /// Notes that the broker has just forgotten what was published.
    pub fn has_forgotten(&mut self) {
        // What was settled just before is logged just after.
        self.terms.forgotten_at = Some(Timestamp::now() + SignedDuration::from_millis(500));
    }

    /// The API alone.
    pub async fn api(&mut self) -> Handle {
        self.serve(&["--no-workers"], self.port, SignedDuration::ZERO).await
    }

    /// The API with workers in it.
    pub async fn service(&mut self) -> Handle {
        self.serve(&[], self.port, SignedDuration::ZERO).await
    }

    /// A second service beside the first, whose clock is `skew` ahead.
    pub async fn second_service(&mut self, skew: SignedDuration) -> Handle {
        self.serve(&[], free_port(), skew).await
    }

    async fn serve(&mut self, arguments: &[&str], port: u16, skew: SignedDuration) -> Handle {
        let address = format!("127.0.0.1:{port}");
        let handle = self.start("serve", &[&["serve", "--listen", &address], arguments].concat(), skew);
        let client = Client::new(&format!("http://{address}"));
        until("the service answers", async || {
            let answer = client.request("GET", "/healthz").send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        handle
    }

    pub async fn worker(&mut self) -> Handle {
        self.worker_ahead(SignedDuration::ZERO).await
    }

    /// A worker whose clock is `skew` ahead.
    pub async fn worker_ahead(&mut self, skew: SignedDuration) -> Handle {
        let handle = self.start("worker", &["worker"], skew);
        self.program(handle).says("takes jobs from").await;
        handle
    }

    fn start(&mut self, name: &str, arguments: &[&str], skew: SignedDuration) -> Handle {
        let name = format!("{name}-{}", self.programs.len() + 1);
        let mut command = match self.files {
            None => Command::new(PROGRAM),
            Some(files) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\""), PROGRAM]);
                shell
            }
        };
        command.args(arguments).arg("--data-dir").arg(&self.data).current_dir(&self.folder);
        if let Some(redis) = &self.redis {
            let url = self.proxy.as_ref().map_or_else(|| redis.url(), Proxy::redis_url);
            command.args(["--redis", &url]);
        }
        command.envs(self.settings.iter().cloned());
        self.programs.push(Program::start(&name, &self.folder, &mut command, self.clock.as_ref(), skew));
        Handle(self.programs.len() - 1)
    }

    pub fn program(&self, handle: Handle) -> &Program {
        &self.programs[handle.0]
    }

    /// Waits until a program has logged one of these.
    pub async fn somebody_says(&self, words: &[&str]) {
        until(&format!("a program says one of {words:?}"), async || {
            let mut logs = self.programs.iter().map(Program::log);
            logs.any(|log| words.iter().any(|words| log.contains(words))).then_some(())
        })
        .await;
    }

    pub fn kill(&mut self, handle: Handle) {
        self.programs[handle.0].kill();
    }

    pub fn signal(&self, handle: Handle, signal: Signal) {
        self.program(handle).signal(signal);
    }

    pub fn client(&self) -> Client {
        Client::new(&format!("http://127.0.0.1:{}", self.port))
    }

    /// Enqueues a group beside HTTP with a follow-up: a picture whose job starts when the group has succeeded.
    pub async fn enqueue_with_follow_up(&self) {
        let (group, then) = (GroupId::new(), GroupId::new());
        let jobs = [0, 1].map(|index| self.job(index, SMALL));
        let follow_up = Then { on: On::Success, group: then, job: self.job(0, SMALL) };
        let group = NewGroup { then: Some(follow_up), ..NewGroup::new(group, "{}".into()) };
        self.enqueue(&group, &jobs).await;
        self.history.add(What::Acknowledged { group: then.to_string(), jobs: 1 });
    }

    /// Enqueues a single job that takes a while, in a group of its own; both ids.
    pub async fn enqueue_long_job(&self, outputs: usize) -> (GroupId, JobId) {
        let (group, job) = (NewGroup::new(GroupId::new(), "{}".into()), self.job(0, &long_operations(outputs)));
        self.enqueue(&group, std::slice::from_ref(&job)).await;
        (group.id, job.id)
    }

    async fn enqueue(&self, group: &NewGroup, jobs: &[NewJob]) {
        self.broker().await.enqueue(group, jobs).await.unwrap();
        self.history.add(What::Acknowledged { group: group.id.to_string(), jobs: jobs.len() });
    }

    fn job(&self, index: u32, operations: &str) -> NewJob {
        let source = self.folder.join("source.jpg");
        std::fs::write(&source, photo()).unwrap();
        let operations: Value = serde_json::from_str(operations).unwrap();
        let payload = json!({
            "kind": "image.process",
            "source": {"file": source},
            "image": format!("{index}.jpg"),
            "operations": operations,
        });
        let payload = payload.to_string().into();
        NewJob { index, ..NewJob::new("image.process", "cpu_intensive", Class::Cpu, payload) }
    }

    /// The queue, reached past the service and past any proxy.
    async fn broker(&self) -> Broker {
        let policy = Policy { lease: self.pace.lease, beat: self.pace.beat, ..Policy::default() };
        match &self.redis {
            Some(redis) => Broker::connect_redis(&redis.url(), "pixmill", policy).await.unwrap(),
            None => Broker::open_sqlite(&self.data.join("queue.db"), policy).unwrap(),
        }
    }

    /// Waits until a program is computing.
    pub async fn at_work(&self, handle: Handle) {
        let program = self.program(handle);
        until(&format!("{} is at work", program.name), async || {
            let mut history = program.history();
            history.push(injected(vec![program.name.clone()]));
            (!check::disturbed(&history).is_empty()).then_some(())
        })
        .await;
    }

    /// Notes the fault, just before it happens; it hits these programs, or all of them where none is named.
    pub fn inject(&self, hit: &[Handle]) {
        let hit = hit.iter().map(|&handle| self.program(handle).name.clone()).collect();
        self.history.add(What::Injected { hit });
    }

    /// Notes that what the fault took away is there again.
    pub fn healed(&self) {
        self.history.add(What::Healed);
    }

    /// Waits until every job that the fault disturbed runs again or has ended.
    pub async fn recovered(&self) {
        until_within(self.pace.patience, "the disturbed jobs run again", async || {
            let history = self.seen();
            let disturbed = check::disturbed(&history);
            if disturbed.is_empty() || check::recovery(&history).is_some() {
                return Some(());
            }
            // Killed between a settlement and its word of it, a program leaves a job that has ended and never runs again.
            let client = self.client();
            for job in disturbed {
                status(&client, job).await.ok().filter(|status| status["status"] != "processing")?;
            }
            Some(())
        })
        .await;
    }

    /// Lets a random part of a heartbeat pass, so that no two rounds are hit at the same moment.
    pub async fn a_moment(&mut self) {
        let moment = self.pace.beat.mul_f64(self.random.f64());
        self.pass(moment).await;
    }

    /// Notes which groups have ended, for a broker that is about to forget them.
    pub async fn note_what_is_over(&mut self) {
        let client = self.client();
        for entry in self.history.entries() {
            if let What::Acknowledged { group, .. } = entry.what
                && status(&client, &group).await.is_ok_and(|status| status["status"] != "processing")
            {
                self.terms.over.insert(group);
            }
        }
    }

    /// As [`note_what_is_over`](Self::note_what_is_over), while no program runs.
    pub async fn note_what_the_broker_has_ended(&mut self) {
        let broker = self.broker().await;
        for entry in self.history.entries() {
            if let What::Acknowledged { group, .. } = entry.what {
                let id = group.parse().expect("an id");
                let known = broker.group(id).await.unwrap().expect("what was acknowledged is known");
                if known.finished_at.is_some() {
                    self.terms.over.insert(group);
                }
            }
        }
        drop(broker);
        if self.redis.is_none() {
            // What the log holds is moved into the file, or the damage would be covered by it.
            let file = rusqlite::Connection::open(self.data.join("queue.db")).unwrap();
            let busy: i64 = file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
            assert_eq!(busy, 0, "no program runs");
        }
    }

    /// Turns a bit over at random in a file of the store: one in all of it, or one in each page but the first.
    pub fn turn_bits_over(&mut self, file: &str, page: Option<usize>) {
        let path = self.data.join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        let (page, first) = page.map_or((bytes.len(), 0), |page| (page, page));
        for begin in (first..bytes.len()).step_by(page) {
            let place = self.random.usize(begin..bytes.len().min(begin + page));
            bytes[place] ^= 1 << self.random.u8(0..8);
        }
        std::fs::write(&path, bytes).unwrap();
    }

    /// Starts the service on a queue whose file may be damaged. Where it refuses it, the file is moved away, as it says;
    /// answers whether that was so.
    pub async fn moves_a_damaged_queue_away(&mut self) -> bool {
        let address = format!("127.0.0.1:{}", self.port);
        let handle = self.start("serve", &["serve", "--listen", &address, "--no-workers"], SignedDuration::ZERO);
        let client = self.client();
        let serves = until("the service has looked at its queue", async || {
            if self.programs[handle.0].ended() {
                return Some(false);
            }
            let answer = client.request("GET", "/healthz").send().await.ok();
            answer.is_some_and(|answer| answer.status().is_success()).then_some(true)
        })
        .await;
        if serves {
            self.kill(handle);
            return false;
        }
        let log = self.program(handle).log();
        // Of a store's id no bit can be wrong in itself: it is another store's.
        let names = ["is damaged", "is not a pixmill queue", "has the jobs of the store"];
        assert!(names.iter().any(|name| log.contains(name)), "it refuses its queue by name: {log}");
        for file in ["queue.db", "queue.db-wal", "queue.db-shm"] {
            let _ = std::fs::rename(self.data.join(file), self.folder.join(format!("{file}.damaged")));
        }
        true
    }

    /// Waits until a group has ended, and does something at every look until then.
    pub async fn until_ended(&self, group: GroupId, mut meanwhile: impl FnMut(&Self)) {
        let (client, group) = (self.client(), group.to_string());
        until_within(self.pace.patience, "the group ends", async || {
            meanwhile(self);
            let status = status(&client, &group).await;
            status.is_ok_and(|status| status["status"] != "processing").then_some(())
        })
        .await;
    }

    /// Waits until all that was acknowledged so far has ended.
    pub async fn drained(&self) {
        self.ends().await;
    }

    /// The fault lasts.
    pub async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Everything that the driver and the programs said so far, in the order of time.
    pub fn seen(&self) -> Vec<Entry> {
        let mut seen = self.history.entries();
        seen.extend(self.programs.iter().flat_map(Program::history));
        seen.sort_by_key(|entry| entry.at);
        seen
    }
}

fn injected(hit: Vec<String>) -> Entry {
    Entry { at: jiff::Timestamp::now(), by: "driver".into(), what: What::Injected { hit } }
}

fn ms(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}
