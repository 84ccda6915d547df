//! The only place that wires: from settings to a running server, its workers, or both.

use std::ffi::OsString;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use queue::Broker;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::config::{self, Config, LogFormat};
use crate::descriptors;
use crate::http::{self, Access, Feed, Links, Readiness, Role, Services};
use crate::keys;
use crate::metrics::Metrics;
use crate::scheduler;
use crate::sources::Places;
use crate::storage::{self, Storage};
use crate::worker::{self, Shutdown};

/// How long a start waits for Redis.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// The SQLite queue's name in the data folder.
const QUEUE_FILE: &str = "queue.db";
/// Between two looks at whose the queue is. A queue that was flushed is bound to its store again so soon.
const STORE_WATCH: Duration = Duration::from_secs(1);
/// How long a start looks at the SQLite queue for damage.
const VERIFYING: Duration = Duration::from_secs(5);
/// Between two looks at the ballast.
const BALLAST_LOOK: Duration = Duration::from_secs(5);

/// A service that is ready to run: its address is bound, its broker and store are open.
pub struct App {
    listener: TcpListener,
    broker: Broker,
    storage: Storage,
    access: Access,
    config: Config,
    with_workers: bool,
}

impl App {
    /// Opens the store, reaches the broker and binds the address.
    ///
    /// # Errors
    /// Whatever of the three fails, named by its setting.
    pub async fn build(config: Config, with_workers: bool) -> Result<Self> {
        require_key(&config)?;
        let storage = working_storage(&config)?;
        let access = Access::open(&config.server, &config.auth, &config.limits, &storage)
            .context("cannot read the API keys (data_dir)")?;
        let broker = open_broker(&config, &storage).await?;
        require_store(&config, &storage, &broker).await?;
        let listen = config.server.listen;
        let listener =
            TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen} (server.listen)"))?;
        Ok(Self { listener, broker, storage, access, config, with_workers })
    }

    /// The bound address; with port 0 in the settings, the port that the system chose.
    pub fn addr(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Where a browser finds it, without a slash at its end: its public address, or one of this machine's.
    pub fn address(&self) -> Result<String> {
        let server = &self.config.server;
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
    /// When the server or a worker cannot go on.
    pub async fn run_until(self, shutdown: Shutdown) -> Result<()> {
        let Self { listener, broker, storage, access, config, with_workers } = self;
        let files = descriptors::raise();
        let (pictures, jobs) = if with_workers { (config.worker.slots(), config.worker.io) } else { (0, 0) };
        let connections = descriptors::connections(config.server.max_connections, files, pictures, jobs);
        let ballast = tokio::spawn(keep_ballast(storage.clone()));
        let sources = sources(&config)?;
        let workers = with_workers.then(|| settings(&config, sources.clone())).transpose()?;
        let presets = config.presets()?;
        let secret = storage.secret("links").context("cannot keep the secret that links are signed with (data_dir)")?;
        let metrics = Metrics::default();
        let services = Services {
            broker: broker.clone(),
            storage: storage.clone(),
            limits: config.limits.clone(),
            queue: config.queue.clone(),
            retention: config.retention.clone(),
            presets,
            sources,
            access,
            cors_origins: config.server.cors_origins.clone(),
            links: Links::new(&secret, config.server.link_lifetime),
            metrics: metrics.clone(),
            feed: Feed::new(broker.clone(), shutdown.warm.clone()),
            readiness: Readiness::of(Role::Service),
            openapi: http::openapi(&config.limits, &config.queue),
            started_at: Timestamp::now(),
        };
        let scheduler = tokio::spawn(scheduler::run(broker.clone(), config.clone()));
        let watch = tokio::spawn(watch_store(config.clone(), storage.clone(), broker.clone()));
        let most_buffered = config.limits.max_buffered_bytes;
        let (settings, counts, closing) = (config.server.clone(), metrics.clone(), shutdown.warm.clone());
        let mut worker =
            workers.map(|settings| tokio::spawn(worker::run(broker, storage, settings, metrics, shutdown.clone())));
        let mut server = tokio::spawn(async move {
            let bounds = http::Bounds { connections, buffered: most_buffered };
            http::serve(listener, http::app(services), &settings, bounds, counts, closing).await;
        });
        let grace = config.server.shutdown_grace;
        tokio::select! {
            // First: at a shutdown the workers may have ended before the requests.
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
            // A service that took uploads and never worked on them would be worse than none.
            ended = join(&mut worker) => return ended.context("the workers ended"),
        }
        scheduler.abort();
        watch.abort();
        ballast.abort();
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
pub async fn run_worker(config: Config, shutdown: Shutdown) -> Result<()> {
    descriptors::raise();
    let storage = working_storage(&config)?;
    let broker = open_broker(&config, &storage).await?;
    require_store(&config, &storage, &broker).await?;
    let watch = tokio::spawn(watch_store(config.clone(), storage.clone(), broker.clone()));
    let ballast = tokio::spawn(keep_ballast(storage.clone()));
    let settings = settings(&config, sources(&config)?)?;
    let metrics = Metrics::default();
    let door = match config.worker.address().map_err(anyhow::Error::msg)? {
        Some(address) => Some(WorkerDoor::open(address, &config, &broker, &storage, &metrics, &shutdown).await?),
        None => None,
    };
    let ended = worker::run(broker, storage, settings, metrics, shutdown).await;
    watch.abort();
    ballast.abort();
    if let Some(door) = door {
        door.close().await;
    }
    ended
}

/// Where a worker answers operators' tools, to its very end: what it did last is to be seen as well.
struct WorkerDoor {
    closing: CancellationToken,
    server: JoinHandle<()>,
}

impl WorkerDoor {
    /// Connections that those who watch may have open.
    const CONNECTIONS: usize = 64;
    /// For answers that are under way at the end.
    const LAST_ANSWERS: Duration = Duration::from_secs(1);

    async fn open(
        address: SocketAddr,
        config: &Config,
        broker: &Broker,
        storage: &Storage,
        metrics: &Metrics,
        shutdown: &Shutdown,
    ) -> Result<Self> {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} (worker.listen)"))?;
        let (address, closing) = (listener.local_addr()?, CancellationToken::new());
        let server = config::Server {
            listen: address,
            max_connections: Self::CONNECTIONS.min(config.server.max_connections),
            ..config.server.clone()
        };
        let access = Access::open(&server, &config.auth, &config.limits, storage)
            .context("cannot read the API keys (data_dir)")?;
        if !access.lets_anybody_in() {
            warn!("no API key is there: /metrics at http://{address} (worker.listen) answers nobody");
        }
        let services = Services {
            broker: broker.clone(),
            storage: storage.clone(),
            limits: config.limits.clone(),
            queue: config.queue.clone(),
            retention: config.retention.clone(),
            presets: config::Presets::default(),
            sources: Places::default(),
            access,
            cors_origins: Vec::new(),
            links: Links::new(
                &storage.secret("links").context("cannot read the secret of links (data_dir)")?,
                server.link_lifetime,
            ),
            metrics: metrics.clone(),
            feed: Feed::new(broker.clone(), closing.clone()),
            readiness: Readiness::of(Role::Worker { ending: shutdown.warm.clone() }),
            openapi: http::openapi(&config.limits, &config.queue),
            started_at: Timestamp::now(),
        };
        info!("health and metrics are at http://{address}");
        let (counts, closed, most_buffered) = (metrics.clone(), closing.clone(), config.limits.max_buffered_bytes);
        let server = tokio::spawn(async move {
            let bounds = http::Bounds { connections: server.max_connections, buffered: most_buffered };
            http::serve(listener, http::worker_app(services), &server, bounds, counts, closed).await;
        });
        Ok(Self { closing, server })
    }

    async fn close(self) {
        self.closing.cancel();
        let _ = timeout(Self::LAST_ANSWERS, self.server).await;
    }
}

/// Has the ballast made, and again whenever it was used and there is room for it, for ever.
async fn keep_ballast(storage: Storage) {
    loop {
        let kept = storage.clone();
        let kept = tokio::task::spawn_blocking(move || kept.keep_ballast());
        if let Err(error) = kept.await.expect("making a file does not panic") {
            debug!("the ballast cannot be made: {error}");
        }
        sleep(BALLAST_LOOK).await;
    }
}

/// Where pictures may come from, besides uploads.
fn sources(config: &Config) -> Result<Places> {
    let fetcher = config.sources.fetcher(&config.limits)?;
    let folder = config.sources.folder();
    if let Some(folder) = &folder {
        folder.try_out()?;
    }
    Ok(Places { fetcher, folder, max_listed: config.sources.max_listed })
}

fn settings(config: &Config, sources: Places) -> Result<worker::Settings> {
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
        policy: config.queue.policy(),
    })
}

