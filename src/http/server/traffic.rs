//! What happens on one connection: its requests, what its client takes and sends, and the bytes that are held for it.
//!
//! Only time in which the client is waited for counts, never the time of our own work.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use axum::http::{StatusCode, Version};

use super::budget::{Held, NoRoom};

/// Bytes that must move while a client is waited for as long as `server.idle_timeout`.
pub(super) const LEAST: u64 = 4 << 10;
/// Most bytes that hyper keeps of one connection and that are not part of a body: a head and a buffer, or the window and
/// buffers of HTTP/2.
const MOST_UNREAD: u64 = 128 << 10;
const MOST_FRAMED: u64 = (1 << 20) + (64 << 10);

/// Shared by the connection, its socket, and the bodies of its requests and answers.
pub(super) struct Traffic {
    idle: Duration,
    keep_alive: Duration,
    state: Mutex<State>,
    /// Bytes that were read and not handed on yet.
    held: Held,
}

struct State {
    /// Requests that have begun and whose answers are not sent yet.
    open: usize,
    served: bool,
    /// The client speaks HTTP/2, whose frames come between requests, too.
    framed: bool,
    /// When the last request ended, or the connection began.
    free_since: Instant,
    /// When the first bytes of the next request came.
    head_since: Option<Instant>,
    /// Answers whose last part the client has not taken yet, and 1 more while the socket takes nothing.
    untaken: usize,
    blocked: bool,
    /// Bytes that were read and not handed on as part of a body: heads, buffers, frames. At most as many as hyper
    /// keeps.
    unread: u64,
    /// An answer that hyper has not sent, and that is sent when the connection has ended.
    owed: Option<Owed>,
    written: u64,
    /// When the current wait for the client began, and how many bytes were written until then.
    mark: (Instant, u64),
}

/// An answer to bytes that are not a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owed {
    /// hyper's own answer has this status and no body.
    Malformed(StatusCode),
    NoRoom(NoRoom),
}

/// Whether a connection should go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Good {
        look_again: Duration,
    },
    /// It has no request, or its next request does not come.
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
    pub(super) fn open(traffic: &Arc<Self>, version: Version) -> OpenRequest {
        let mut state = traffic.state();
        state.framed = version == Version::HTTP_2;
        state.open += 1;
        state.served = true;
        state.head_since = None;
        OpenRequest(traffic.clone())
    }

    /// Whether it is between two requests.
    pub(super) fn is_spare(&self) -> bool {
        let state = self.state();
        state.open == 0 && state.served && state.untaken == 0 && state.head_since.is_none()
    }

    /// Whether the connection should go on at this time.
    pub(super) fn condition(&self, now: Instant) -> Condition {
        let mut state = self.state();
        if state.untaken > 0 {
            let (since, written) = state.mark;
            let waited = now.saturating_duration_since(since);
            if state.written - written >= LEAST {
                state.mark = (now, state.written);
                return Condition::Good { look_again: self.idle };
            }
            return within(self.idle, waited).unwrap_or(Condition::Stuck);
        }
        if state.open > 0 {
            return Condition::Good { look_again: self.idle };
        }
        let (since, limit) = match state.head_since {
            Some(since) => (since, self.idle),
            None if state.served => (state.free_since, self.keep_alive),
            None => (state.free_since, self.idle),
        };
        let waited = now.saturating_duration_since(since);
        // A head that begins meanwhile has a shorter limit.
        within(limit, waited).map_or(Condition::Idle, |condition| match condition {
            Condition::Good { look_again } => Condition::Good { look_again: look_again.min(self.idle) },
            other => other,
        })
    }

    /// A part of an answer was handed to hyper, and the client has not taken it yet.
    pub(super) fn untaken(&self) {
        let mut state = self.state();
        if state.untaken == 0 {
            state.mark = (Instant::now(), state.written);
        }
        state.untaken += 1;
    }

    /// The client has taken that part.
    pub(super) fn taken(&self) {
        self.state().untaken -= 1;
    }

    /// Counts bytes that were read from the socket.
    ///
    /// # Errors
    /// If the budget has no room for the bytes of a head. The answer is owed then.
    pub(super) fn read(&self, bytes: usize) -> io::Result<()> {
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

    /// Counts bytes of a body that were handed on. From now on they count for their request.
    pub(super) fn handed_on(&self, bytes: usize) {
        let mut state = self.state();
        state.unread = state.unread.saturating_sub(bytes as u64);
        let _ = self.held.set(state.unread);
    }

    /// Where hyper's own answer to bytes that are not a request begins in `written`; `None` if hyper writes another
    /// answer. From then on our answer is owed.
    pub(super) fn takes_over(&self, written: &[u8]) -> Option<usize> {
        let mut state = self.state();
        if state.open > 0 || state.framed {
            return None;
        }
        let (at, status) = automatic(written)?;
        state.owed = Some(Owed::Malformed(status));
        Some(at)
    }

    /// The answer that is still to be sent when the connection has ended.
    pub(super) fn owed(&self) -> Option<Owed> {
        self.state().owed
    }

    /// Counts what was written to the socket.
    pub(super) fn wrote(&self, outcome: &Poll<io::Result<usize>>) {
        match outcome {
            Poll::Ready(Ok(bytes)) => self.state().written += *bytes as u64,
            Poll::Pending => self.blocked(true),
            Poll::Ready(Err(_)) => {}
        }
    }

    /// Notes whether the socket takes nothing at present.
    pub(super) fn blocked(&self, blocked: bool) {
        let was = std::mem::replace(&mut self.state().blocked, blocked);
        match (was, blocked) {
            (false, true) => self.untaken(),
            (true, false) => self.taken(),
            _ => {}
        }
    }
}

