//! The body of an answer. It reports to its connection which side has to move: the client, or the handler that makes it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

use super::traffic::OpenRequest;

pub(super) struct ResponseBody {
    body: Body,
    untaken: bool,
    open: OpenRequest,
}

impl ResponseBody {
    pub(super) fn new(body: Body, open: OpenRequest) -> Self {
        Self { body, untaken: false, open }
    }

    fn is_taken(&mut self) {
        if std::mem::take(&mut self.untaken) {
            self.open.traffic().taken();
        }
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // hyper asks for more when it has sent the part before.
        self.is_taken();
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_some() {
            self.untaken = true;
            self.open.traffic().untaken();
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

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.is_taken();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use axum::http::Version;
    use futures::{StreamExt as _, stream};
    use prometheus_client::metrics::gauge::Gauge;

    use super::super::budget::Budget;
    use super::super::traffic::{Condition, Traffic};
    use super::*;

    const IDLE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn answer_that_waits_for_us_is_not_held_against_its_client() {
        let held = Budget::new(u64::MAX, Gauge::default()).account();
        let traffic = Arc::new(Traffic::new(IDLE, IDLE, held));
        let pieces = stream::iter([Ok::<_, Infallible>("one")]).chain(stream::pending());
        let mut answer = ResponseBody::new(Body::from_stream(pieces), Traffic::open(&traffic, Version::HTTP_11));
        let mut next =
            async || std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut answer).poll_frame(context))).await;
        assert!(next().await.is_ready());
        assert_eq!(
            traffic.condition(Instant::now() + IDLE),
            Condition::Stuck,
            "handed on, and nothing was asked for since"
        );
        assert!(next().await.is_pending());
        assert!(matches!(traffic.condition(Instant::now() + IDLE), Condition::Good { .. }));
    }
}
