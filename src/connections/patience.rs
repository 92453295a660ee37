//! A stream whose other end must take what is written to it.
//!
//! Whoever sends requests and never reads the answers would otherwise hold a connection, and what is to be sent on it, for ever. Reading needs
//! no such limit: an idle connection and a slow head are HTTP's affair, a slow body its reader's.
//!
//! Deliberately absent: a least rate. Any byte that is taken begins the time anew; how fast a stream must be taken is for its writer to say.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// See the module. The timer exists only while a write waits: an idle connection costs none.
pub(super) struct Patient<S> {
    stream: S,
    limit: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// A write that gets nowhere for so long is an error.
    pub(super) fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, waiting: None }
    }

    /// What a write came to. Any progress starts the time anew.
    fn bounded<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waiting = None;
            return polled;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        match waiting.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.bounded(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.bounded(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.bounded(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.bounded(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn a_reader_that_takes_nothing_ends_the_connection() {
        let (here, _there) = UnixStream::pair().unwrap();
        let mut here = Patient::new(here, Duration::from_millis(50));
        let written = tokio::time::timeout(Duration::from_secs(20), here.write_all(&vec![0; 64 << 20])).await;
        assert_eq!(written.expect("it does not wait for ever").unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_reader_that_is_slow_but_reads_gets_all() {
        let (here, mut there) = UnixStream::pair().unwrap();
        let mut here = Patient::new(here, Duration::from_secs(5));
        let writing = tokio::spawn(async move { here.write_all(&vec![7; 1 << 20]).await });
        let mut all = Vec::new();
        let mut piece = vec![0; 16 << 10];
        while all.len() < 1 << 20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let read = there.read(&mut piece).await.unwrap();
            all.extend_from_slice(&piece[..read]);
        }
        writing.await.unwrap().unwrap();
        assert!(all.iter().all(|byte| *byte == 7));
    }
}
