//! One round's world: a data folder, a broker, programs, a client that goes on uploading, and the look at the end.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use pixmill::job::{Class, GroupId, JobId};
use pixmill::queue::{Broker, EventKind, NewGroup, NewJob, On, Policy, Then};
use reqwest::multipart::Form;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::check::{self, End, JobEnd, Outcome, Terms, Verdict, Violation};
use crate::history::{Entry, History, What};
use crate::program::Program;
use crate::support::client::{Client, images};
use crate::support::disk::SmallDisk;
use crate::support::pictures::{photo, plain_png};
use crate::support::proxy::Proxy;
use crate::support::redis::RedisServer;
use crate::support::{until, until_within};

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
/// Groups that the client leaves open before it uploads the next.
const OPEN_GROUPS: usize = 2;
/// Operations that are done in milliseconds, into a format whose files show that they are whole.
const SMALL: &str = r#"[{"type": "resize", "width": 40, "height": 30, "format": "png"}]"#;
/// Who says in the history that a follow-up was enqueued.
const BROKER: &str = "broker";
/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(30);
/// A request in all: longer than the service takes to give a broker up.
const REQUEST: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Redis,
    Sqlite,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Sqlite => "sqlite",
        }
    }
}

/// How long things take in a round.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub lease: Duration,
    pub beat: Duration,
    /// CPU-bound jobs at a time where none may lose its lease, and outputs of each.
    pub long_jobs: (usize, usize),
    /// Faults that come again and again do so this often.
    pub times: usize,
    /// Redis sleeps this long: longer than a call's timeout.
    pub sleep: Duration,
    /// Everything acknowledged must have ended so long after the last upload.
    pub patience: Duration,
    pub shipped: bool,
}

impl Pace {
    pub const SCALED: Self = Self {
        lease: Duration::from_millis(900),
        beat: Duration::from_millis(300),
        long_jobs: (32, 6),
        times: 10,
        sleep: Duration::from_secs(3),
        patience: Duration::from_mins(2),
        shipped: false,
    };
    /// The settings as they are by default.
    pub const SHIPPED: Self = Self {
        lease: Duration::from_secs(15),
        beat: Duration::from_secs(5),
        long_jobs: (32, 24),
        times: 30,
        sleep: Duration::from_secs(30),
        patience: Duration::from_mins(10),
        shipped: true,
    };
    /// As scaled, with less of everything.
    pub const SHORT: Self = Self { long_jobs: (8, 12), times: 5, ..Self::SCALED };

    /// Long enough for a lease to have run out and been noticed.
    pub fn past_lease(self) -> Duration {
        self.lease + self.beat
    }
}

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
    proxy: Option<Proxy>,
    settings: Vec<(String, String)>,
    programs: Vec<Program>,
    port: u16,
    history: Arc<History>,
    uploads: Option<Uploads>,
}

