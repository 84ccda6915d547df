//! The only place that wires: from settings to a running server, its workers, or both.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::{self, Config};
use crate::http::{self, Access, Services};
use crate::metrics::Metrics;
use crate::queue::{self, Broker};
use crate::storage::Storage;
use crate::submission;
use crate::worker;

/// How long a start waits for Redis.
const START_PATIENCE: Duration = Duration::from_secs(10);
const SWEEP_EVERY: Duration = Duration::from_hours(1);

/// A service that is ready to run: its address is bound, its broker and store are open.
pub struct App {
    listener: TcpListener,
    broker: Broker,
    storage: Storage,
    config: Config,
    with_workers: bool,
}

impl App {
    /// Opens the store, reaches the broker and binds the address.
    ///
    /// # Errors
    /// Whatever of the three fails, named by its setting.
    pub async fn build(config: Config, with_workers: bool) -> Result<Self> {
        let storage = open_storage(&config.data_dir)?;
        let broker = open_broker(&config).await?;
        let listen = config.server.listen;
        let listener =
            TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen} (server.listen)"))?;
        Ok(Self { listener, broker, storage, config, with_workers })
    }

    /// The bound address; with port 0 in the settings, the port that the system chose.
    pub fn addr(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves until `shutdown`, then finishes open requests and pictures within the grace period.
    ///
    /// # Errors
    /// When the server or a worker cannot go on.
    pub async fn run_until(self, shutdown: CancellationToken) -> Result<()> {
        let Self { listener, broker, storage, config, with_workers } = self;
        let metrics = Metrics::default();
        let services = Services {
            broker: broker.clone(),
            storage: storage.clone(),
            limits: config.limits.clone(),
            queues: config.worker.queues.clone(),
            max_attempts: config.queue.max_attempts,
            access: Access::new(&config.auth.keys),
            metrics: metrics.clone(),
        };
        let sweeper = tokio::spawn(sweep(storage.clone(), broker.clone()));
        let mut worker = with_workers
            .then(|| tokio::spawn(worker::run(broker, storage, settings(&config), metrics, shutdown.clone())));
        let closing = shutdown.clone();
        let server = axum::serve(listener, http::router(services)).with_graceful_shutdown(closing.cancelled_owned());
        let mut server = tokio::spawn(server.into_future());
        let grace = config.server.shutdown_grace;
        tokio::select! {
            // First: at a shutdown the workers may have ended before the requests.
            biased;
            () = shutdown.cancelled() => {
                if timeout(grace, &mut server).await.is_err() {
                    warn!("requests that were still open after {grace:?} are cut off");
                    server.abort();
                }
            }
            ended = &mut server => ended?.context("the HTTP server ended")?,
            // A service that took uploads and never worked on them would be worse than none.
            ended = join(&mut worker) => return ended.context("the workers ended"),
        }
        sweeper.abort();
        if worker.is_some() { join(&mut worker).await } else { Ok(()) }
    }
}

/// The end of the workers; none never end.
async fn join(worker: &mut Option<JoinHandle<Result<()>>>) -> Result<()> {
    match worker {
        Some(worker) => worker.await?,
        None => std::future::pending().await,
    }
}

/// Runs a worker alone until `shutdown`.
///
/// # Errors
/// When the store or the broker cannot be opened.
pub async fn run_worker(config: Config, shutdown: CancellationToken) -> Result<()> {
    let storage = open_storage(&config.data_dir)?;
    let broker = open_broker(&config).await?;
    worker::run(broker, storage, settings(&config), Metrics::default(), shutdown).await
}

fn settings(config: &Config) -> worker::Settings {
    worker::Settings {
        slots: config.worker.slots(),
        ahead: config.worker.ahead(),
        queues: config.worker.queues.clone(),
        niceness: config.worker.niceness,
        soft_time_limit: config.worker.soft_time_limit,
        shutdown_grace: config.server.shutdown_grace,
        limits: config.limits.imaging(),
        policy: config.queue.policy(),
    }
}

fn open_storage(folder: &Path) -> Result<Storage> {
    Storage::local(folder).with_context(|| format!("cannot store anything in {} (data_dir)", folder.display()))
}

async fn open_broker(config: &Config) -> Result<Broker> {
    let broker = if config.broker.redis.is_empty() {
        let file = config.data_dir.join("queue.db");
        Broker::open_sqlite(&file, config.queue.policy())
            .with_context(|| format!("cannot open the queue {} (data_dir)", file.display()))?
    } else {
        connect(&config.broker, config.queue.policy()).await?
    };
    for warning in broker.warnings().await? {
        warn!("{warning}");
    }
    Ok(broker)
}

/// Tries for ten seconds, so that Redis and the service may start together.
async fn connect(settings: &config::Broker, policy: queue::Policy) -> Result<Broker> {
    let started = Instant::now();
    loop {
        let error = match Broker::connect_redis(&settings.redis, &settings.prefix, policy.clone()).await {
            Ok(broker) => return Ok(broker),
            Err(error) => error,
        };
        let passing = matches!(error, queue::Error::Unavailable(_));
        if !passing || started.elapsed() > START_PATIENCE {
            let place = shown(&settings.redis);
            return Err(error).with_context(|| format!("cannot use Redis at {place} (broker.redis)"));
        }
        info!("Redis is not there yet: {error}; trying again");
        sleep(Duration::from_millis(500)).await;
    }
}

/// The URL without its password.
fn shown(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut url) => {
            if url.password().is_some() {
                let _ = url.set_password(Some("***"));
            }
            url.into()
        }
        Err(_) => "(not a URL)".into(),
    }
}

async fn sweep(storage: Storage, broker: Broker) {
    let mut hourly = interval(SWEEP_EVERY);
    loop {
        hourly.tick().await;
        match submission::sweep_orphans(&storage, &broker).await {
            Ok(0) => {}
            Ok(groups) => info!("removed the originals of {groups} uploads that were never enqueued"),
            Err(error) => warn!("cannot look for uploads that were broken off: {error}"),
        }
    }
}
