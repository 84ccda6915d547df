//! The connection: built when it is needed, dropped on its first error and built anew at the next call, for all clones
//! at once. No call outlasts its deadline, and nothing here ever shows a password.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, IntoConnectionInfo, Pipeline, RedisError, ServerErrorKind, Value,
};
use tokio::sync::Mutex;
use tokio::time::interval;
use tokio_util::task::AbortOnDropHandle;

use super::script;
use crate::{Error, Result};

/// A call in all, its connecting included.
const CALL: Duration = Duration::from_millis(2_500);
const CONNECT: Duration = Duration::from_secs(1);
const RESPONSE: Duration = Duration::from_secs(2);
/// Well before any call's deadline.
const TICK: Duration = Duration::from_millis(500);

pub(super) struct Link {
    client: Client,
    /// Host and port, for people.
    place: String,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    connection: Option<MultiplexedConnection>,
    /// Runs once there is a connection.
    ticking: Option<AbortOnDropHandle<()>>,
    /// Which connection it is, so that only its own failure takes it away.
    number: u64,
}

impl Link {
    pub(super) fn new(url: &str) -> Result<Self> {
        // The URL may hold a password, so no error repeats it.
        let wrong = |error| Error::Invalid(format!("the Redis URL is wrong, write redis://host:port/: {error}"));
        // Without `nodelay` a call would wait until the answer to the one before it has arrived.
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = url.into_connection_info().map_err(wrong)?.set_tcp_settings(tcp);
        let client = Client::open(info).map_err(wrong)?;
        let place = client.get_connection_info().addr().to_string();
        Ok(Self { client, place, current: Mutex::default() })
    }

    /// The same server over a connection of its own.
    pub(super) fn another(&self) -> Self {
        Self { client: self.client.clone(), place: self.place.clone(), current: Mutex::default() }
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Runs one command.
    pub(super) async fn one(&self, command: Cmd) -> Result<Value> {
        let [answer] = self.run([command]).await?;
        Ok(answer)
    }

    /// Runs commands in one round trip. Each may run twice where a reply is lost: every transition bears that.
    pub(super) async fn run<const N: usize>(&self, commands: [Cmd; N]) -> Result<[Value; N]> {
        let answers = self.all(commands.into()).await?;
        answers.try_into().map_err(|_| Error::Incompatible(format!("Redis at {} answers out of turn", self.place)))
    }

    /// As [`run`](Self::run), with as many commands as there are.
    pub(super) async fn all(&self, commands: Vec<Cmd>) -> Result<Vec<Value>> {
        let count = commands.len();
        let mut pipeline = Pipeline::with_capacity(count);
        for command in commands {
            pipeline.add_command(command);
        }
        let Ok(answers) = tokio::time::timeout(CALL, self.retried(&pipeline, count)).await else {
            // Whoever holds it at present builds a new connection.
            if let Ok(mut current) = self.current.try_lock() {
                current.connection = None;
            }
            return Err(Error::Unavailable(format!("Redis at {} does not answer", self.place)));
        };
        answers.map_err(|error| self.explain(&error))
    }

    async fn retried(&self, pipeline: &Pipeline, count: usize) -> redis::RedisResult<Vec<Value>> {
        let answers = match self.send(pipeline, count).await {
            // The connection had been cut, maybe long ago; a fresh one is no wait.
            Err(error) if error.is_connection_dropped() => self.send(pipeline, count).await,
            answers => answers,
        };
        if !matches!(&answers, Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)) {
            return answers;
        }
        let mut load = Pipeline::new();
        for script in script::ALL {
            load.add_command(script.load());
        }
        self.send(&load, script::ALL.len()).await?;
        self.send(pipeline, count).await
    }

    async fn send(&self, pipeline: &Pipeline, count: usize) -> redis::RedisResult<Vec<Value>> {
        let (number, mut connection) = self.connection().await?;
        let answers = connection.send_packed_commands(pipeline, 0, count).await;
        let answers = answers.and_then(|answers| answers.into_iter().map(Value::extract_error).collect());
        // An answer that never came may still come, and be taken for another's: only a fresh connection is sure. A
        // master that has become a replica stays one; the address may lead to the new master by now.
        let useless = |error: &RedisError| {
            error.is_io_error()
                || error.is_unrecoverable_error()
                || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
        };
        if answers.as_ref().is_err_and(useless) {
            self.forget(number).await;
        }
        answers
    }

    async fn connection(&self) -> redis::RedisResult<(u64, MultiplexedConnection)> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &current.connection {
            return Ok((current.number, connection.clone()));
        }
        // Seldom done, and most of what a call would carry about.
        let connection = Box::pin(self.connect(RESPONSE)).await?;
        current.number += 1;
        current.connection = Some(connection.clone());
        current.ticking.get_or_insert_with(|| AbortOnDropHandle::new(tokio::spawn(tick())));
        Ok((current.number, connection))
    }

    /// Gives the connection up; the next call builds another.
    pub(super) async fn renew(&self) {
        self.current.lock().await.connection = None;
    }

    async fn forget(&self, number: u64) {
        let mut current = self.current.lock().await;
        if current.number == number {
            current.connection = None;
        }
    }

    /// A connection that is not shared, whose answers may take `response`.
    pub(super) async fn connect(&self, response: Duration) -> redis::RedisResult<MultiplexedConnection> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(response));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// What an error of Redis means to the caller.
    pub(super) fn explain(&self, error: &RedisError) -> Error {
        let place = &self.place;
        match (error.kind(), error.code()) {
            (_, Some("OOM")) => Error::Full(format!("Redis at {place} has used up its memory; raise maxmemory")),
            (ErrorKind::AuthenticationFailed, _) | (_, Some("NOAUTH" | "WRONGPASS" | "NOPERM")) => Error::Refused(
                format!("Redis at {place} refuses the login, or a command; check user, password and rights: {error}"),
            ),
            _ => Error::Unavailable(format!("Redis at {place}: {error}")),
        }
    }
}

/// Lets the runtime's alarm be set to what is due before the deadline of any call. Else each call would wake the thread that
/// waits for the network, to set it to its own deadline: a switch of threads, twice a call.
async fn tick() {
    let mut interval = interval(TICK);
    loop {
        interval.tick().await;
    }
}
