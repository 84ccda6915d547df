//! The only place that connects the modules: makes a running server, its workers, or both from the settings.

mod background;
mod open;
mod operators;

use std::ffi::OsString;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use jiff::Timestamp;
use queue::Broker;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::auth::keys;
use crate::config::{Config, LogFormat};
use crate::descriptors;
use crate::http::{self, Access, Feed, Links, Readiness, Role, Services};
use crate::metrics::Metrics;
use crate::schedules::{self, Keeper, Shelf, Sweep};
use crate::sources::Places;
use crate::storage::Storage;
use crate::worker::{self, Shutdown};
use crate::workflows::Engine;

use operators::OperatorServer;

pub use open::{open_storage, require_store, visit_broker, visit_storage, workflows};

/// The open resources of a process that accepts or does work.
#[derive(Clone)]
struct Opened {
    config: Config,
    storage: Storage,
    broker: Broker,
    metrics: Metrics,
}

impl Opened {
    async fn open(config: Config) -> Result<Self> {
        let storage = open::working_storage(&config)?;
        let broker = open::open_broker(&config, &storage).await?;
        require_store(&config, &storage, &broker).await?;
        Ok(Self { config, storage, broker, metrics: Metrics::default() })
    }

    /// What requests are answered with, of a server that takes no uploads; its streams end with `closing`.
    fn services(
        &self,
        access: Access,
        engine: Arc<Engine>,
        readiness: Readiness,
        closing: CancellationToken,
    ) -> Result<Services> {
        let Self { config, storage, broker, metrics } = self;
        let secret = storage.secret("links").context("cannot keep the secret that links are signed with (data_dir)")?;
        Ok(Services {
            broker: broker.clone(),
            storage: storage.clone(),
            limits: config.limits.clone(),
            queue: config.queue.clone(),
            retention: config.retention.clone(),
            presets: config.presets()?,
            workflows: engine,
            sources: Places::default(),
            schedules: shelf(config, storage)?,
            sweeps: Sweep::all(&config.retention, &config.queue),
            access,
            cors_origins: config.server.cors_origins.clone(),
            links: Links::new(&secret, config.server.link_lifetime),
            metrics: metrics.clone(),
            feed: Feed::new(broker.clone(), closing),
            readiness,
            openapi: http::openapi(&config.limits, &config.queue),
            started_at: Timestamp::now(),
        })
    }

    /// The tasks beside the server and the workers. They end when the set is dropped.
    fn background(&self) -> JoinSet<()> {
        let Self { config, storage, broker, .. } = self;
        let mut tasks = JoinSet::new();
        tasks.spawn(background::watch_store(config.clone(), storage.clone(), broker.clone()));
        tasks.spawn(background::keep_ballast(storage.clone()));
        tasks
    }

    async fn work(self, settings: worker::Settings, shutdown: Shutdown) -> Result<()> {
        worker::run(self.broker, self.storage, settings, self.metrics, shutdown).await
    }
}

/// A service that is ready to run: its address is bound, and its broker and store are open.
pub struct App {
    listener: TcpListener,
    opened: Opened,
    access: Access,
    engine: Arc<Engine>,
    with_workers: bool,
}