/// The client at work, until it is dropped.
struct Uploads {
    stop: DropGuard,
    taken: Arc<AtomicUsize>,
    task: JoinHandle<()>,
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
            proxy: None,
            settings: Vec::new(),
            programs: Vec::new(),
            port: free_port(),
            history: Arc::new(History::begin(folder.join("history.jsonl"))),
            uploads: None,
        };
        // The machine's own disk may be nearly full.
        let stage = stage.set("limits.min_free_disk", "0").set("worker.cpu", "2");
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

    /// Sends a command to Redis, as an operator would.
    pub async fn order(&self, command: &str) -> redis::Value {
        let mut words = command.split(' ');
        let mut order = redis::cmd(words.next().unwrap());
        order.arg(words.collect::<Vec<_>>());
        // Some orders take as long as they say.
        let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let client = redis::Client::open(self.redis().url()).unwrap();
        let mut operator = client.get_multiplexed_async_connection_with_config(&patient).await.unwrap();
        order.query_async(&mut operator).await.unwrap_or_else(|error| panic!("{command}: {error}"))
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
        let mut command = Command::new(PROGRAM);
        command.args(arguments).arg("--data-dir").arg(&self.data).current_dir(&self.folder);
        if let Some(redis) = &self.redis {
            let port = self.proxy.as_ref().map_or(redis.port(), Proxy::port);
            command.args(["--redis", &format!("redis://127.0.0.1:{port}/")]);
        }
        command.envs(self.settings.iter().cloned());
        self.programs.push(Program::start(&name, &self.folder, &mut command, skew));
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

    /// From now on a client uploads group after group, every second one of pictures that take their time.
    pub fn upload(&mut self) {
        let (stop, taken) = (CancellationToken::new(), Arc::default());
        let uploading = go_on_uploading(self.client(), self.history.clone(), Arc::clone(&taken), stop.clone());
        self.uploads = Some(Uploads { stop: stop.drop_guard(), taken, task: tokio::spawn(uploading) });
    }

    /// Waits until one more group of the client is acknowledged.
    pub async fn acknowledged(&self) {
        let taken = &self.uploads.as_ref().expect("a client uploads").taken;
        let before = taken.load(Ordering::SeqCst);
        until_within(self.pace.patience, "uploads are taken", async || {
            (taken.load(Ordering::SeqCst) > before).then_some(())
        })
        .await;
    }

    /// Uploads until that is refused.
    pub async fn refused(&self) {
        let client = self.client();
        until_within(self.pace.patience, "uploads are refused", async || {
            submit(&client, small(1), &self.history).await.is_none().then_some(())
        })
        .await;
    }

    /// Uploads one group of pictures that keep their worker busy: `count` of them, each with `outputs`.
    pub async fn upload_long(&self, count: usize, outputs: usize) {
        submit(&self.client(), long(count, outputs), &self.history).await.expect("nothing refuses it yet");
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
        NewJob {
            id: JobId::new(),
            index,
            kind: "image.process".into(),
            queue: "cpu_intensive".into(),
            class: Class::Cpu,
            priority: 5,
            delay: None,
            max_attempts: 4,
            after: None,
            retry_of: None,
            payload: payload.to_string().into(),
        }
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

    /// Lets everything come to its end, looks at all of it, and judges.
    pub async fn conclude(mut self) -> Verdict {
        if self.uploads.is_some() {
            self.acknowledged().await;
        }
        if let Some(Uploads { stop, task, .. }) = self.uploads.take() {
            drop(stop);
            task.await.unwrap();
        }
        let mut violations = Vec::new();
        let ends = self.ends().await;
        if ends.iter().all(|end| end.finished)
            && let Err(open) = self.is_drained().await
        {
            violations.push(Violation::Miscounted(open));
        }
        self.collect_fired().await;
        violations.extend(self.terminate().await);
        let history = self.seen();
        for entry in history.iter().filter(|entry| entry.by != "driver" && entry.by != BROKER) {
            self.history.append(entry);
        }
        let mut verdict = check::judge(&history, &ends, &self.terms);
        verdict.violations.extend(violations);
        verdict
    }

    /// Every acknowledged group that is known, once it has ended or patience has.
    async fn ends(&self) -> Vec<End> {
        let client = self.client();
        let deadline = Instant::now() + self.pace.patience;
        let mut ends = Vec::new();
        for entry in self.history.entries() {
            let What::Acknowledged { group, .. } = entry.what else { continue };
            let status = loop {
                let status = status(&client, &group).await;
                let over = match &status {
                    Ok(status) => status["status"] != "processing",
                    Err(code) => *code == Some(404) && self.terms.over.contains(&group),
                };
                if over || Instant::now() > deadline {
                    break status;
                }
                tokio::time::sleep(LOOK).await;
            };
            if let Ok(status) = status {
                ends.push(self.end(group, &status));
            }
        }
        ends
    }

    fn end(&self, group: String, status: &Value) -> End {
        let count = |name: &str| status[name].as_u64().expect("a counter") as usize;
        let jobs = status["result"].as_array().expect("results").iter().map(|entry| {
            let outcome = if entry["success"] == true {
                self.success(entry)
            } else {
                Outcome::Failed { code: entry["error"]["code"].as_str().expect("a code").into() }
            };
            JobEnd { job: entry["job_id"].as_str().expect("an id").into(), outcome }
        });
        End {
            jobs: jobs.collect(),
            finished: status["status"] != "processing",
            total: count("total_images"),
            succeeded: count("succeeded"),
            failed: count("failed"),
            cancelled: count("cancelled"),
            group,
        }
    }

    fn success(&self, entry: &Value) -> Outcome {
        let outputs = entry["outputs"].as_array().expect("outputs");
        let path = |output: &Value| output["path"].as_str().expect("a path").to_owned();
        // /files/<group>/<job>/<run>/<file>
        let runs: Vec<u32> = outputs.iter().filter_map(|output| path(output).split('/').nth(4)?.parse().ok()).collect();
        let whole = outputs.iter().all(|output| {
            let file = self.data.join(path(output).replacen("/files/", "outputs/", 1));
            std::fs::read(file).is_ok_and(|bytes| bytes.len() as u64 == output["bytes"] && is_whole(&bytes))
        });
        let run = runs[0];
        Outcome::Succeeded { run, whole: whole && runs.iter().all(|&other| other == run) }
    }

    /// No job is open any more, not even of an upload that was never acknowledged.
    async fn is_drained(&self) -> Result<(), String> {
        let client = self.client();
        let deadline = Instant::now() + self.pace.patience;
        loop {
            let metrics = client.get("/metrics").await.text();
            let depths: Vec<&str> = metrics.lines().filter(|line| line.starts_with("pixmill_jobs{")).collect();
            if !depths.is_empty() && depths.iter().all(|line| line.ends_with(" 0")) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("all groups have ended, but the queue holds {depths:?}"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Adds to the history what the broker says it enqueued after a group.
    async fn collect_fired(&self) {
        let broker = self.broker().await;
        let mut after: Option<String> = None;
        loop {
            let events = broker.events(after.as_deref(), 1_000).await.unwrap();
            let Some(last) = events.last() else { break };
            after = Some(last.id.clone());
            for event in events.into_iter().filter(|event| event.kind == EventKind::Fired) {
                let what = What::Fired { group: event.group.to_string() };
                self.history.append(&Entry { at: event.at, by: BROKER.into(), what });
            }
        }
    }

    /// Ends every program as an operator would, so that each has said its last.
    async fn terminate(&mut self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for program in self.programs.iter_mut().filter_map(|program| (!program.ended()).then_some(program)) {
            program.signal(Signal::TERM);
        }
        for program in &mut self.programs {
            let deadline = Instant::now() + self.pace.patience;
            while !program.ended() && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            if !program.ended() {
                violations.push(Violation::Stuck(format!("{} does not end on SIGTERM", program.name)));
            }
        }
        violations
    }
}

async fn go_on_uploading(client: Client, history: Arc<History>, taken: Arc<AtomicUsize>, stop: CancellationToken) {
    let mut open: VecDeque<String> = VecDeque::new();
    let mut number = 0;
    while !stop.is_cancelled() {
        tokio::time::sleep(LOOK).await;
        if let Some(group) = open.front().filter(|_| open.len() >= OPEN_GROUPS) {
            match status(&client, group).await {
                Ok(status) if status["status"] == "processing" => continue,
                Ok(_) => drop(open.pop_front()),
                // Nobody knows how the group stands: a client like this one uploads all the more.
                Err(_) => {}
            }
        }
        let form = if number % 2 == 0 { long(2, 1) } else { small(4) };
        if let Some(group) = submit(&client, form, &history).await {
            open.push_back(group);
            number += 1;
            taken.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Uploads once; the group, if it was acknowledged.
async fn submit(client: &Client, form: Form, history: &History) -> Option<String> {
    let answer = client.request("POST", "/api/upload").multipart(form).timeout(REQUEST).send().await;
    let status = answer.as_ref().ok().map(|answer| answer.status().as_u16());
    if status == Some(202)
        && let Ok(accepted) = answer.ok()?.json::<Value>().await
    {
        let group = accepted["task_id"].as_str().expect("an id").to_owned();
        let jobs = accepted["total_images"].as_u64().expect("a count") as usize;
        history.add(What::Acknowledged { group: group.clone(), jobs });
        return Some(group);
    }
    history.add(What::Refused { status });
    None
}

/// The status document; the HTTP status where there is none, or nothing where nobody answers.
async fn status(client: &Client, group: &str) -> Result<Value, Option<u16>> {
    let request = client.request("GET", &format!("/api/task_status/{group}")).timeout(REQUEST);
    let answer = request.send().await.map_err(|_| None)?;
    if !answer.status().is_success() {
        return Err(Some(answer.status().as_u16()));
    }
    answer.json().await.map_err(|_| None)
}

/// Pictures that are done in milliseconds.
fn small(count: usize) -> Form {
    let names: Vec<String> = (0..count).map(|i| format!("{i}.png")).collect();
    let form = images(names.iter().map(|name| (name.as_str(), plain_png(120, 90))));
    form.text("operations", SMALL)
}

/// Pictures that each keep a core busy for a while.
fn long(count: usize, outputs: usize) -> Form {
    let names: Vec<String> = (0..count).map(|i| format!("{i}.jpg")).collect();
    let form = images(names.iter().map(|name| (name.as_str(), photo())));
    form.text("operations", long_operations(outputs))
}

/// Each takes some tenths of a second, and none can be made from another.
fn long_operations(outputs: usize) -> String {
    let resize = |i: usize| json!({"type": "resize", "width": 1000 - i, "height": 700 - i, "format": "webp"});
    (0..outputs).map(resize).collect::<Value>().to_string()
}

/// A file of one of the formats that the rounds ask for, to its last byte.
fn is_whole(bytes: &[u8]) -> bool {
    match bytes {
        [b'R', b'I', b'F', b'F', a, b, c, d, ..] => u32::from_le_bytes([*a, *b, *c, *d]) as usize + 8 == bytes.len(),
        [0x89, b'P', b'N', b'G', ..] => bytes.ends_with(b"IEND\xaeB\x60\x82"),
        _ => false,
    }
}

fn injected(hit: Vec<String>) -> Entry {
    Entry { at: jiff::Timestamp::now(), by: "driver".into(), what: What::Injected { hit } }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn ms(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}
