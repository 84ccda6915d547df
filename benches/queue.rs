//! What the queue costs: no-op jobs enqueued in groups of 1,000, then claimed and settled 16 a call by one worker, and
//! as many again by four at once, whose calls share SQLite's commits.
//!
//! `cargo bench --bench queue -- [jobs] [runs]` prints the median of each phase, and for Redis the processor time that
//! the server itself spent on a job. It needs `redis-server`, which it starts on a free port of the loopback.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use bytes::Bytes;
use pixmill::job::{Class, GroupId, JobId};
use pixmill::queue::{Broker, ClaimRequest, NewGroup, NewJob, Policy, Settlement, Verdict};

const GROUP: usize = 1_000;
const BATCH: usize = 16;
const PAYLOAD: usize = 300;

fn main() {
    // `cargo bench` hands on a `--bench` of its own.
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let jobs = numbers.next().unwrap_or(20_000).next_multiple_of(GROUP);
    let runs = numbers.next().unwrap_or(5).max(1);
    println!("{jobs} jobs of {PAYLOAD} bytes, median of {runs} runs");
    tokio::runtime::Runtime::new().expect("a runtime starts").block_on(async {
        sqlite(jobs, runs).await;
        redis(jobs, runs).await;
    });
}

const RATES: [&str; 3] = ["enqueued", "consumed by one", "consumed by four"];

async fn sqlite(jobs: usize, runs: usize) {
    let mut rates = Vec::new();
    for _ in 0..runs {
        let home = tempfile::tempdir().expect("a folder is made");
        let broker = Broker::open_sqlite(&home.path().join("queue.db"), Policy::default()).expect("the queue opens");
        let filled = enqueue(&broker, jobs).await;
        let one = consume(&broker, jobs, 1).await;
        enqueue(&broker, jobs).await;
        rates.push([filled, one, consume(&broker, jobs, 4).await]);
    }
    print("sqlite", &rates, RATES, "jobs/s");
}

async fn redis(jobs: usize, runs: usize) {
    let server = Server::start();
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for run in 0..runs {
        let prefix = format!("bench-{run}");
        let broker = Broker::connect_redis(&server.url, &prefix, Policy::default()).await.expect("Redis answers");
        let cpu = server.cpu_us().await;
        let filled = enqueue(&broker, jobs).await;
        let cpu_filled = server.cpu_us().await;
        let one = consume(&broker, jobs, 1).await;
        let cpu_consumed = server.cpu_us().await;
        enqueue(&broker, jobs).await;
        let cpu_refilled = server.cpu_us().await;
        rates.push([filled, one, consume(&broker, jobs, 4).await]);
        let cpu_by_four = server.cpu_us().await;
        let spent = [cpu_filled - cpu, cpu_consumed - cpu_filled, cpu_by_four - cpu_refilled];
        costs.push(spent.map(|us| us / jobs as f64));
    }
    print("redis", &rates, RATES, "jobs/s");
    print("redis", &costs, RATES, "µs of the server's CPU a job");
}

/// Jobs per second.
async fn enqueue(broker: &Broker, jobs: usize) -> f64 {
    let groups: Vec<_> = (0..jobs / GROUP)
        .map(|_| {
            let job = |index| NewJob {
                id: JobId::new(),
                index: index as u32,
                kind: "image.process".into(),
                queue: "cpu_intensive".into(),
                class: Class::Cpu,
                priority: 5,
                delay: None,
                max_attempts: 4,
                payload: Bytes::from_static(&[b'x'; PAYLOAD]),
            };
            (NewGroup { id: GroupId::new(), meta: Bytes::new() }, (0..GROUP).map(job).collect::<Vec<_>>())
        })
        .collect();
    let began = Instant::now();
    for (group, jobs) in &groups {
        broker.enqueue(group, jobs).await.expect("there is room");
    }
    jobs as f64 / began.elapsed().as_secs_f64()
}

/// Jobs per second, claimed and settled in one round trip for each batch.
async fn consume(broker: &Broker, jobs: usize, workers: usize) -> f64 {
    let began = Instant::now();
    let each = (0..workers).map(|worker| {
        let (broker, session) = (broker.clone(), format!("{workers}-{worker}"));
        tokio::spawn(async move { work(&broker, session).await })
    });
    let done: usize = futures::future::try_join_all(each).await.expect("no worker panics").into_iter().sum();
    assert_eq!(done, jobs, "every job is done once");
    jobs as f64 / began.elapsed().as_secs_f64()
}

/// Until nothing waits; how many jobs there were.
async fn work(broker: &Broker, session: String) -> usize {
    let mut request =
        ClaimRequest { session, sequence: 0, queues: vec!["cpu_intensive".into()], class: Class::Cpu, limit: BATCH };
    let mut settlements = Vec::new();
    let mut done = 0;
    loop {
        let (settled, claim) = broker.settle(&settlements, Some(&request)).await.expect("the broker answers");
        done += settled.len();
        request.sequence += 1;
        let verdict = || Verdict::Succeed { result: Bytes::from_static(b"{\"success\":true}") };
        let claimed = claim.expect("a claim was asked for").jobs;
        if claimed.is_empty() {
            return done;
        }
        settlements =
            claimed.into_iter().map(|job| Settlement { lease: job.lease, verdict: verdict() }).collect::<Vec<_>>();
    }
}

fn print(backend: &str, runs: &[[f64; 3]], phases: [&str; 3], unit: &str) {
    for (at, phase) in phases.iter().enumerate() {
        let mut figures: Vec<f64> = runs.iter().map(|run| run[at]).collect();
        figures.sort_by(f64::total_cmp);
        let (median, low, high) = (figures[figures.len() / 2], figures[0], figures[figures.len() - 1]);
        println!("{backend:7} {phase:20} {median:9.1} {unit} ({low:.1}–{high:.1})");
    }
}

struct Server {
    url: String,
    process: Child,
    _home: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        drop(listener);
        let home = tempfile::tempdir().expect("a folder is made");
        let mut process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "everysec"])
            .current_dir(home.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cannot run redis-server: apt-get install redis-server");
        let mut log = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut said = String::new();
        while !said.contains("Ready to accept connections") {
            assert!(log.read_line(&mut said).is_ok_and(|read| read > 0), "redis-server did not start:\n{said}");
        }
        // Its log is read on, or it would block on a full pipe.
        std::thread::spawn(move || log.lines().for_each(drop));
        Self { url: format!("redis://127.0.0.1:{port}/"), process, _home: home }
    }

    /// Processor time of the server so far, in microseconds.
    async fn cpu_us(&self) -> f64 {
        let client = redis::Client::open(self.url.as_str()).expect("the URL is right");
        let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
        let info: String = redis::cmd("INFO").arg("cpu").query_async(&mut connection).await.expect("Redis answers");
        ["used_cpu_sys:", "used_cpu_user:"]
            .iter()
            .filter_map(|key| info.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<f64>().ok()))
            .sum::<f64>()
            * 1e6
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill().and_then(|()| self.process.wait());
    }
}
