//! The broker: one queue over one of two backends. Checks arguments and passes each call on; only this module knows
//! that there are two backends.

/// Evaluates `$call` with the backend bound to `$name`.
macro_rules! either {
    ($broker:expr, $name:ident => $call:expr) => {
        match $broker {
            $crate::broker::Broker::Sqlite($name) => $call,
            $crate::broker::Broker::Redis($name) => $call,
        }
    };
}

mod check;
mod control;
mod cursors;
mod enqueue;
mod leases;
mod status;
mod workers;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::redis::RedisBroker;
use crate::sqlite::{MakeRoom, SqliteBroker, Synchronous, no_room};
use crate::{Clock, Policy, Result};

/// The queue. Cheap to clone; clones share a connection.
#[derive(Clone)]
pub enum Broker {
    Sqlite(SqliteBroker),
    Redis(RedisBroker),
}

impl Broker {
    /// Opens the SQLite queue in `file`. Creates the file if it is missing.
    ///
    /// # Errors
    /// If the file cannot be created, is not a pixmill queue, is damaged, or was written by a newer version.
    pub fn open_sqlite(file: &Path, policy: Policy) -> Result<Self> {
        Self::open_sqlite_at(file, policy, Clock::default())
    }

    /// As [`open_sqlite`](Self::open_sqlite). If the disk is full, `make_room` is called and the work is tried once
    /// more, when the file is opened and in all calls except those that bring new work.
    pub fn open_sqlite_with(file: &Path, policy: Policy, make_room: MakeRoom) -> Result<Self> {
        SqliteBroker::open(file, policy, Clock::default(), Synchronous::Full, make_room).map(Self::Sqlite)
    }

    /// As [`open_sqlite`](Self::open_sqlite), with a clock that can be moved.
    pub fn open_sqlite_at(file: &Path, policy: Policy, clock: Clock) -> Result<Self> {
        SqliteBroker::open(file, policy, clock, Synchronous::Full, no_room()).map(Self::Sqlite)
    }

    /// As [`open_sqlite_at`](Self::open_sqlite_at), without waiting for the disk: a power cut may lose commits or
    /// damage the file. For tests only.
    pub fn open_sqlite_unsynced(file: &Path, policy: Policy, clock: Clock) -> Result<Self> {
        SqliteBroker::open(file, policy, clock, Synchronous::Off, no_room()).map(Self::Sqlite)
    }

    /// Connects to Redis (7.0 or later) or Valkey (7.2 or later) and loads the scripts.
    ///
    /// `prefix` is the hash tag at the start of every key, e.g. `pixmill`.
    ///
    /// # Errors
    /// If the server cannot be reached, refuses the login, is too old, or has records of another version.
    pub async fn connect_redis(url: &str, prefix: &str, policy: Policy) -> Result<Self> {
        Self::connect_redis_at(url, prefix, policy, Clock::default()).await
    }

    /// As [`connect_redis`](Self::connect_redis), with a clock that can be moved.
    pub async fn connect_redis_at(url: &str, prefix: &str, policy: Policy, clock: Clock) -> Result<Self> {
        RedisBroker::connect(url, prefix, policy, clock).await.map(Self::Redis)
    }

    /// The same queue over a connection of its own, so that heartbeats never wait behind other calls.
    pub async fn dedicated(&self) -> Result<Self> {
        match self {
            Self::Sqlite(broker) => Ok(Self::Sqlite(broker.clone())),
            Self::Redis(broker) => broker.dedicated().await.map(Self::Redis),
        }
    }

    /// Gives up the connection, which seems to get no answers any more; the next call makes a new one.
    pub async fn reconnect(&self) {
        match self {
            Self::Sqlite(_) => {}
            Self::Redis(broker) => broker.reconnect().await,
        }
    }

    /// Checks for at most `limit` whether SQLite's file still holds what was written. `true` if the check reached the
    /// end. For Redis it is always `true`, because Redis checks its own files when it reads them.
    ///
    /// # Errors
    /// `Incompatible` if the file is damaged; the text says what to do.
    pub async fn verify(&self, limit: Duration) -> Result<bool> {
        match self {
            Self::Sqlite(broker) => broker.verify(limit).await,
            Self::Redis(_) => Ok(true),
        }
    }

    /// Makes one cheap round trip that only reads.
    pub async fn ping(&self) -> Result<()> {
        either!(self, broker => broker.ping().await)
    }

    /// Writes as an enqueue would, but nothing that any call reads.
    ///
    /// # Errors
    /// `Full`, `StorageFull`, `Unavailable`, `Incompatible` or `Refused`, if an enqueue would fail with it at present.
    pub async fn try_write(&self) -> Result<()> {
        either!(self, broker => broker.try_write().await)
    }

    /// Settings of the server that may lose work, one sentence each, with what to change. For the operator, at start.
    pub async fn warnings(&self) -> Result<Vec<String>> {
        either!(self, broker => broker.warnings().await)
    }
}

impl fmt::Display for Broker {
    /// The backend and its address or file, without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        either!(self, broker => broker.fmt(f))
    }
}
