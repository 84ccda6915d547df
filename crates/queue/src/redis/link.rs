//! The connection, shared by all clones of a broker. It is made when a call needs it, dropped at its first error, and
//! made anew by the next call. No call takes longer than its deadline, and no error shows a password.

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

/// Deadline of a call, including the time to connect.
const CALL: Duration = Duration::from_millis(2_500);
const CONNECT: Duration = Duration::from_secs(1);
const RESPONSE: Duration = Duration::from_secs(2);
/// Much shorter than the deadline of any call; see [`tick`].
const TICK: Duration = Duration::from_millis(500);

pub(super) struct Link {
    client: Client,
    /// Host and port, for messages.
    address: String,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    connection: Option<MultiplexedConnection>,
    /// Runs from the first connection on.
    ticking: Option<AbortOnDropHandle<()>>,
    /// Counts the connections, so that an error of an earlier one does not drop this one.
    generation: u64,
}

impl Link {
    pub(super) fn new(url: &str) -> Result<Self> {
        // The URL may hold a password, so no error repeats it.
        let wrong = |error| Error::Invalid(format!("the Redis URL is wrong, write redis://host:port/: {error}"));
        // Without `nodelay` a call would wait until the answer to the one before it has arrived.
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = url.into_connection_info().map_err(wrong)?.set_tcp_settings(tcp);
        let client = Client::open(info).map_err(wrong)?;
        let address = client.get_connection_info().addr().to_string();
        Ok(Self { client, address, current: Mutex::default() })
    }

    /// The same server over a connection of its own.
    pub(super) fn another(&self) -> Self {
        Self { client: self.client.clone(), address: self.address.clone(), current: Mutex::default() }
    }

    /// Host and port.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Runs one command.
    pub(super) async fn one(&self, command: Cmd) -> Result<Value> {
        let [answer] = self.run([command]).await?;
        Ok(answer)
    }

    /// Runs commands in one round trip. A command may run twice if a reply is lost; every transition allows that.
    pub(super) async fn run<const N: usize>(&self, commands: [Cmd; N]) -> Result<[Value; N]> {
        let answers = self.all(commands.into()).await?;
        answers.try_into().map_err(|_| Error::Incompatible(format!("Redis at {} answers out of turn", self.address)))
    }

    /// As [`run`](Self::run), with any number of commands.
    pub(super) async fn all(&self, commands: Vec<Cmd>) -> Result<Vec<Value>> {
        let count = commands.len();
        let mut pipeline = Pipeline::with_capacity(count);
        for command in commands {
            pipeline.add_command(command);
        }
        let Ok(answers) = tokio::time::timeout(CALL, self.retried(&pipeline, count)).await else {
            // If the lock is taken, its holder is making a new connection already.
            if let Ok(mut current) = self.current.try_lock() {
                current.connection = None;
            }
            return Err(Error::Unavailable(format!("Redis at {} does not answer", self.address)));
        };
        answers.map_err(|error| self.explain(&error))
    }

    async fn retried(&self, pipeline: &Pipeline, count: usize) -> redis::RedisResult<Vec<Value>> {
        let answers = match self.send(pipeline, count).await {
            // The connection was closed, perhaps long ago; a new one costs no wait.
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
        let (generation, mut connection) = self.connection().await?;
        let answers = connection.send_packed_commands(pipeline, 0, count).await;
        let answers = answers.and_then(|answers| answers.into_iter().map(Value::extract_error).collect());
        // A late answer could be taken for that of another command, so only a new connection is safe. If the server is
        // a replica now, the address may lead to the new master.
        let needs_new_connection = |error: &RedisError| {
            error.is_io_error()
                || error.is_unrecoverable_error()
                || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
        };
        if answers.as_ref().is_err_and(needs_new_connection) {
            self.forget(generation).await;
        }
        answers
    }

    async fn connection(&self) -> redis::RedisResult<(u64, MultiplexedConnection)> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &current.connection {
            return Ok((current.generation, connection.clone()));
        }
        // Boxed, because connecting is rare and its state would be most of every call's future.
        let connection = Box::pin(self.connect(RESPONSE)).await?;
        current.generation += 1;
        current.connection = Some(connection.clone());
        current.ticking.get_or_insert_with(|| AbortOnDropHandle::new(tokio::spawn(tick())));
        Ok((current.generation, connection))
    }

    /// Gives up the connection; the next call makes another.
    pub(super) async fn renew(&self) {
        self.current.lock().await.connection = None;
    }

    /// Drops the connection, unless it is a later one.
    async fn forget(&self, generation: u64) {
        let mut current = self.current.lock().await;
        if current.generation == generation {
            current.connection = None;
        }
    }

    /// A new connection that is not shared; each of its answers may take `response`.
    pub(super) async fn connect(&self, response: Duration) -> redis::RedisResult<MultiplexedConnection> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(response));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// The error for the caller of a call that Redis failed.
    pub(super) fn explain(&self, error: &RedisError) -> Error {
        let address = &self.address;
        match (error.kind(), error.code()) {
            (_, Some("OOM")) => Error::Full(format!("Redis at {address} has used up its memory; raise maxmemory")),
            (ErrorKind::AuthenticationFailed, _) | (_, Some("NOAUTH" | "WRONGPASS" | "NOPERM")) => Error::Refused(
                format!("Redis at {address} refuses the login, or a command; check user, password and rights: {error}"),
            ),
            _ => Error::Unavailable(format!("Redis at {address}: {error}")),
        }
    }
}

/// Keeps a timer that ends before the deadline of any call. Without it, each call's deadline would be the runtime's
/// next timer, and setting it would wake the thread that waits for the network: two thread switches per call.
async fn tick() {
    let mut interval = interval(TICK);
    loop {
        interval.tick().await;
    }
}
