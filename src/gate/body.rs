//! Bodies: read whole within limits, or passed on and counted.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};

use super::answer::Note;
use super::refusal::Refused;

/// Any body that the gate sends.
pub(super) type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// The largest body of a request that reads code, in bytes. An agent's facts have some tens of KiB, a large host's a few MiB.
const MAX_BODY: usize = 16 << 20;

/// The same, for whoever has no certificate: such a request is refused by Puppet Server anyway.
const MAX_STRANGERS_BODY: usize = 64 << 10;

/// All bodies that are held in memory at one time, in bytes.
const MAX_MEMORY: usize = 512 << 20;

/// How long a body may take to arrive that is read whole.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Counts what bodies take in memory.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(Arc<AtomicUsize>);

/// A share of [`Memory`], given back when it goes.
#[derive(Debug)]
pub(super) struct Share {
    memory: Memory,
    bytes: usize,
}

impl Share {
    fn grow(&mut self, bytes: usize) -> Result<(), Refused> {
        self.bytes += bytes;
        let before = self.memory.0.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > MAX_MEMORY { Err(Refused::Crowded) } else { Ok(()) }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A body that was read whole. The share lives as long as the bytes are needed.
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    pub(super) share: Share,
}

/// Reads a body to its end, within the limits.
pub(super) async fn read_whole(mut body: Incoming, memory: &Memory, is_stranger: bool) -> Result<Whole, Refused> {
    let limit = if is_stranger { MAX_STRANGERS_BODY } else { MAX_BODY };
    if body.size_hint().lower() > limit as u64 {
        return Err(Refused::TooLarge { limit });
    }
    let mut share = Share { memory: memory.clone(), bytes: 0 };
    let read = async {
        let mut pieces: Vec<Bytes> = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(|_| Refused::BrokenBody)?.into_data() else { continue };
            share.grow(piece.len())?;
            if share.bytes > limit {
                return Err(Refused::TooLarge { limit });
            }
            pieces.push(piece);
        }
        Ok(pieces)
    };
    let pieces = tokio::time::timeout(READ_TIMEOUT, read).await.map_err(|_| Refused::SlowBody)??;
    let bytes = match pieces.as_slice() {
        [single] => single.clone(),
        pieces => pieces.concat().into(),
    };
    Ok(Whole { bytes, share })
}

/// A body that is at hand.
pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that passes through; when it ends, or nobody wants the rest, its request is noted.
pub(super) struct Noted {
    inner: Body,
    note: Note,
}

impl Noted {
    pub(super) fn new(inner: Body, note: Note) -> Self {
        Self { inner, note }
    }
}

impl hyper::body::Body for Noted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.note.sent(data.len());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
