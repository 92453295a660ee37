//! The body of an answer as it arrives.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::Stream;
use reqwest::Response;
use tokio::runtime::Handle;
use tokio_util::bytes::{Buf, Bytes};
use tokio_util::sync::CancellationToken;

use super::{Place, RemoteError};

/// The longest pause within a body.
pub const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// A stream of objects, or the content of one file, as a blocking `Read`.
///
/// Invariant: it is read only where blocking is allowed, on a thread of `spawn_blocking`; tokio panics where a thread that runs tasks
/// blocks. Dropping it ends the transfer.
#[derive(Debug)]
pub struct ObjectStream {
    response: Response,
    place: Place,
    runtime: Handle,
    piece: Bytes,
    received: Arc<AtomicU64>,
    stop: CancellationToken,
    pause: Duration,
}

impl ObjectStream {
    /// Must be called within a runtime, as every call of [`super::Remote`] is.
    pub(super) fn new(response: Response, place: &Place) -> Self {
        Self {
            response,
            place: place.clone(),
            runtime: Handle::current(),
            piece: Bytes::new(),
            received: Arc::default(),
            stop: CancellationToken::new(),
            pause: READ_TIMEOUT,
        }
    }

    /// How many bytes have arrived, as they came over the wire. May be looked at while another thread reads.
    pub fn received(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.received)
    }

    /// Counts on a counter of the caller's, on top of what stands there.
    #[must_use]
    pub fn counting_on(mut self, received: Arc<AtomicU64>) -> Self {
        self.received = received;
        self
    }

    /// A read that waits fails as soon as `stop` is cancelled, so that a daemon that should end need not wait for its primary.
    #[must_use]
    pub fn until(mut self, stop: CancellationToken) -> Self {
        self.stop = stop;
        self
    }

    /// Allows another longest pause than [`READ_TIMEOUT`].
    #[must_use]
    pub fn pausing_at_most(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// How many bytes the whole of it has, where its sender announced that.
    pub fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The same for who must not block: piece by piece, each asked for when the one before it was taken.
    pub fn pieces(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        futures_util::stream::try_unfold(self, |mut this| async move {
            let piece = this.next().await?;
            Ok(piece.map(|piece| (piece, this)))
        })
    }

    /// The next bytes, however many; `None` at the end.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let arriving = tokio::time::timeout(self.pause, self.response.chunk());
        let outcome = tokio::select! {
            () = self.stop.cancelled() => return Err(io::Error::new(io::ErrorKind::ConnectionAborted, Stopped)),
            outcome = arriving => outcome,
        };
        match outcome {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(error)) => Err(io::Error::other(RemoteError::transport(&self.place, error))),
            Err(_) => {
                let error = RemoteError::TimedOut { place: self.place.clone() };
                Err(io::Error::new(io::ErrorKind::TimedOut, error))
            }
        }
    }
}

/// The caller wants no more of it.
#[derive(Debug, thiserror::Error)]
#[error("the transfer was stopped")]
struct Stopped;

impl Read for ObjectStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !buffer.is_empty() {
            let runtime = self.runtime.clone();
            match runtime.block_on(self.next())? {
                Some(piece) => {
                    self.received.fetch_add(piece.len() as u64, Relaxed);
                    self.piece = piece;
                }
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
