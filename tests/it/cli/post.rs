//! What `inspect` and `control` meet: a queue of either kind, and workers that report and answer as they are told to.

use std::io::Write;
use std::process::{Command as Process, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use pixmill::worker::control::{Command, Letter, Report, Slots, Totals};
use queue::{Broker, JobId};
use serde_json::Value;

use super::Desk;
use crate::broker::world::policy;
use crate::support::PATIENCE;
use crate::support::redis::RedisServer;

/// A queue, and the folder in which the binary is run against it.
pub struct Post {
    pub desk: Desk,
    pub broker: Broker,
    redis: Option<(Arc<RedisServer>, String)>,
}

impl Post {
    /// One on each broker.
    pub async fn both() -> [Self; 2] {
        [Self::sqlite(), Self::redis().await]
    }

    pub fn sqlite() -> Self {
        let desk = desk();
        let broker = Broker::open_sqlite(&desk.path("data/queue.db"), policy()).unwrap();
        Self { desk, broker, redis: None }
    }

    async fn redis() -> Self {
        let (server, prefix) = (RedisServer::shared(), format!("test-{}", JobId::new()));
        let broker = Broker::connect_redis(&server.url(), &prefix, policy()).await.unwrap();
        Self { desk: desk(), broker, redis: Some((server, prefix)) }
    }

    /// Runs the binary with the flags of this queue, while the workers here go on answering.
    pub async fn run(&self, line: &[&str]) -> Said {
        let mut command = self.command(line);
        Said(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap())
    }

    /// As [`run`](Self::run), but by a person at a terminal, who answers what is asked.
    pub fn run_at_a_terminal(&self, line: &[&str], answer: &str) -> Said {
        let command = self.command(line);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        let mut terminal = Process::new("script");
        terminal.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]);
        terminal.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        terminal.current_dir(command.get_current_dir().unwrap()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut terminal = terminal.spawn().expect("cannot run script: apt-get install bsdutils");
        // Kept open: at its end the person would hang up.
        let mut keys = terminal.stdin.take().unwrap();
        writeln!(keys, "{answer}").unwrap();
        let said = terminal.wait_with_output().unwrap();
        drop(keys);
        Said(said)
    }

    fn command(&self, line: &[&str]) -> Process {
        let mut command = self.desk.command(line);
        // A worker that has reported itself is listed for as long as a lease.
        command.args(["--data-dir", "data"]).envs([("PIXMILL__QUEUE__LEASE", "10m"), ("PIXMILL__QUEUE__BEAT", "3m")]);
        if let Some((server, prefix)) = &self.redis {
            command.args(["--redis", &server.url()]).env("PIXMILL__BROKER__PREFIX", prefix);
        }
        command
    }

    /// A worker reports itself; without more it does not answer.
    pub async fn reports(&self, report: &Report) {
        self.broker.report(&report.session, &serde_json::to_vec(report).unwrap()).await.unwrap();
    }

    /// A worker that has reported itself and obeys as it says; answers the orders that it gets.
    pub async fn obedient(&self, mut report: Report) -> Arc<Mutex<Vec<Command>>> {
        self.reports(&report).await;
        let orders = Arc::new(Mutex::new(Vec::new()));
        let (got, broker) = (orders.clone(), self.broker.dedicated().await.unwrap());
        tokio::spawn(async move {
            loop {
                for letter in broker.collect(&report.session, PATIENCE).await.unwrap() {
                    let letter: Letter = serde_json::from_slice(&letter).unwrap();
                    match letter.command {
                        Command::Grow { by, .. } => report.cpu.total += by,
                        Command::Shutdown { .. } => report.stopping = true,
                        _ => {}
                    }
                    got.lock().unwrap().push(letter.command);
                    broker.post(&letter.reply, &serde_json::to_vec(&report).unwrap()).await.unwrap();
                }
            }
        });
        orders
    }
}

fn desk() -> Desk {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("data")).unwrap();
    desk
}

/// What the binary said, and how it ended.
pub struct Said(Output);

impl Said {
    pub fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    pub fn errors(&self) -> String {
        super::stderr(&self.0)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.0.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.errors()))
    }

    /// The only line of the table whose cells contain `words`, its cells apart.
    pub fn row(&self, words: &str) -> Vec<String> {
        let text = self.text();
        let rows: Vec<&str> = text.lines().filter(|line| line.contains(words)).collect();
        assert_eq!(rows.len(), 1, "`{words}` stands in one row:\n{text}{}", self.errors());
        rows[0].split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(Into::into).collect()
    }
}

pub fn report(session: &str) -> Report {
    Report {
        session: session.into(),
        host: "mill-1".into(),
        pid: 4242,
        version: "0.1.0".into(),
        started_at: Timestamp::now() - Duration::from_hours(3),
        queues: vec!["cpu_intensive".into()],
        cpu: Slots { total: 4, busy: 0 },
        io: Slots { total: 100, busy: 0 },
        active: Vec::new(),
        reserved: Vec::new(),
        totals: Totals::default(),
        stopping: false,
    }
}
