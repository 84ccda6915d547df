//! A real redis-server on a free port of the loopback, in a folder of its own, gone when it is dropped.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use super::{free_port, until};

pub struct RedisServer {
    port: u16,
    options: Vec<String>,
    process: Mutex<Option<Child>>,
    home: TempDir,
}

impl RedisServer {
    /// One server for all tests that run at present; each uses a prefix of its own.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<RedisServer>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            // A file that is never synced: where the disk is slow, Redis would make everybody wait for it.
            let server = Arc::new(Self::start(&["--appendonly", "yes", "--appendfsync", "no"]));
            *shared = Arc::downgrade(&server);
            server
        })
    }

    pub fn start(options: &[&str]) -> Self {
        let port = free_port();
        let options = options.iter().map(ToString::to_string).collect();
        let server = Self { port, options, process: Mutex::new(None), home: tempfile::tempdir().unwrap() };
        server.up();
        server
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it (again), with what it had on disk.
    pub fn up(&self) {
        let mut server = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(&self.options)
            .current_dir(self.home.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cannot run redis-server: apt-get install redis-server");
        let mut log = BufReader::new(server.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("Ready to accept connections") {
            assert!(log.read_line(&mut said).unwrap() > 0, "redis-server did not start:\n{said}");
        }
        // Its log is read on, or it would block on a full pipe.
        std::thread::spawn(move || log.lines().for_each(drop));
        *self.process.lock().unwrap() = Some(server);
    }

    /// Kills it at once, as a crash would.
    pub fn down(&self) {
        if let Some(mut server) = self.process.lock().unwrap().take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// A replica of this server that has come up with it.
    pub async fn replica(&self) -> Self {
        // Or the master would wait for other replicas for some seconds.
        self.order("CONFIG SET repl-diskless-sync-delay 0").await;
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        let replica = Self::start(&options);
        replica.order(&format!("REPLICAOF 127.0.0.1 {}", self.port)).await;
        until("the replica has all that its master has", async || {
            let redis::Value::BulkString(about) = replica.order("INFO replication").await else { return None };
            String::from_utf8_lossy(&about).contains("master_link_status:up").then_some(())
        })
        .await;
        replica
    }

    /// Breaks a replica's link: it keeps what it has and hears no more of its master.
    pub async fn is_cut_off(&self) {
        self.order("REPLICAOF 127.0.0.1 1").await;
    }

    /// Promotes a replica, which takes the place of a master that dies.
    pub async fn takes_over(mut self, master: Self) -> Self {
        master.down();
        self.order("REPLICAOF NO ONE").await;
        self.order(&format!("CONFIG SET port {}", master.port)).await;
        self.port = master.port;
        self
    }

    pub fn signal(&self, signal: Signal) {
        let process = self.process.lock().unwrap();
        let id = Pid::from_child(process.as_ref().expect("the server is up"));
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// An operator's connection, on which every order may take its time.
    pub async fn operator(&self) -> redis::aio::MultiplexedConnection {
        let patient = redis::AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection_with_config(&patient).await.unwrap()
    }

    /// As [`order`](Self::order), by an operator who knows the password.
    pub async fn order_with(&self, password: &str, order: &str) {
        let client = redis::Client::open(format!("redis://:{password}@127.0.0.1:{}/", self.port)).unwrap();
        let mut operator = client.get_multiplexed_async_connection().await.unwrap();
        let mut words = order.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        command.arg(words.collect::<Vec<_>>());
        let _: redis::Value = command.query_async(&mut operator).await.unwrap();
    }

    /// Has an operator give an order, say `CONFIG SET maxmemory 1`.
    pub async fn order(&self, order: &str) -> redis::Value {
        let mut words = order.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        command.arg(words.collect::<Vec<_>>());
        command.query_async(&mut self.operator().await).await.unwrap_or_else(|error| panic!("{order}: {error}"))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if self.process.get_mut().is_ok_and(|process| process.is_some()) {
            self.down();
        }
    }
}
