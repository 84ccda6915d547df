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
use axum::http::{StatusCode, Version};
use hyper::body::{Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};

use super::Problem;
use super::held::{Held, NoRoom};

/// Bytes that must move while a client is waited for as long as `server.idle_timeout`.
const LEAST: u64 = 4 << 10;
/// What hyper keeps of one connection at the most before it is a body's: a head and a buffer, or HTTP/2's window and buffers.
const MOST_UNREAD: u64 = 128 << 10;
const MOST_FRAMED: u64 = (1 << 20) + (64 << 10);

/// Why an upload ends that its client does not go on with.
#[derive(Debug)]
pub(super) struct TooSlow(Duration);

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fewer than {LEAST} bytes of the body came in {:?} (server.idle_timeout)", self.0)
    }
}

impl std::error::Error for TooSlow {}

/// The first error of type `E` among an error and its sources.
fn behind<'a, E: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|cause| cause.downcast_ref())
}

/// The answer to a request whose body ended in an error that [`Upload`] gave; `None` for any other error.
pub(super) fn broken_off(error: &(dyn std::error::Error + 'static)) -> Option<Problem> {
    if let Some(slow) = behind::<TooSlow>(error) {
        let detail = format!("The upload was given up: {slow}.");
        return Some(Problem::new(StatusCode::REQUEST_TIMEOUT, "request-timeout", detail));
    }
    behind::<NoRoom>(error).copied().map(no_room)
}

/// The answer to a request that the budget has no room for.
pub(super) fn no_room(error: NoRoom) -> Problem {
    Problem::unavailable("overloaded", format!("Too much is being received at present: {error}."), 5)
}

/// A request's body. It ends in [`TooSlow`] when the client stops sending, and in [`NoRoom`] when the budget is used up.
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
    /// The request and the connection for which its bytes are counted.
    counted: Option<(Arc<Held>, Arc<Traffic>)>,
    /// There was no room: what is still read is thrown away.
    refused: bool,
}

impl<B> Upload<B> {
    /// `given_up` counts it when it stops coming.
    pub(super) fn new(body: B, idle: Duration, given_up: Counter) -> Self {
        let waited = Duration::ZERO;
        Self {
            body,
            idle,
            waited,
            came: 0,
            waits_since: None,
            alarm: None,
            ended: false,
            given_up,
            counted: None,
            refused: false,
        }
    }

    /// With its bytes counted.
    pub(super) fn counted(self, held: Arc<Held>, traffic: Arc<Traffic>) -> Self {
        Self { counted: Some((held, traffic)), ..self }
    }

    /// # Errors
    /// [`NoRoom`], the first time that the budget is used up.
    fn count(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let Some((held, traffic)) = &self.counted else { return Ok(()) };
        traffic.handed_on(bytes);
        if self.refused {
            return Ok(());
        }
        let counted = held.add(bytes as u64);
        self.refused = counted.is_err();
        counted
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
            if let Err(no_room) = self.count(bytes) {
                return Poll::Ready(Some(Err(no_room.into())));
            }
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
    /// What was read and not handed on yet.
    held: Held,
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
    /// Bytes that were read and not handed on as a part of a body: heads, buffers, frames. Not more than are kept.
    unread: u64,
    /// The connection ends without this answer having been sent by hyper.
    owed: Option<Owed>,
    written: u64,
    /// Since when, and since how many bytes, it has been looked at whether the client takes what is sent.
    mark: (Instant, u64),
}

/// An answer to bytes that are not a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owed {
    /// hyper would have sent this status without a body.
    Malformed(StatusCode),
    NoRoom(NoRoom),
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
    pub(super) fn new(idle: Duration, keep_alive: Duration, held: Held) -> Self {
        Self::at(Instant::now(), idle, keep_alive, held)
    }

    fn at(now: Instant, idle: Duration, keep_alive: Duration, held: Held) -> Self {
        let state = State {
            open: 0,
            served: false,
            framed: false,
            free_since: now,
            head_since: None,
            untaken: 0,
            blocked: false,
            unread: 0,
            owed: None,
            written: 0,
            mark: (now, 0),
        };
        Self { idle, keep_alive, state: Mutex::new(state), held }
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

    /// # Errors
    /// Where the budget has no room for the bytes of a head; the answer is owed then.
    fn read(&self, bytes: usize) -> io::Result<()> {
        let mut state = self.state();
        let is_head = state.open == 0 && !state.framed;
        if is_head && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
        }
        let most = if state.framed { MOST_FRAMED } else { MOST_UNREAD };
        state.unread = (state.unread + bytes as u64).min(most);
        match self.held.set(state.unread) {
            Err(no_room) if is_head => {
                state.owed = Some(Owed::NoRoom(no_room));
                Err(io::Error::other(no_room))
            }
            // A request that is being received is refused by its body.
            _ => Ok(()),
        }
    }

