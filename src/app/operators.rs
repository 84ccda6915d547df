//! A worker's own server for operators' tools: health, readiness and metrics.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Opened;
use crate::config;
use crate::http::{self, Access, Readiness, Role, Services};
use crate::worker::Shutdown;
use crate::workflows::Engine;

/// The server of a worker. It answers until the worker has ended, so that the metrics include its last attempts.
pub(super) struct OperatorServer {
    closing: CancellationToken,
    server: JoinHandle<()>,
}

impl OperatorServer {
    /// Most connections that operators' tools may have open.
    const CONNECTIONS: usize = 64;
    /// Time for open answers at the end.
    const LAST_ANSWERS: Duration = Duration::from_secs(1);

    pub(super) async fn start(
        address: SocketAddr,
        opened: &Opened,
        engine: Arc<Engine>,
        shutdown: &Shutdown,
    ) -> Result<Self> {
        let config = &opened.config;
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} (worker.listen)"))?;
        let (address, closing) = (listener.local_addr()?, CancellationToken::new());
        let server = config::Server {
            listen: address,
            max_connections: Self::CONNECTIONS.min(config.server.max_connections),
            ..config.server.clone()
        };
        let access = Access::open(&server, &config.auth, &config.limits, &opened.storage)
            .context("cannot read the API keys (data_dir)")?;
        if !access.lets_anybody_in() {
            warn!("no API key is there: /metrics at http://{address} (worker.listen) answers nobody");
        }
        let role = Role::Worker { ending: shutdown.warm.clone() };
        let services = opened.services(access, engine, Readiness::of(role), closing.clone())?;
        let services = Services { cors_origins: Vec::new(), ..services };
        info!("health and metrics are at http://{address}");
        let (counts, closed) = (opened.metrics.clone(), closing.clone());
        let buffered = config.limits.max_buffered_bytes;
        let server = tokio::spawn(async move {
            let bounds = http::Bounds { connections: server.max_connections, buffered };
            http::serve(listener, http::worker_app(services), &server, bounds, counts, closed).await;
        });
        Ok(Self { closing, server })
    }

    pub(super) async fn close(self) {
        self.closing.cancel();
        let _ = timeout(Self::LAST_ANSWERS, self.server).await;
    }
}