impl App {
    /// Opens the store, reaches the broker and binds the address.
    ///
    /// # Errors
    /// Names the setting of the store, the broker or the address that failed.
    pub async fn build(config: Config, with_workers: bool) -> Result<Self> {
        require_key(&config)?;
        // A workflow of the settings that is wrong is named at the start, not when somebody asks for it.
        let engine = open::engine(&config)?;
        let opened = Opened::open(config).await?;
        let Opened { config, storage, .. } = &opened;
        let access = Access::open(&config.server, &config.auth, &config.limits, storage)
            .context("cannot read the API keys (data_dir)")?;
        let listen = config.server.listen;
        let listener =
            TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen} (server.listen)"))?;
        Ok(Self { listener, opened, access, engine, with_workers })
    }

    /// The bound address. With port 0 in the settings, it has the port that the system chose.
    pub fn addr(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// The address for browsers, without a slash at its end: the public address, or one of this machine.
    pub fn address(&self) -> Result<String> {
        let server = &self.opened.config.server;
        let mut addr = self.addr()?;
        if addr.ip().is_unspecified() {
            addr.set_ip(if addr.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        }
        let public = server.public_url.trim_end_matches('/');
        let origin = if public.is_empty() { format!("http://{addr}") } else { public.to_owned() };
        Ok(origin + &server.base_path)
    }

    /// Serves until `shutdown`, then finishes open requests and pictures within the grace period.
    ///
    /// # Errors
    /// If the server or a worker fails.
    pub async fn run_until(self, shutdown: Shutdown) -> Result<()> {
        let Self { listener, opened, access, engine, with_workers } = self;
        let config = opened.config.clone();
        let files = descriptors::raise();
        let (pictures, jobs) = if with_workers { (config.worker.slots(), config.worker.io) } else { (0, 0) };
        let connections = descriptors::connections(config.server.max_connections, files, pictures, jobs);
        let places = open::places(&config)?;
        let workers = with_workers.then(|| worker_settings(&config, places.clone(), engine.clone())).transpose()?;
        // First, so that the worker is there when the first upload asks for one.
        let mut worker = workers.map(|settings| tokio::spawn(opened.clone().work(settings, shutdown.clone())));
        let services = Services {
            sources: places,
            ..opened.services(access, engine, Readiness::of(Role::Service), shutdown.warm.clone())?
        };
        let mut background = opened.background();
        let (broker, storage) = (opened.broker.clone(), opened.storage.clone());
        background.spawn(Keeper::new(broker, storage, services.schedules.clone(), services.sweeps.clone()).run());
        let (settings, counts, closing) = (config.server.clone(), opened.metrics.clone(), shutdown.warm.clone());
        let bounds = http::Bounds { connections, buffered: config.limits.max_buffered_bytes };
        let mut server = tokio::spawn(async move {
            http::serve(listener, http::app(services), &settings, bounds, counts, closing).await;
        });
        let grace = config.server.shutdown_grace;
        tokio::select! {
            // Polled first, because at a shutdown the workers may end before the requests.
            biased;
            () = shutdown.warm.cancelled() => {
                tokio::select! {
                    _ = &mut server => {}
                    () = sleep(grace) => warn!("requests that were still open after {grace:?} are cut off"),
                    () = shutdown.cold.cancelled() => {}
                }
                server.abort();
            }
            ended = &mut server => ended.context("the HTTP server ended")?,
            // A service that accepted uploads and never processed them would be worse than no service.
            ended = join(&mut worker) => return ended.context("the workers ended"),
        }
        drop(background);
        if worker.is_some() { join(&mut worker).await } else { Ok(()) }
    }
}

/// Waits for the workers' end; without workers, for ever.
async fn join(worker: &mut Option<JoinHandle<Result<()>>>) -> Result<()> {
    match worker {
        Some(worker) => worker.await?,
        None => std::future::pending().await,
    }
}

/// Runs a worker alone until `shutdown`.
///
/// # Errors
/// If the store or the broker cannot be opened.
pub async fn run_worker(config: Config, shutdown: Shutdown) -> Result<()> {
    descriptors::raise();
    let opened = Opened::open(config).await?;
    let engine = open::engine(&opened.config)?;
    let settings = worker_settings(&opened.config, open::places(&opened.config)?, engine.clone())?;
    let server = match opened.config.worker.address().map_err(anyhow::Error::msg)? {
        Some(address) => Some(OperatorServer::start(address, &opened, engine, &shutdown).await?),
        None => None,
    };
    let background = opened.background();
    let ended = opened.work(settings, shutdown).await;
    drop(background);
    if let Some(server) = server {
        server.close().await;
    }
    ended
}

/// The definitions of schedules, those of the configuration checked.
///
/// # Errors
/// Naming the setting, `schedules.NAME`, and the field.
pub fn shelf(config: &Config, storage: &Storage) -> Result<Shelf> {
    let settings = schedule_settings(config)?;
    Shelf::new(storage.clone(), settings, &config.schedules).map_err(anyhow::Error::msg)
}

/// Whether the schedules of the configuration can be kept.
///
/// # Errors
/// As for [`shelf`].
pub fn check_schedules(config: &Config) -> Result<()> {
    let settings = schedule_settings(config)?;
    schedules::shelf::check_declared(&settings, &config.schedules).map(drop).map_err(anyhow::Error::msg)
}

fn schedule_settings(config: &Config) -> Result<schedules::Settings> {
    let Config { queue, retention, limits, .. } = config.clone();
    Ok(schedules::Settings { queue, retention, limits, presets: config.presets()? })
}

fn worker_settings(config: &Config, sources: Places, engine: Arc<Engine>) -> Result<worker::Settings> {
    Ok(worker::Settings {
        program: worker::own_program().context("cannot find the program that computes pictures")?,
        arguments: child_arguments(config),
        cpu: config.worker.slots(),
        io: config.worker.io,
        ahead: config.worker.ahead(),
        queues: config.worker.queues.clone(),
        niceness: config.worker.niceness,
        soft_time_limit: config.worker.soft_time_limit,
        hard_time_limit: config.worker.hard_time_limit,
        max_jobs_per_child: config.worker.max_jobs_per_child,
        memory: config.worker.memory,
        shutdown_grace: config.server.shutdown_grace,
        limits: config.limits.imaging(),
        sources,
        calls: open::calls(config)?,
        workflows: Some(engine),
        policy: config.queue.policy(),
    })
}

/// The arguments of the processes that compute pictures.
fn child_arguments(config: &Config) -> Vec<OsString> {
    let mut arguments = config.watermark.folders().arguments();
    if config.log.format == LogFormat::Json {
        arguments.push("--json-log".into());
    }
    arguments
}

/// Checks that a key exists, in the settings or in the store, if clients on other machines can connect.
///
/// # Errors
/// If there is no key and the address can be reached from other machines.
pub fn require_key(config: &Config) -> Result<()> {
    let (listen, folder) = (config.server.listen, &config.data_dir);
    anyhow::ensure!(
        listen.ip().is_loopback() || !config.auth.keys.is_empty() || keys::any(folder),
        "server.listen: {listen} is not a loopback address, and without API keys anybody who reaches it could upload; \
         create one with `pixmill keys create --name NAME --data-dir {}`, set auth.keys, or listen on 127.0.0.1",
        folder.display()
    );
    Ok(())
}
