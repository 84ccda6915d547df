//! Where the queue lies: a fresh SQLite file, or a Redis of its own.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use queue::{Broker, Policy};
use tempfile::TempDir;

use super::proxy;

/// An empty queue, gone when it is dropped.
pub(crate) struct Place {
    pub(crate) name: &'static str,
    pub(crate) broker: Broker,
    home: Home,
}

enum Home {
    Folder(TempDir),
    Server(Redis),
}

/// More than a backlog has.
fn policy() -> Policy {
    Policy { queue_cap: u64::from(u32::MAX), ..Policy::default() }
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let home = tempfile::tempdir().expect("a folder is made");
        Self { name: "sqlite", broker: open(home.path()), home: Home::Folder(home) }
    }

    pub(crate) async fn redis(server: Redis) -> Self {
        Self { name: "redis", broker: connect(server.port).await, home: Home::Server(server) }
    }

    /// The same queue as another process has it.
    pub(crate) async fn another(&self) -> Broker {
        match &self.home {
            Home::Folder(home) => open(home.path()),
            Home::Server(server) => connect(server.port).await,
        }
    }

    /// The same queue, `round_trip` away.
    pub(crate) async fn behind(&self, round_trip: Duration) -> Broker {
        match &self.home {
            Home::Folder(_) => unreachable!("only a server is far away"),
            Home::Server(server) => connect(proxy::before(server.port, round_trip / 2)).await,
        }
    }

    /// Where SQLite's file lies.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match &self.home {
            Home::Folder(home) => Some(home.path()),
            Home::Server(_) => None,
        }
    }

    /// Processor time of the server so far, in microseconds.
    pub(crate) async fn cpu_us(&self) -> Option<f64> {
        let Home::Server(server) = &self.home else { return None };
        let info = server.info("cpu").await;
        Some((info["used_cpu_sys"] + info["used_cpu_user"]) * 1e6)
    }

    /// Waits while Redis writes its append-only file anew, which it does when that has grown to twice its size.
    pub(crate) async fn at_rest(&self) {
        let Home::Server(server) = &self.home else { return };
        loop {
            let info = server.info("persistence").await;
            if info["aof_rewrite_in_progress"] + info["aof_rewrite_scheduled"] == 0.0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What the queue takes: of Redis' memory, or of the disk.
    pub(crate) async fn bytes(&self) -> f64 {
        match &self.home {
            Home::Server(server) => server.info("memory").await["used_memory"],
            Home::Folder(home) => {
                let files = std::fs::read_dir(home.path()).expect("the folder is there");
                files.map(|file| file.and_then(|file| file.metadata()).expect("it is there").len() as f64).sum()
            }
        }
    }
}

fn open(folder: &Path) -> Broker {
    Broker::open_sqlite(&folder.join("queue.db"), policy()).expect("the queue opens")
}

async fn connect(port: u16) -> Broker {
    let url = format!("redis://127.0.0.1:{port}/");
    Broker::connect_redis(&url, "bench", policy()).await.expect("Redis answers")
}

pub(crate) struct Redis {
    port: u16,
    process: Child,
    _home: TempDir,
}

impl Redis {
    pub(crate) fn start(append_only: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        drop(listener);
        let home = tempfile::tempdir().expect("a folder is made");
        let mut process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", if append_only { "yes" } else { "no" }, "--appendfsync", "everysec"])
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
        Self { port, process, _home: home }
    }

    /// The numbers of a section of `INFO`.
    async fn info(&self, section: &str) -> HashMap<String, f64> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/", self.port)).expect("the URL is right");
        let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
        let info: String = redis::cmd("INFO").arg(section).query_async(&mut connection).await.expect("Redis answers");
        let numbers = info.lines().filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        });
        numbers.collect()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill().and_then(|()| self.process.wait());
    }
}