/// What the processes that compute pictures are started with.
fn child_arguments(config: &Config) -> Vec<OsString> {
    let mut arguments = config.watermark.folders().arguments();
    if config.log.format == LogFormat::Json {
        arguments.push("--json-log".into());
    }
    arguments
}

/// Whoever can connect from elsewhere has to show a key, so there has to be one, in the settings or in the store.
///
/// # Errors
/// When there is none, and the address is not this machine's alone.
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

/// Opens the store, which is created where missing.
///
/// # Errors
/// When the folder cannot be used.
pub fn open_storage(folder: &Path) -> Result<Storage> {
    Storage::local(folder).with_context(|| format!("cannot store anything in {} (data_dir)", folder.display()))
}

/// Makes sure that the queue's jobs belong to this store; to whichever it is, where the queue does not know yet.
///
/// # Errors
/// When they belong to another one: here their originals are missing, and nobody would find their outputs.
pub async fn require_store(config: &Config, storage: &Storage, broker: &Broker) -> Result<()> {
    let folder = config.data_dir.display();
    let mine = match storage.identity() {
        // A disk without room for the id has no room for anything else; the store gets its id later.
        Err(storage::Error::Full(why)) => {
            warn!("which store {folder} (data_dir) is cannot be written down: {why}");
            return Ok(());
        }
        identity => identity.with_context(|| format!("cannot tell which store {folder} is (data_dir)"))?,
    };
    let theirs = broker.store_or(mine).await?;
    let place = if config.broker.redis.is_empty() { "" } else { " --redis URL" };
    anyhow::ensure!(
        mine == theirs,
        "{broker} has the jobs of the store {theirs}, but {folder} (data_dir) is the store {mine}: give this process the \
         data_dir of the others on this queue, and see whether its disk is mounted. Only if that store is gone, or the \
         queue is to go on with this one, run `pixmill control adopt-store --data-dir {folder}{place}`"
    );
    Ok(())
}