fn within(limit: Duration, waited: Duration) -> Option<Condition> {
    limit.checked_sub(waited).filter(|left| !left.is_zero()).map(|look_again| Condition::Good { look_again })
}

/// A request that is being answered.
pub(super) struct OpenRequest(Arc<Traffic>);

impl OpenRequest {
    pub(super) fn traffic(&self) -> &Traffic {
        &self.0
    }
}

impl Drop for OpenRequest {
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

/// Where hyper's own answer to bytes that it cannot read begins, and its status. That answer is at the end of
/// `written`. Unlike every answer of this service, it has only the three headers below and no body.
fn automatic(written: &[u8]) -> Option<(usize, StatusCode)> {
    const BEGIN: &[u8] = b"HTTP/1.";
    /// Its greatest length.
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

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::gauge::Gauge;

    use super::super::budget::Budget;
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
        assert_eq!(traffic.condition(begin + IDLE / 3), Condition::Good { look_again: IDLE * 2 / 3 });
        assert_eq!(traffic.condition(begin + IDLE), Condition::Idle);
        assert!(!traffic.is_spare(), "its first request may be on its way");
        drop(Traffic::open(&traffic, Version::HTTP_11));
        assert!(traffic.is_spare());
        assert!(matches!(traffic.condition(begin + IDLE), Condition::Good { .. }));
        assert_eq!(traffic.condition(Instant::now() + KEEP), Condition::Idle);
    }

    #[test]
    fn head_that_does_not_end_is_idle_and_our_own_work_is_not() {
        let (traffic, _) = traffic();
        drop(Traffic::open(&traffic, Version::HTTP_11));
        traffic.read(1).unwrap();
        assert_eq!(traffic.condition(Instant::now() + IDLE), Condition::Idle);
        let _open = Traffic::open(&traffic, Version::HTTP_11);
        assert_eq!(traffic.condition(Instant::now() + 100 * KEEP), Condition::Good { look_again: IDLE });
    }

    #[test]
    fn client_that_takes_nothing_is_stuck_and_one_that_takes_a_little_is_not() {
        let (traffic, _) = traffic();
        let _open = Traffic::open(&traffic, Version::HTTP_11);
        traffic.wrote(&Poll::Pending);
        let later = Instant::now() + IDLE;
        assert_eq!(traffic.condition(later), Condition::Stuck);
        traffic.wrote(&Poll::Ready(Ok(LEAST as usize)));
        assert_eq!(traffic.condition(later), Condition::Good { look_again: IDLE });
        traffic.wrote(&Poll::Ready(Ok(1)));
        assert_eq!(traffic.condition(later + IDLE), Condition::Stuck, "a byte now and then is not enough");
        traffic.blocked(false);
        assert_eq!(traffic.condition(later + IDLE), Condition::Good { look_again: IDLE });
    }

    #[test]
    fn frames_between_requests_are_no_head() {
        let (traffic, _) = traffic();
        drop(Traffic::open(&traffic, Version::HTTP_2));
        traffic.read(1).unwrap();
        assert!(traffic.is_spare());
        assert!(matches!(traffic.condition(Instant::now() + IDLE), Condition::Good { .. }));
        assert_eq!(traffic.condition(Instant::now() + KEEP), Condition::Idle);
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
}
