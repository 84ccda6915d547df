//! Opens what the settings name: the store, the queue, and the sources of pictures.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use queue::Broker;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::config::{self, Config};
use crate::kinds::http_call::MOST_ANSWERED;
use crate::net::{self, Calls, Fetcher, Turns};
use crate::sources::{Folder, Places};
use crate::storage::{self, Storage};
use crate::workflows::{self, Engine, Templates};

/// How long a start waits for Redis.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// File name of the SQLite queue in the data folder.
const QUEUE_FILE: &str = "queue.db";
/// How long a start may check the SQLite queue for damage.
const VERIFYING: Duration = Duration::from_secs(5);

/// The sources of pictures other than uploads.
pub(super) fn places(config: &Config) -> Result<Places> {
    let settings = &config.sources;
    let folder = (!settings.folder.as_os_str().is_empty()).then(|| Folder::new(settings.folder.clone()));
    if let Some(folder) = &folder {
        folder.try_out()?;
    }
    Ok(Places { fetcher: fetcher(config)?, folder, max_listed: settings.max_listed })
}

/// The client for URLs; `None` if no URL is allowed.
fn fetcher(config: &Config) -> Result<Option<Fetcher>> {
    let settings = &config.sources;
    let guard = settings.guard().map_err(anyhow::Error::msg)?;
    if guard.allowed.is_empty() {
        return Ok(None);
    }
    let fetcher = Fetcher::new(net::Settings {
        guard: Some(guard),
        connect_timeout: settings.connect_timeout,
        read_timeout: None,
        timeout: settings.timeout,
        max_redirects: settings.max_redirects,
        max_retry_after: settings.max_retry_after,
        max_bytes: config.limits.max_file_bytes,
    });
    fetcher.map(Some).context("cannot fetch URLs (sources.urls) on this machine")
}

/// How calls are made.
pub(super) fn calls(config: &Config) -> Result<Calls> {
    let settings = &config.calls;
    let guard = settings.guard().map_err(anyhow::Error::msg)?;
    let signer = settings.signer().map_err(anyhow::Error::msg)?;
    let turns = Turns::new(settings.per_host);
    if guard.allowed.is_empty() {
        return Ok(Calls { fetcher: None, turns, signer });
    }
    let fetcher = Fetcher::new(net::Settings {
        guard: Some(guard),
        connect_timeout: settings.timeout,
        read_timeout: None,
        timeout: settings.timeout,
        max_redirects: 0,
        max_retry_after: settings.max_retry_after,
        max_bytes: MOST_ANSWERED,
    });
    let fetcher = fetcher.context("cannot call servers (calls.urls) on this machine")?;
    Ok(Calls { fetcher: Some(fetcher), turns, signer })
}

/// The settings that workflows are checked by, and the workflows that they have. Fonts and overlays must have been provided.
///
/// # Errors
/// Naming the preset or the workflow, and the field.
pub fn workflows(config: &Config) -> Result<(workflows::Settings, Templates)> {
    let settings = workflows::Settings {
        queues: config.queue.names.clone(),
        retention: config.retention.clone(),
        presets: config.presets()?,
        limits: config.limits.imaging(),
        max_files: config.limits.max_files,
        sources: config.sources.guard().map_err(anyhow::Error::msg)?,
        calls: config.calls.guard().map_err(anyhow::Error::msg)?,
        timeout: config.calls.timeout,
    };
    let templates = Templates::parse(&config.workflows, settings.rules()).map_err(anyhow::Error::msg)?;
    Ok((settings, templates))
}

/// Who carries workflows out, under the settings in force.
///
/// # Errors
/// As for [`workflows`].
pub(super) fn engine(config: &Config) -> Result<Arc<Engine>> {
    let (settings, templates) = workflows(config)?;
    Ok(Arc::new(Engine::new(settings, templates, config.queue.clone())))
}

/// Opens the store, which is created where missing.
///
/// # Errors
/// If the folder cannot be used.
pub fn open_storage(folder: &Path) -> Result<Storage> {
    Storage::local(folder).with_context(|| format!("cannot store anything in {} (data_dir)", folder.display()))
}

/// Checks that the queue's jobs belong to this store. A queue without a store is bound to this one.
///
/// # Errors
/// If the jobs belong to another store. Their originals are missing here, and nobody would find their outputs.
pub async fn require_store(config: &Config, storage: &Storage, broker: &Broker) -> Result<()> {
    let folder = config.data_dir.display();
    let mine = match storage.identity() {
        // A disk without room for the id has no room for anything else. The store gets its id later.
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

/// Opens the store for a process that accepts or does work.
pub(super) fn working_storage(config: &Config) -> Result<Storage> {
    let limits = &config.limits;
    Ok(open_storage(&config.data_dir)?.on_disk(limits.min_free_disk, limits.ballast))
}

pub(super) async fn open_broker(config: &Config, storage: &Storage) -> Result<Broker> {
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

/// Opens the queue of an existing service for commands that inspect or control it. Creates nothing, and does not wait.
///
/// # Errors
/// If there is no queue at the place that the settings name, or if it cannot be reached.
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

/// Opens the store of an existing service.
///
/// # Errors
/// If the folder does not exist or cannot be used.
pub fn visit_storage(config: &Config) -> Result<Storage> {
    let folder = &config.data_dir;
    anyhow::ensure!(folder.is_dir(), "no folder {} (data_dir): name the service's own --data-dir", folder.display());
    open_storage(folder)
}

/// Retries for ten seconds, so that Redis and the service may be started at the same time.
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