/// Says loudly when the queue comes to belong to another store while this process runs, or the store is gone.
async fn watch_store(config: Config, storage: Storage, broker: Broker) {
    let folder = config.data_dir.display();
    let (mut mine, mut said) = (None, false);
    loop {
        let Some(id) = mine else {
            mine = storage.identity().ok();
            sleep(STORE_WATCH).await;
            continue;
        };
        let wrong = match (storage.identity_if_any(), broker.store_or(id).await) {
            (Ok(None), _) => Some(format!("the store in {folder} (data_dir) is gone: is its disk still mounted?")),
            (Ok(Some(other)), _) if other != id => Some(format!(
                "{folder} (data_dir) now holds the store {other}, and this process is at work on the store {id}: is its \
                 disk still mounted?"
            )),
            (_, Ok(theirs)) if theirs != id => Some(format!(
                "{broker} now has the jobs of the store {theirs}, and this process is at work on the store {id}: end it"
            )),
            (_, Ok(_)) => None,
            // Nothing is known of it at present.
            (_, Err(_)) => {
                sleep(STORE_WATCH).await;
                continue;
            }
        };
        storage.set_wrong(wrong.is_some());
        if let Some(wrong) = &wrong
            && !said
        {
            error!("{wrong}");
        }
        said = wrong.is_some();
        sleep(STORE_WATCH).await;
    }
}

/// The store of a process that takes new work or does it.
fn working_storage(config: &Config) -> Result<Storage> {
    let limits = &config.limits;
    Ok(open_storage(&config.data_dir)?.on_disk(limits.min_free_disk, limits.ballast))
}

async fn open_broker(config: &Config, storage: &Storage) -> Result<Broker> {
    let broker = if config.broker.redis.is_empty() {
        open_sqlite(&config.data_dir.join(QUEUE_FILE), config.queue.policy(), storage.clone())?
    } else {
        connect(&config.broker, config.queue.policy()).await?
    };
    if !broker.verify(VERIFYING).await.context("cannot use the queue (data_dir)")? {
        info!("the queue's file is too long to be looked at for damage within {VERIFYING:?}, and is used as it is");
    }
    for warning in broker.warnings().await? {
        warn!("{warning}");
    }
    Ok(broker)
}

fn open_sqlite(file: &Path, policy: queue::Policy, storage: Storage) -> Result<Broker> {
    let relief = Arc::new(move || storage.release_ballast());
    Broker::open_sqlite_with(file, policy, relief)
        .with_context(|| format!("cannot open the queue {} (data_dir)", file.display()))
}

/// Opens the queue of a service that is there already, for those who look at it or order it about: nothing is created,
/// and nobody is waited for.
///
/// # Errors
/// When there is no queue at the place that the settings name, or it cannot be reached.
pub async fn visit_broker(config: &Config) -> Result<Broker> {
    let (settings, policy) = (&config.broker, config.queue.policy());
    if !settings.redis.is_empty() {
        return Broker::connect_redis(&settings.redis, &settings.prefix, policy)
            .await
            .with_context(|| format!("cannot use Redis at {} (broker.redis)", shown(&settings.redis)));
    }
    let file = config.data_dir.join(QUEUE_FILE);
    anyhow::ensure!(
        file.exists(),
        "no queue at {} (data_dir): name the service's own --data-dir, or its --redis",
        file.display()
    );
    open_sqlite(&file, policy, open_storage(&config.data_dir)?)
}

/// Opens the store of a service that is there already.
///
/// # Errors
/// When there is no such folder, or it cannot be used.
pub fn visit_storage(config: &Config) -> Result<Storage> {
    let folder = &config.data_dir;
    anyhow::ensure!(folder.is_dir(), "no folder {} (data_dir): name the service's own --data-dir", folder.display());
    open_storage(folder)
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
