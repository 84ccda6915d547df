//! The real program as child processes, with a data folder of its own; killed when dropped.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use queue::{Broker, Policy};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;

use super::client::Client;
use super::faketime::{self, FakeClock};
use super::redis::RedisServer;
use super::{PATIENCE, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pixmill");

/// A data folder, a broker and settings: what services and workers are started with.
pub struct Home {
    folder: PathBuf,
    redis: Option<String>,
    settings: Vec<(String, String)>,
    /// The limit of open files that its processes are started with.
    files: Option<u64>,
    clock: Option<Arc<FakeClock>>,
    _owned: Option<TempDir>,
    _shared: Option<Arc<RedisServer>>,
}

impl Home {
    pub fn sqlite() -> Self {
        let owned = tempfile::tempdir().unwrap();
        let home = Self::at(owned.path());
        Self { _owned: Some(owned), ..home }
    }

    /// On the shared Redis, under a prefix of its own.
    pub fn redis() -> Self {
        let server = RedisServer::shared();
        let prefix = format!("test-{}", queue::JobId::new());
        let home = Self::on(&server.url()).set("broker.prefix", &prefix);
        Self { _shared: Some(server), ..home }
    }

    /// On the Redis at `url`.
    pub fn on(url: &str) -> Self {
        Self::sqlite().using(url)
    }

    pub fn using(self, redis: &str) -> Self {
        Self { redis: Some(redis.into()), ..self }
    }

    /// In a folder that somebody else removes.
    pub fn at(folder: &Path) -> Self {
        let home = Self {
            folder: folder.into(),
            redis: None,
            settings: Vec::new(),
            files: None,
            clock: None,
            _owned: None,
            _shared: None,
        };
        // The test machine's disk may be nearly full.
        home.set("limits.min_free_disk", "0").set("limits.ballast", "0").set("worker.cpu", "2")
    }

    /// A setting by its dotted name.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        let variable = format!("PIXMILL__{}", name.to_uppercase().replace('.', "__"));
        self.settings.push((variable, value.into()));
        self
    }

    /// Limits the files that its processes may have open, soft and hard.
    pub fn with_files(self, files: u64) -> Self {
        Self { files: Some(files), ..self }
    }

    /// With processes that go by this clock.
    pub fn by(self, clock: &Arc<FakeClock>) -> Self {
        Self { clock: Some(Arc::clone(clock)), ..self }
    }

    /// With the clock of its processes moved, say by `+2d`; deadlines and intervals stay real.
    pub fn at_time(mut self, moved: &str) -> Self {
        let library = faketime::library();
        let fake =
            [("LD_PRELOAD", library.to_str().unwrap()), ("FAKETIME", moved), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
        self.settings.extend(fake.map(|(name, value)| (name.to_owned(), value.to_owned())));
        self
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Everything under `uploads/` or `outputs/`.
    pub fn files(&self, part: &str) -> Vec<PathBuf> {
        let found = walkdir::WalkDir::new(self.folder.join(part)).min_depth(1);
        found.into_iter().filter_map(Result::ok).map(walkdir::DirEntry::into_path).collect()
    }

    /// Waits until no upload has left anything.
    pub async fn is_left_empty(&self) {
        until("nothing is left behind", async || self.files("uploads").is_empty().then_some(())).await;
        assert_eq!(self.files("outputs"), Vec::<PathBuf>::new());
    }

    /// A service with workers in it.
    pub fn serve(&self) -> Service {
        self.serve_with(&[])
    }

    pub fn serve_with(&self, arguments: &[&str]) -> Service {
        let mut process = self.start(&[&["serve", "--listen", "127.0.0.1:0"], arguments].concat());
        let is_json = self.settings.iter().any(|(name, value)| name == "PIXMILL__LOG__FORMAT" && value == "json");
        if is_json {
            return Service { client: Client::new(&process.url_in_log()), process, place: String::new() };
        }
        let lines = BufReader::new(process.child.stdout.take().unwrap()).lines();
        let (told, said) = std::sync::mpsc::channel();
        std::thread::spawn(move || lines.take(2).map_while(Result::ok).all(|line| told.send(line).is_ok()));
        // A service that neither starts nor ends fails its test.
        let next_line = || said.recv_timeout(PATIENCE).unwrap_or_default();
        let line = next_line();
        let url = line.strip_prefix("listening on ");
        let url = url.unwrap_or_else(|| panic!("the service did not start: {line:?}\n{}", process.log()));
        let place = next_line();
        Service { client: Client::new(url), process, place }
    }

    /// Its queue, for what no client does. What is claimed through it is kept for the test's whole time.
    pub async fn broker(&self) -> Broker {
        let policy = Policy { lease: Duration::from_hours(1), ..Policy::default() };
        let setting =
            |name: &str| self.settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        match &self.redis {
            Some(url) => {
                let prefix = setting("PIXMILL__BROKER__PREFIX").unwrap_or("pixmill");
                Broker::connect_redis(url, prefix, policy).await.unwrap()
            }
            None => Broker::open_sqlite(&self.folder.join("queue.db"), policy).unwrap(),
        }
    }

    /// A key that `pixmill keys create` makes: its id, and the key itself under `key`.
    pub async fn key(&self, arguments: &[&str]) -> Value {
        let (status, output, log) = self.start(&[&["keys", "create", "--json"], arguments].concat()).ends().await;
        assert!(status.success(), "{log}");
        serde_json::from_str(&output).unwrap()
    }

    /// A worker that has begun to ask for jobs.
    pub async fn worker(&self) -> Process {
        let worker = self.start(&["worker"]);
        worker.says("takes jobs from").await;
        worker
    }

    /// Any command with this home's settings, not waited for.
    pub fn start(&self, arguments: &[&str]) -> Process {
        let mut command = match self.files {
            None => Command::new(PROGRAM),
            Some(files) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\""), PROGRAM]);
                shell
            }
        };
        command.args(arguments).arg("--data-dir").arg(&self.folder).current_dir(&self.folder);
        if let Some(url) = &self.redis {
            command.args(["--redis", url]);
        }
        if let Some(clock) = &self.clock {
            clock.preload(&mut command);
        }
        Process::start(command.envs(self.settings.iter().cloned()))
    }
}

