//! Accepts connections up to a limit, HTTP/1.1 and HTTP/2 on one port, and closes them in order.
//!
//! A client that is waited for and does nothing is cut off ([`Traffic`]), so that slow and dead clients do not use up the limit.
//! At the limit, connections between two requests are closed to make room. New connections wait for some seconds and are then
//! answered with 503. At a shutdown no more connections are accepted, idle ones are closed, and running requests are finished.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::App;
use super::budget::Budget;
use super::headers;
use super::measure::UNMATCHED;
use super::request_body::{RequestBody, no_room};
use super::response_body::ResponseBody;
use super::socket::{Left, Paced};
use super::traffic::{Condition, Owed, Traffic};
use crate::config;
use crate::http::problem::Problem;
use crate::metrics::{Metrics, RequestLabels};

/// Pause after an accept that failed for lack of descriptors or memory: without it the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a new connection waits for room, and how often others are asked to make room meanwhile.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// New connections that wait, or are being answered with 503, at a time. Further ones wait in the system's own queue.
const MOST_WAITING: usize = 64;
/// Bytes of unread input, and of unsent output, that one connection keeps; also the longest head of a request.
const BUFFER: usize = 64 << 10;
/// Lines of a request's head, and bytes of its target: hyper's own limits.
const MOST_LINES: usize = 100;
const MOST_URI: usize = 65_534;
/// When hyper does not send an answer: bytes that are still read and discarded after it, and the longest time for both.
const MOST_DISCARDED: usize = 256 << 10;
const LONGEST_SENDING: Duration = Duration::from_millis(500);
/// Requests at a time on one HTTP/2 connection.
const STREAMS: u32 = 100;

/// What all connections share.
struct Server<A> {
    app: TowerToHyperService<A>,
    protocol: auto::Builder<TokioExecutor>,
    idle: Duration,
    keep_alive: Duration,
    room: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    full: Notify,
    closing: CancellationToken,
    /// Cancelled when [`serve`] is dropped before its end.
    dropped: CancellationToken,
    budget: Budget,
    metrics: Metrics,
}

/// Limits over all connections.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections open at a time.
    pub connections: usize,
    /// Bytes of heads and bodies held in memory.
    pub buffered: u64,
}

