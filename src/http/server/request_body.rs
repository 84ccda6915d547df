//! The body of a request as the client sends it: given up when the client stops sending, refused when the memory budget is
//! used up.
//!
//! There is no limit to the whole time: a large upload over a slow line is legitimate, one of a byte a second is not.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use axum::http::StatusCode;
use hyper::body::{Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;
use tokio::time::{Sleep, sleep_until};

use super::budget::{Held, NoRoom};
use super::traffic::{LEAST, Traffic};
use crate::http::problem::Problem;

/// The client has stopped sending.
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

/// The answer to a request whose body ended in an error that [`RequestBody`] gave; `None` for any other error.
pub(in crate::http) fn broken_off(error: &(dyn std::error::Error + 'static)) -> Option<Problem> {
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
pub(super) struct RequestBody<B> {
    body: B,
    idle: Duration,
    /// How long its reader has waited since the last [`LEAST`] bytes came.
    waited: Duration,
    came: u64,
    waits_since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
    ended: bool,
    given_up: Counter,
    /// The request and the connection for which its bytes are counted.
    counted: Option<(Arc<Held>, Arc<Traffic>)>,
    /// There was no room. The rest of the body is not counted, because its reader discards it.
    refused: bool,
}

impl<B> RequestBody<B> {
    /// `given_up` counts bodies whose clients stop sending.
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

    /// Counts its bytes for this request and this connection.
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

impl<B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin> HttpBody for RequestBody<B> {
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::{Body, to_bytes};
    use futures::{StreamExt as _, stream};
    use prometheus_client::metrics::gauge::Gauge;

    use super::super::budget::Budget;
    use super::*;

    const IDLE: Duration = Duration::from_secs(30);
    const KEEP: Duration = Duration::from_secs(75);

    #[tokio::test]
    async fn body_that_there_is_no_room_for_is_refused_and_the_rest_thrown_away() {
        let budget = Budget::new(100, Gauge::default());
        let traffic = Arc::new(Traffic::new(IDLE, KEEP, budget.account()));
        let chunks = stream::iter([60, 60, 60].map(|bytes| Ok::<_, Infallible>(vec![b'x'; bytes])));
        let upload = RequestBody::new(Body::from_stream(chunks), IDLE, Counter::default());
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
        let upload = RequestBody::new(Body::from_stream(trickle), Duration::from_nanos(1), Counter::default());
        let error = to_bytes(Body::new(upload), LEAST as usize).await.unwrap_err();
        assert_eq!(broken_off(&error).unwrap().code(), "request-timeout", "{error}");
    }

    #[tokio::test]
    async fn upload_that_stops_is_told_apart_from_one_that_ends() {
        let whole = RequestBody::new(Body::from("bytes"), IDLE, Counter::default());
        assert_eq!(to_bytes(Body::new(whole), 100).await.unwrap(), "bytes");
        let stops = stream::iter([Ok::<_, Infallible>("bytes")]).chain(stream::pending());
        let error = to_bytes(
            Body::new(RequestBody::new(Body::from_stream(stops), Duration::from_millis(1), Counter::default())),
            100,
        )
        .await
        .unwrap_err();
        let told = behind::<TooSlow>(&error).expect("the cause is there").to_string();
        assert!(told.contains("server.idle_timeout"), "{told}");
    }
}
