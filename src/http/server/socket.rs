//! The socket of a connection. It reports what moves to the connection's [`Traffic`].

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::traffic::Traffic;

/// If an answer is owed when this is dropped, the socket is left for that answer.
pub(super) struct Paced<S> {
    socket: Option<S>,
    traffic: Arc<Traffic>,
    left: Left<S>,
}

/// Where the socket is left for an answer that is owed.
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
            // Our answer is written when the connection has ended.
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
        // hyper writes its own answer in one piece; behind other answers, it is the last piece.
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
        // An answer is still to be written.
        if self.traffic.owed().is_some() {
            return Poll::Ready(Ok(()));
        }
        self.socket().poll_shutdown(context)
    }
}