/// Serves until `closing`, then until the last connection has ended. Dropping it closes the connections that are left.
pub async fn serve(
    listener: TcpListener,
    app: impl App,
    settings: &config::Server,
    bounds: Bounds,
    metrics: Metrics,
    closing: CancellationToken,
) {
    let server = Arc::new(Server {
        app: TowerToHyperService::new(app),
        protocol: protocol(settings.idle_timeout),
        idle: settings.idle_timeout,
        keep_alive: settings.keep_alive,
        room: Arc::new(Semaphore::new(bounds.connections)),
        waiting: Arc::new(Semaphore::new(MOST_WAITING)),
        full: Notify::new(),
        closing: closing.clone(),
        dropped: CancellationToken::new(),
        budget: Budget::new(bounds.buffered, metrics.buffered.clone()),
        metrics,
    });
    let _dropped = server.dropped.clone().drop_guard();
    let connections = TaskTracker::new();
    loop {
        let (stream, peer, place) = tokio::select! {
            () = closing.cancelled() => break,
            next = server.next(&listener) => next,
        };
        let _ = stream.set_nodelay(true);
        let server = server.clone();
        connections.spawn(async move {
            let permit = match place {
                Admission::Open(permit) => permit,
                Admission::Waiting(place) => match server.permit().await {
                    Some(permit) => {
                        drop(place);
                        permit
                    }
                    None => return send(stream, too_many_connections()).await,
                },
            };
            server.metrics.connections.inc();
            server.handle(stream, peer).await;
            server.metrics.connections.dec();
            drop(permit);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

fn protocol(idle: Duration) -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    // `Traffic` limits how slowly a head may come, in both protocols alike.
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

impl<A: App> Server<A> {
    /// Accepts the next connection.
    async fn next(&self, listener: &TcpListener) -> (TcpStream, std::net::SocketAddr, Admission) {
        loop {
            // Taken before the connection, because a connection without a place would hold a descriptor.
            let place = self.waiting.clone().acquire_owned().await.expect("the semaphore is never closed");
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let room = self.room.clone().try_acquire_owned();
                    return (stream, peer, room.map_or(Admission::Waiting(place), Admission::Open));
                }
                Err(error) if is_clients(&error) => {}
                Err(error) => {
                    self.full.notify_waiters();
                    warn!("no connection can be taken at present: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Waits for a free connection. `None` if none is free in time, or if the queue of waiting connections is full.
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let deadline = Instant::now() + LONGEST_WAIT;
        // Only the first that waits is logged; the accept loop may hold one more place.
        if self.waiting.available_permits() + 2 >= MOST_WAITING {
            info!("server.max_connections are open; the next one waits until one of them ends");
        }
        loop {
            self.full.notify_waiters();
            let permit = timeout(ASK_AGAIN, self.room.clone().acquire_owned());
            tokio::select! {
                () = self.closing.cancelled() => return None,
                permit = permit => match permit {
                    Ok(permit) => return Some(permit.expect("the semaphore is never closed")),
                    Err(_) if Instant::now() >= deadline || self.waiting.available_permits() == 0 => return None,
                    Err(_) => {}
                },
            }
        }
    }

    async fn handle(&self, stream: TcpStream, peer: std::net::SocketAddr) {
        let traffic = Arc::new(Traffic::new(self.idle, self.keep_alive, self.budget.account()));
        let left = Left::default();
        let error = self.serve(Paced::new(stream, traffic.clone(), left.clone()), peer, &traffic).await;
        let socket = left.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(owed), Some(socket)) = (traffic.owed(), socket) {
            let problem = unreadable(owed, error.as_deref());
            let status = problem.status().as_u16();
            info!(status, %peer, "answered {status}: {}", problem.detail());
            self.metrics
                .requests
                .get_or_create(&RequestLabels { method: "any".into(), route: UNMATCHED.into(), status })
                .inc();
            send(socket, problem).await;
        }
    }

    /// Answers requests until the connection ends. The result is the error that ended it, if any.
    async fn serve(
        &self,
        socket: Paced<TcpStream>,
        peer: std::net::SocketAddr,
        traffic: &Arc<Traffic>,
    ) -> Option<BoxError> {
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let open = Traffic::open(traffic, request.version());
            let held = Arc::new(self.budget.account());
            let mut request = request.map(|body| {
                let body = RequestBody::new(body, self.idle, self.metrics.slow_clients.clone());
                Body::new(body.counted(held.clone(), traffic.clone()))
            });
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(held);
            let answer = self.app.call(request);
            async move { answer.await.map(|response| response.map(|body| ResponseBody::new(body, open))) }
        });
        let mut connection = std::pin::pin!(self.protocol.serve_connection(TokioIo::new(socket), service));
        let mut alarm = std::pin::pin!(sleep(self.idle));
        let mut ending = false;
        loop {
            let end = tokio::select! {
                ended = connection.as_mut() => return ended.err(),
                () = self.dropped.cancelled() => return None,
                () = self.closing.cancelled(), if !ending => true,
                () = self.full.notified(), if !ending => traffic.is_spare(),
                () = alarm.as_mut() => match traffic.condition(Instant::now().into_std()) {
                    Condition::Good { look_again } => {
                        alarm.as_mut().reset(Instant::now() + look_again);
                        false
                    }
                    Condition::Idle if ending => return None,
                    Condition::Idle => {
                        alarm.as_mut().reset(Instant::now() + self.idle);
                        true
                    }
                    Condition::Stuck => {
                        self.metrics.slow_clients.inc();
                        return None;
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

/// The place of a new connection.
enum Admission {
    Open(OwnedSemaphorePermit),
    /// It waits until there is room.
    Waiting(OwnedSemaphorePermit),
}

/// The answer to a connection over the limit. Its request is not read.
fn too_many_connections() -> Problem {
    let detail = "As many connections are open as the service takes (server.max_connections, ulimit -n).";
    Problem::unavailable("overloaded", detail, 5)
}

/// The answer to bytes that are not a request.
fn unreadable(owed: Owed, error: Option<&(dyn std::error::Error + Send + Sync + 'static)>) -> Problem {
    let why = error.map_or_else(String::new, |error| format!(": {error}"));
    match owed {
        Owed::NoRoom(error) => no_room(error),
        Owed::Malformed(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE) => Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "head-too-large",
            format!("The request's head has more than {BUFFER} bytes, or more than {MOST_LINES} lines."),
        ),
        Owed::Malformed(StatusCode::URI_TOO_LONG) => Problem::new(
            StatusCode::URI_TOO_LONG,
            "uri-too-long",
            format!("The request's target has more than {MOST_URI} bytes."),
        ),
        Owed::Malformed(_) => {
            Problem::bad_request("malformed-request", format!("The request cannot be read as HTTP{why}."))
        }
    }
}

/// Sends an answer without hyper, and closes the connection.
async fn send(mut socket: TcpStream, problem: Problem) {
    let sent = async {
        socket.write_all(&written(problem).await).await?;
        socket.shutdown().await?;
        // Closing with unread bytes resets the connection, and the client would not see the answer.
        let (mut left, mut rest) = (MOST_DISCARDED, [0; 8 << 10]);
        while left > 0 {
            match socket.read(&mut rest).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        Ok::<_, io::Error>(())
    };
    // An error means that the client has gone; it needs no answer.
    let _ = timeout(LONGEST_SENDING, sent).await;
}

/// An answer as HTTP/1.1 writes it.
async fn written(problem: Problem) -> Vec<u8> {
    let (parts, body) = headers::add_defaults(problem.into_response()).into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let reason = parts.status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", parts.status.as_u16()).into_bytes();
    for (name, value) in &parts.headers {
        bytes.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend_from_slice(format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

/// Whether accepting failed because the client closed the connection, and not for lack of anything here.
fn is_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
