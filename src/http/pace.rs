//! How clients keep up: uploads that stop coming, answers that are not taken, connections that do nothing.
//!
//! Only time in which a client is waited for counts, never that of our own work; and there is no limit to the whole:
//! a large upload over a slow line is legitimate, one of a byte a second is not.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::Version;
use hyper::body::{Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};

/// Bytes that must move while a client is waited for as long as `server.idle_timeout`.
const LEAST: u64 = 4 << 10;

/// Why an upload ends that its client does not go on with.
#[derive(Debug)]
pub(super) struct TooSlow(Duration);

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fewer than {LEAST} bytes of the body came in {:?} (server.idle_timeout)", self.0)
    }
}

impl std::error::Error for TooSlow {}

impl TooSlow {
    /// Whether that is what lies behind an error.
    pub(super) fn behind<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        std::iter::successors(Some(error), |error| error.source()).find_map(|cause| cause.downcast_ref())
    }
}

/// A request's body that ends in [`TooSlow`] when it stops coming.
pub(super) struct Upload<B> {
    body: B,
    idle: Duration,
    /// Of the time that its reader spent waiting since [`LEAST`] bytes had last come.
    waited: Duration,
    came: u64,
    waits_since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
    ended: bool,
    given_up: Counter,
}

impl<B> Upload<B> {
    /// `given_up` counts it when it stops coming.
    pub(super) fn new(body: B, idle: Duration, given_up: Counter) -> Self {
        let waited = Duration::ZERO;
        Self { body, idle, waited, came: 0, waits_since: None, alarm: None, ended: false, given_up }
    }

    fn came(&mut self, bytes: usize) {
        if let Some(since) = self.waits_since.take() {
            self.waited += since.elapsed();
        }
        self.came += bytes as u64;
        if self.came >= LEAST {
            (self.came, self.waited) = (0, Duration::ZERO);
        }
    }

    fn waits(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let left = self.idle.saturating_sub(self.waited);
        if left.is_zero() {
            return Poll::Ready(());
        }
        if self.waits_since.is_none() {
            self.waits_since = Some(Instant::now());
            let end = tokio::time::Instant::now() + left;
            match &mut self.alarm {
                Some(alarm) => alarm.as_mut().reset(end),
                None => self.alarm = Some(Box::pin(sleep_until(end))),
            }
        }
        self.alarm.as_mut().map_or(Poll::Pending, |alarm| alarm.as_mut().poll(context))
    }
}

