//! After an early refusal, reads the rest of the request's body and discards it, within limits.
//!
//! Closing a connection with unread bytes resets it, and a client that is still sending would not see why it was refused.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::Request;
use axum::http::header;
use axum::response::Response;
use futures::Stream;
use futures::StreamExt;
use futures::stream::poll_fn;
use tokio::time::timeout;

/// Most bytes that are discarded: some pictures, not a whole archive.
const MOST_BYTES: usize = 64 << 20;
const LONGEST: Duration = Duration::from_secs(10);

/// Answers a request by `answer`, and drains its body if the answer is a refusal.
pub(super) async fn answer<F: Future<Output = Response>>(
    request: Request,
    handler: impl FnOnce(Request) -> F,
) -> Response {
    if request.body().is_end_stream() {
        return handler(request).await;
    }
    let waits_to_send = request.headers().contains_key(header::EXPECT);
    let begun = Arc::new(AtomicBool::new(false));
    let (parts, body) = request.into_parts();
    let body = Arc::new(Mutex::new(body.into_data_stream()));
    let read = Body::from_stream(shared(body.clone(), begun.clone()));
    let response = handler(Request::from_parts(parts, read)).await;
    let refused = response.status().is_client_error() || response.status().is_server_error();
    // A client that asked first (`Expect: 100-continue`) and was refused before a byte was read sends no body.
    if refused && (begun.load(Ordering::Relaxed) || !waits_to_send) {
        let mut left = MOST_BYTES;
        let mut rest = shared(body, begun);
        let drained = timeout(LONGEST, async {
            while let Some(Ok(bytes)) = rest.next().await {
                left = left.saturating_sub(bytes.len());
                if left == 0 {
                    break;
                }
            }
        });
        // Whatever the client sends after that is cut off.
        let _ = drained.await;
    }
    response
}

/// A stream of the bytes that other readers of `body` have left.
fn shared(
    body: Arc<Mutex<BodyDataStream>>,
    begun: Arc<AtomicBool>,
) -> impl Stream<Item = Result<axum::body::Bytes, axum::Error>> + Send + Unpin {
    poll_fn(move |context| {
        begun.store(true, Ordering::Relaxed);
        let mut body = body.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_next(context)
    })
}