    /// Bytes of a body were handed on, and are counted with their request.
    fn handed_on(&self, bytes: usize) {
        let mut state = self.state();
        state.unread = state.unread.saturating_sub(bytes as u64);
        let _ = self.held.set(state.unread);
    }

    /// Where hyper's own answer to bytes that are not a request begins in what it writes; `None` if it writes another answer.
    /// The answer is owed then.
    fn takes_over(&self, written: &[u8]) -> Option<usize> {
        let mut state = self.state();
        if state.open > 0 || state.framed {
            return None;
        }
        let (at, status) = automatic(written)?;
        state.owed = Some(Owed::Malformed(status));
        Some(at)
    }

    /// The answer that the connection has ended without.
    pub(super) fn owed(&self) -> Option<Owed> {
        self.state().owed
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
        if state.open == 0 {
            state.unread = 0;
            let _ = self.0.held.set(0);
        }
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
///
/// Dropped while an answer is owed, it leaves the socket for that.
pub(super) struct Paced<S> {
    socket: Option<S>,
    traffic: Arc<Traffic>,
    left: Left<S>,
}

/// Where a connection's socket is left.
pub(super) type Left<S> = Arc<Mutex<Option<S>>>;

impl<S: Unpin> Paced<S> {
    pub(super) fn new(socket: S, traffic: Arc<Traffic>, left: Left<S>) -> Self {
        Self { socket: Some(socket), traffic, left }
    }

    fn socket(&mut self) -> Pin<&mut S> {
        Pin::new(self.socket.as_mut().expect("it is taken when this is dropped"))
    }
}

impl<S> Drop for Paced<S> {
    fn drop(&mut self) {
        if self.traffic.owed().is_some() {
            *self.left.lock().unwrap_or_else(PoisonError::into_inner) = self.socket.take();
        }
    }
}

/// Where hyper's own answer to bytes that it cannot read begins, and its status. It is the last of what is written, and has
/// only the three headers below and no body, unlike every answer of this service.
fn automatic(written: &[u8]) -> Option<(usize, StatusCode)> {
    const BEGIN: &[u8] = b"HTTP/1.";
    /// As long as it is at the most.
    const LENGTH: usize = 160;
    let from = written.len().saturating_sub(LENGTH);
    let at = from + written[from..].windows(BEGIN.len()).rposition(|bytes| bytes == BEGIN)?;
    let head = std::str::from_utf8(&written[at..]).ok()?.strip_suffix("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status: StatusCode = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let is_its_own = |line: &str| {
        let line = line.to_ascii_lowercase();
        matches!(line.as_str(), "connection: close" | "content-length: 0") || line.starts_with("date: ")
    };
    (status.is_client_error() && lines.all(is_its_own)).then_some((at, status))
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = self.socket().poll_read(context, buffer);
        let read = buffer.filled().len() - before;
        if read > 0
            && let Err(no_room) = self.traffic.read(read)
        {
            return Poll::Ready(Err(no_room));
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> Paced<S> {
    fn send(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = self.socket().poll_write(context, bytes);
        self.traffic.wrote(&outcome);
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.traffic.takes_over(bytes) {
            // It is written otherwise, when the connection has ended.
            Some(0) => return Poll::Ready(Ok(bytes.len())),
            Some(at) => return self.send(context, &bytes[..at]),
            None => {}
        }
        self.send(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // What hyper writes by itself comes in one piece, or behind other answers in the last one.
        if let [slice] = slices {
            return self.poll_write(context, slice);
        }
        if let Some((last, before)) = slices.split_last()
            && self.traffic.takes_over(last).is_some()
        {
            return self.poll_write_vectored(context, before);
        }
        let outcome = self.socket().poll_write_vectored(context, slices);
        self.traffic.wrote(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    /// Both protocols flush when everything has been written.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.traffic.blocked(false);
        self.socket().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // An answer follows.
        if self.traffic.owed().is_some() {
            return Poll::Ready(Ok(()));
        }
        self.socket().poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::to_bytes;
    use futures::{StreamExt as _, stream};
    use prometheus_client::metrics::gauge::Gauge;

    use super::super::held::Budget;
    use super::*;

    const IDLE: Duration = Duration::from_secs(30);
    const KEEP: Duration = Duration::from_secs(75);

    fn traffic() -> (Arc<Traffic>, Instant) {
        let begin = Instant::now();
        let held = Budget::new(u64::MAX, Gauge::default()).account();
        (Arc::new(Traffic::at(begin, IDLE, KEEP, held)), begin)
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
        traffic.read(1).unwrap();
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
        traffic.read(1).unwrap();
        assert!(traffic.is_spare());
        assert!(matches!(traffic.stand(Instant::now() + IDLE), Stand::Well { .. }));
        assert_eq!(traffic.stand(Instant::now() + KEEP), Stand::Idle);
    }

    #[test]
    fn only_hypers_own_refusal_is_taken_over() {
        let own = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\
                    date: Tue, 01 Dec 2026 02:00:00 GMT\r\n\r\n";
        assert_eq!(automatic(own), Some((0, StatusCode::BAD_REQUEST)));
        let behind = [b"the end of another answer", &own[..]].concat();
        assert_eq!(automatic(&behind), Some((25, StatusCode::BAD_REQUEST)));
        let ours = String::from_utf8(own.to_vec()).unwrap();
        for other in [
            ours.replace("date", "x-request-id: 1\r\ndate"),
            ours.replace("400 Bad Request", "200 OK"),
            ours.replace(": 0", ": 7"),
            format!("{ours}more"),
            String::new(),
        ] {
            assert_eq!(automatic(other.as_bytes()), None, "{other}");
        }
        let (traffic, _) = traffic();
        let open = Traffic::open(&traffic, Version::HTTP_11);
        assert_eq!(traffic.takes_over(own), None, "a request is being answered");
        drop(open);
        assert_eq!(traffic.takes_over(own), Some(0));
        assert_eq!(traffic.owed(), Some(Owed::Malformed(StatusCode::BAD_REQUEST)));
    }

    #[test]
    fn head_that_there_is_no_room_for_is_owed_an_answer() {
        let gauge = Gauge::default();
        let budget = Budget::new(100, gauge.clone());
        let traffic = Arc::new(Traffic::at(Instant::now(), IDLE, KEEP, budget.account()));
        traffic.read(60).unwrap();
        let open = Traffic::open(&traffic, Version::HTTP_11);
        traffic.handed_on(20);
        assert_eq!(gauge.get(), 40);
        drop(open);
        assert_eq!(gauge.get(), 0);
        assert!(traffic.read(101).is_err());
        assert!(matches!(traffic.owed(), Some(Owed::NoRoom(_))));
    }

    #[tokio::test]
    async fn body_that_there_is_no_room_for_is_refused_and_the_rest_thrown_away() {
        let budget = Budget::new(100, Gauge::default());
        let traffic = Arc::new(Traffic::new(IDLE, KEEP, budget.account()));
        let chunks = stream::iter([60, 60, 60].map(|bytes| Ok::<_, Infallible>(vec![b'x'; bytes])));
        let upload = Upload::new(Body::from_stream(chunks), IDLE, Counter::default());
        let mut body = Body::new(upload.counted(Arc::new(budget.account()), traffic)).into_data_stream();
        assert_eq!(body.next().await.unwrap().unwrap().len(), 60);
        let error = body.next().await.unwrap().unwrap_err();
        assert_eq!(broken_off(&error).unwrap().code(), "overloaded");
        assert_eq!(body.next().await.unwrap().unwrap().len(), 60, "who lingers reads on");
    }

    #[tokio::test]
    async fn upload_that_trickles_is_given_up_too() {
        let trickle = stream::unfold((), |()| async {
            tokio::task::yield_now().await;
            Some((Ok::<_, Infallible>("b"), ()))
        });
        let upload = Upload::new(Body::from_stream(trickle), Duration::from_nanos(1), Counter::default());
        let error = to_bytes(Body::new(upload), LEAST as usize).await.unwrap_err();
        assert_eq!(broken_off(&error).unwrap().code(), "request-timeout", "{error}");
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
        let told = behind::<TooSlow>(&error).expect("the cause is there").to_string();
        assert!(told.contains("server.idle_timeout"), "{told}");
    }
}