impl<B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin> HttpBody for Upload<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
            self.came(bytes);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.waits(context));
        self.ended = true;
        self.given_up.inc();
        Poll::Ready(Some(Err(TooSlow(self.idle).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What happens on one connection.
pub(super) struct Traffic {
    idle: Duration,
    keep_alive: Duration,
    state: Mutex<State>,
}

struct State {
    /// Requests begun and not answered whole.
    open: usize,
    served: bool,
    /// It speaks HTTP/2, whose frames come between requests too.
    framed: bool,
    /// When the last one ended, or the connection began.
    free_since: Instant,
    /// When the next request began to come.
    head_since: Option<Instant>,
    /// Answers of which the client has the next move, and the socket while it takes nothing.
    untaken: usize,
    blocked: bool,
    written: u64,
    /// Since when, and since how many bytes, it has been looked at whether the client takes what is sent.
    mark: (Instant, u64),
}

/// How a connection stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stand {
    Well {
        look_again: Duration,
    },
    /// It has no request, or none that comes on.
    Idle,
    /// Its client does not take its answers.
    Stuck,
}

impl Traffic {
    pub(super) fn new(idle: Duration, keep_alive: Duration) -> Self {
        Self::at(Instant::now(), idle, keep_alive)
    }

    fn at(now: Instant, idle: Duration, keep_alive: Duration) -> Self {
        let state = State {
            open: 0,
            served: false,
            framed: false,
            free_since: now,
            head_since: None,
            untaken: 0,
            blocked: false,
            written: 0,
            mark: (now, 0),
        };
        Self { idle, keep_alive, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request until its answer has been sent.
    pub(super) fn open(traffic: &Arc<Self>, version: Version) -> Open {
        let mut state = traffic.state();
        state.framed = version == Version::HTTP_2;
        state.open += 1;
        state.served = true;
        state.head_since = None;
        Open(traffic.clone())
    }

    /// Whether it lies between two requests.
    pub(super) fn is_spare(&self) -> bool {
        let state = self.state();
        state.open == 0 && state.served && state.untaken == 0 && state.head_since.is_none()
    }

    pub(super) fn stand(&self, now: Instant) -> Stand {
        let mut state = self.state();
        if state.untaken > 0 {
            let (since, written) = state.mark;
            let waited = now.saturating_duration_since(since);
            if state.written - written >= LEAST {
                state.mark = (now, state.written);
                return Stand::Well { look_again: self.idle };
            }
            return within(self.idle, waited).unwrap_or(Stand::Stuck);
        }
        if state.open > 0 {
            return Stand::Well { look_again: self.idle };
        }
        let (since, limit) = match state.head_since {
            Some(since) => (since, self.idle),
            None if state.served => (state.free_since, self.keep_alive),
            None => (state.free_since, self.idle),
        };
        let waited = now.saturating_duration_since(since);
        // A head that begins meanwhile has a shorter limit.
        within(limit, waited).map_or(Stand::Idle, |stand| match stand {
            Stand::Well { look_again } => Stand::Well { look_again: look_again.min(self.idle) },
            other => other,
        })
    }

    fn untaken(&self) {
        let mut state = self.state();
        if state.untaken == 0 {
            state.mark = (Instant::now(), state.written);
        }
        state.untaken += 1;
    }

    fn taken(&self) {
        self.state().untaken -= 1;
    }

    fn read(&self) {
        let mut state = self.state();
        if state.open == 0 && !state.framed && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
        }
    }

    fn wrote(&self, outcome: &Poll<io::Result<usize>>) {
        match outcome {
            Poll::Ready(Ok(bytes)) => self.state().written += *bytes as u64,
            Poll::Pending => self.blocked(true),
            Poll::Ready(Err(_)) => {}
        }
    }

    fn blocked(&self, blocked: bool) {
        let was = std::mem::replace(&mut self.state().blocked, blocked);
        match (was, blocked) {
            (false, true) => self.untaken(),
            (true, false) => self.taken(),
            _ => {}
        }
    }
}

fn within(limit: Duration, waited: Duration) -> Option<Stand> {
    limit.checked_sub(waited).filter(|left| !left.is_zero()).map(|look_again| Stand::Well { look_again })
}

/// A request that is being answered.
pub(super) struct Open(Arc<Traffic>);

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open -= 1;
        state.free_since = Instant::now();
    }
}

/// An answer's body that tells whose move it is.
pub(super) struct Answer {
    body: Body,
    untaken: bool,
    open: Open,
}

impl Answer {
    pub(super) fn new(body: Body, open: Open) -> Self {
        Self { body, untaken: false, open }
    }

    fn is_taken(&mut self) {
        if std::mem::take(&mut self.untaken) {
            self.open.0.taken();
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // Asked for more, it has been rid of what it gave before.
        self.is_taken();
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_some() {
            self.untaken = true;
            self.open.0.untaken();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.is_taken();
    }
}

/// A connection's socket that tells what moves.
pub(super) struct Paced<S> {
    socket: S,
    traffic: Arc<Traffic>,
}

impl<S> Paced<S> {
    pub(super) fn new(socket: S, traffic: Arc<Traffic>) -> Self {
        Self { socket, traffic }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.socket).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.traffic.read();
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.traffic.wrote(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.traffic.wrote(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// Both protocols flush when everything has been written.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.traffic.blocked(false);
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::to_bytes;
    use futures::{StreamExt as _, stream};

    use super::*;

    const IDLE: Duration = Duration::from_secs(30);
    const KEEP: Duration = Duration::from_secs(75);

    fn traffic() -> (Arc<Traffic>, Instant) {
        let begin = Instant::now();
        (Arc::new(Traffic::at(begin, IDLE, KEEP)), begin)
    }

    #[test]
    fn connection_that_never_asks_is_idle_sooner_than_one_that_did() {
        let (traffic, begin) = traffic();
        assert_eq!(traffic.stand(begin + IDLE / 3), Stand::Well { look_again: IDLE * 2 / 3 });
        assert_eq!(traffic.stand(begin + IDLE), Stand::Idle);
        assert!(!traffic.is_spare(), "its first request may be on its way");
        drop(Traffic::open(&traffic, Version::HTTP_11));
        assert!(traffic.is_spare());
        assert!(matches!(traffic.stand(begin + IDLE), Stand::Well { .. }));
        assert_eq!(traffic.stand(Instant::now() + KEEP), Stand::Idle);
    }

    #[test]
    fn head_that_does_not_end_is_idle_and_our_own_work_is_not() {
        let (traffic, _) = traffic();
        drop(Traffic::open(&traffic, Version::HTTP_11));
        traffic.read();
        assert_eq!(traffic.stand(Instant::now() + IDLE), Stand::Idle);
        let _open = Traffic::open(&traffic, Version::HTTP_11);
        assert_eq!(traffic.stand(Instant::now() + 100 * KEEP), Stand::Well { look_again: IDLE });
    }

    #[test]
    fn client_that_takes_nothing_is_stuck_and_one_that_takes_a_little_is_not() {
        let (traffic, _) = traffic();
        let _open = Traffic::open(&traffic, Version::HTTP_11);
        traffic.wrote(&Poll::Pending);
        let later = Instant::now() + IDLE;
        assert_eq!(traffic.stand(later), Stand::Stuck);
        traffic.wrote(&Poll::Ready(Ok(LEAST as usize)));
        assert_eq!(traffic.stand(later), Stand::Well { look_again: IDLE });
        traffic.wrote(&Poll::Ready(Ok(1)));
        assert_eq!(traffic.stand(later + IDLE), Stand::Stuck, "a byte now and then is not enough");
        traffic.blocked(false);
        assert_eq!(traffic.stand(later + IDLE), Stand::Well { look_again: IDLE });
    }

    #[tokio::test]
    async fn answer_that_waits_for_us_is_not_held_against_its_client() {
        let (traffic, _) = traffic();
        let pieces = stream::iter([Ok::<_, Infallible>("one")]).chain(stream::pending());
        let mut answer = Answer::new(Body::from_stream(pieces), Traffic::open(&traffic, Version::HTTP_11));
        let mut next =
            async || std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut answer).poll_frame(context))).await;
        assert!(next().await.is_ready());
        assert_eq!(traffic.stand(Instant::now() + IDLE), Stand::Stuck, "handed on, and nothing was asked for since");
        assert!(next().await.is_pending());
        assert!(matches!(traffic.stand(Instant::now() + IDLE), Stand::Well { .. }));
    }

    #[test]
    fn frames_between_requests_are_no_head() {
        let (traffic, _) = traffic();
        drop(Traffic::open(&traffic, Version::HTTP_2));
        traffic.read();
        assert!(traffic.is_spare());
        assert!(matches!(traffic.stand(Instant::now() + IDLE), Stand::Well { .. }));
        assert_eq!(traffic.stand(Instant::now() + KEEP), Stand::Idle);
    }

    #[tokio::test]
    async fn upload_that_trickles_is_given_up_too() {
        let trickle = stream::unfold((), |()| async {
            tokio::task::yield_now().await;
            Some((Ok::<_, Infallible>("b"), ()))
        });
        let upload = Upload::new(Body::from_stream(trickle), Duration::from_nanos(1), Counter::default());
        let error = to_bytes(Body::new(upload), LEAST as usize).await.unwrap_err();
        assert!(TooSlow::behind(&error).is_some(), "{error}");
    }

    #[tokio::test]
    async fn upload_that_stops_is_told_apart_from_one_that_ends() {
        let whole = Upload::new(Body::from("bytes"), IDLE, Counter::default());
        assert_eq!(to_bytes(Body::new(whole), 100).await.unwrap(), "bytes");
        let stops = stream::iter([Ok::<_, Infallible>("bytes")]).chain(stream::pending());
        let error = to_bytes(
            Body::new(Upload::new(Body::from_stream(stops), Duration::from_millis(1), Counter::default())),
            100,
        )
        .await
        .unwrap_err();
        let told = TooSlow::behind(&error).expect("the cause is there").to_string();
        assert!(told.contains("server.idle_timeout"), "{told}");
    }
}
