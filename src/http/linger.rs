//! Reads on after an early refusal.
//!
//! Closing a connection on unread bytes resets it, and a client that is still sending then never
//! sees why it was refused. So what is left of the body is read and thrown away, within bounds.

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

/// What is thrown away at the most: some pictures, not a client's whole archive.
const MOST_BYTES: usize = 64 << 20;
const LONGEST: Duration = Duration::from_secs(10);

/// Has `answer` answer the request.
pub(super) async fn linger<F: Future<Output = Response>>(
    request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response {
    if request.body().is_end_stream() {
        return answer(request).await;
    }
    let waits_to_send = request.headers().contains_key(header::EXPECT);
    let begun = Arc::new(AtomicBool::new(false));
    let (parts, body) = request.into_parts();
    let body = Arc::new(Mutex::new(body.into_data_stream()));
    let read = Body::from_stream(shared(body.clone(), begun.clone()));
    let response = answer(Request::from_parts(parts, read)).await;
    let refused = response.status().is_client_error() || response.status().is_server_error();
    // Who asked first (`Expect: 100-continue`) and was refused before a byte was read, sends nothing.
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
        // What is still coming after that is cut off.
        let _ = drained.await;
    }
    response
}

/// The stream as it goes on from wherever another reader left it.
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