/// A service that answers.
pub struct Service {
    pub process: Process,
    pub client: Client,
    /// What it says of where its pages are.
    pub place: String,
}

impl std::ops::Deref for Service {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

pub struct Process {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Process {
    /// The program with its standard error kept.
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut errors = child.stderr.take().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let kept = said.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = errors.read(&mut bytes) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        Self { child, said }
    }

    /// `pixmill` with these arguments, and nothing else.
    pub fn plain(arguments: &[&str]) -> Self {
        Self::start(Command::new(PROGRAM).args(arguments))
    }

    /// What it wrote to standard error so far.
    pub fn log(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Where it listens, as its log says.
    fn url_in_log(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if let Some((_, rest)) = log.split_once("listening on ") {
                return rest.split('"').next().unwrap().to_owned();
            }
            let may_come = self.child.try_wait().unwrap().is_none() && Instant::now() < deadline;
            assert!(may_come, "the service did not start:\n{log}");
            std::thread::sleep(super::LOOK);
        }
    }

    /// Where a worker answers operators' tools, once its log says so.
    pub async fn door(&self) -> Client {
        let address = until("the worker listens", async || {
            let log = self.log();
            let (_, rest) = log.split_once("health and metrics are at ")?;
            rest.split_once('\n').map(|(url, _)| url.to_owned())
        })
        .await;
        Client::new(address.trim())
    }

    /// Waits until it has logged `words`.
    pub async fn says(&self, words: &str) {
        until(&format!("the program says `{words}`"), async || self.log().contains(words).then_some(())).await;
    }

    pub fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Bytes of memory that it has at present.
    pub fn resident(&self) -> u64 {
        let about = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let kib = about.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")).unwrap();
        kib.parse::<u64>().unwrap() << 10
    }

    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The processes that it has started and that run.
    pub fn children(&self) -> Vec<i32> {
        let parent = Pid::from_child(&self.child).as_raw_nonzero().get().to_string();
        let running = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            // The program's name stands in brackets; its state and its parent come behind.
            let about = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let mut fields = about.rsplit_once(") ")?.1.split(' ');
            (fields.next()? != "Z" && fields.next()? == parent).then_some(pid)
        });
        running.collect()
    }

    /// Where it had pictures computed, in the order in which they began: job and process. It logs that as `debug`.
    pub fn starts(&self) -> Vec<(String, i32)> {
        let log = self.log();
        let told = log.lines().filter_map(|line| line.split_once("started job ")?.1.split_once(" in process "));
        told.map(|(job, rest)| (job.to_owned(), rest.split(' ').next().unwrap().parse().unwrap())).collect()
    }

    /// As a crash or the kernel's memory killer would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end by itself; answers what it wrote to standard output, too.
    pub async fn ends(mut self) -> (ExitStatus, String, String) {
        let status = until("the program ends", async || self.child.try_wait().unwrap()).await;
        let mut output = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut output).unwrap();
        }
        // The log's last words may still be in its pipe.
        let log = until("the log ends", async || (Arc::strong_count(&self.said) == 1).then(|| self.log())).await;
        (status, output, log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        faketime::tidy(self.id());
        if std::thread::panicking() {
            eprintln!("--- what the program said:\n{}", self.log());
        }
    }
}
