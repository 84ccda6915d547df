//! Connections: taken up to a bound, HTTP/1.1 and HTTP/2 on one port, and closed with manners.
//!
//! A client that is waited for and does nothing is cut off ([`pace`]), so that neither slow ones nor dead ones fill the
//! table. When it is full, connections between two requests are closed for newcomers, who wait until there is room. A
//! shutdown takes no more, ends those that are idle, and waits for the requests that run.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::App;
use super::pace::{Answer, Paced, Stand, Traffic, Upload};
use crate::config;
use crate::metrics::Metrics;

/// After an accept that failed for want of something: without it the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often connections are asked to make room.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// What one connection keeps of unread input and unsent output, of a request's head too.
const BUFFER: usize = 64 << 10;
/// Requests at a time on one HTTP/2 connection.
const STREAMS: u32 = 100;

/// What all connections share.
struct Lobby<A> {
    app: TowerToHyperService<A>,
    protocol: auto::Builder<TokioExecutor>,
    idle: Duration,
    keep_alive: Duration,
    room: Arc<Semaphore>,
    crowded: Notify,
    closing: CancellationToken,
    /// Cancelled when [`serve`] is dropped before its end.
    abandoned: CancellationToken,
    metrics: Metrics,
}

/// Serves until `closing`, then until the last connection has ended. Dropped, it cuts off those that are left.
pub async fn serve(
    listener: TcpListener,
    app: impl App,
    settings: &config::Server,
    metrics: Metrics,
    closing: CancellationToken,
) {
    allow_files(settings.max_connections);
    let lobby = Arc::new(Lobby {
        app: TowerToHyperService::new(app),
        protocol: protocol(settings.idle_timeout),
        idle: settings.idle_timeout,
        keep_alive: settings.keep_alive,
        room: Arc::new(Semaphore::new(settings.max_connections)),
        crowded: Notify::new(),
        closing: closing.clone(),
        abandoned: CancellationToken::new(),
        metrics,
    });
    let _abandoned = lobby.abandoned.clone().drop_guard();
    let connections = TaskTracker::new();
    loop {
        let (stream, peer, permit) = tokio::select! {
            () = closing.cancelled() => break,
            next = lobby.next(&listener) => next,
        };
        let _ = stream.set_nodelay(true);
        let lobby = lobby.clone();
        connections.spawn(async move {
            lobby.metrics.connections.inc();
            lobby.see_through(stream, peer).await;
            lobby.metrics.connections.dec();
            drop(permit);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

fn protocol(idle: Duration) -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    // Heads that come slowly are `Traffic`'s matter, in both protocols alike.
    protocol.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(BUFFER);
    protocol
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_send_buf_size(BUFFER)
        .keep_alive_interval(idle)
        .keep_alive_timeout(idle);
    protocol
}

impl<A: App> Lobby<A> {
    /// The next connection, once there is room for it.
    async fn next(&self, listener: &TcpListener) -> (TcpStream, std::net::SocketAddr, OwnedSemaphorePermit) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => return (stream, peer, self.permit().await),
                Err(error) if is_clients(&error) => {}
                Err(error) => {
                    self.crowded.notify_waiters();
                    warn!("no connection can be taken at present: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        if let Ok(permit) = self.room.clone().try_acquire_owned() {
            return permit;
        }
        info!("server.max_connections are open; the next one waits until one of them ends");
        loop {
            self.crowded.notify_waiters();
            if let Ok(permit) = timeout(ASK_AGAIN, self.room.clone().acquire_owned()).await {
                return permit.expect("the semaphore is never closed");
            }
        }
    }

    async fn see_through(&self, stream: TcpStream, peer: std::net::SocketAddr) {
        let traffic = Arc::new(Traffic::new(self.idle, self.keep_alive));
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let open = Traffic::open(&traffic, request.version());
            let mut request =
                request.map(|body| Body::new(Upload::new(body, self.idle, self.metrics.slow_clients.clone())));
            request.extensions_mut().insert(ConnectInfo(peer));
            let answer = self.app.call(request);
            async move { answer.await.map(|response| response.map(|body| Answer::new(body, open))) }
        });
        let io = TokioIo::new(Paced::new(stream, traffic.clone()));
        let mut connection = std::pin::pin!(self.protocol.serve_connection(io, service));
        let mut alarm = std::pin::pin!(sleep(self.idle));
        let mut ending = false;
        loop {
            let end = tokio::select! {
                // A client that goes, or sends nonsense, is nobody's fault here.
                _ = connection.as_mut() => return,
                () = self.abandoned.cancelled() => return,
                () = self.closing.cancelled(), if !ending => true,
                () = self.crowded.notified(), if !ending => traffic.is_spare(),
                () = alarm.as_mut() => match traffic.stand(Instant::now().into_std()) {
                    Stand::Well { look_again } => {
                        alarm.as_mut().reset(Instant::now() + look_again);
                        false
                    }
                    Stand::Idle if ending => return,
                    Stand::Idle => {
                        alarm.as_mut().reset(Instant::now() + self.idle);
                        true
                    }
                    Stand::Stuck => {
                        self.metrics.slow_clients.inc();
                        return;
                    }
                },
            };
            if end {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Whether a connection that could not be taken was lost by its client, and not for want of anything here.
fn is_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Raises this process' limit of open files as far as it may; an upload takes two, its connection and its picture.
fn allow_files(connections: usize) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let wanted = 2 * connections as u64 + 256;
    if let Some(files) = getrlimit(Resource::Nofile).current.filter(|&files| files < wanted) {
        warn!(
            "only {files} files may be open (ulimit -n); server.max_connections ({connections}) may need {wanted}: \
             raise the one or lower the other"
        );
    }
}
