//! A response body that a blocking job writes: bounded, so that a slow receiver holds the job back and memory stays small.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::shared::Lead;

/// How much is collected before it is handed on, in bytes.
pub(super) const PIECE: usize = 64 << 10;

/// How many pieces may wait to be sent.
const WAITING: usize = 4;

/// A receiver that takes nothing for so long is given up, so that a dead connection does not hold its place for ever.
const STALLED: Duration = Duration::from_secs(60);

/// A receiver that is slower than this, in bytes a second, is given up when it has used up [`STALLED`]: each stream that is sent holds one of few
/// places and keeps what GC removed on the disk, and somebody who takes a piece a minute would hold them for days. Slower than any line
/// between masters.
const SLOWEST: u64 = 16 << 10;

/// The job's end of a body. Dropped before [`BodyWriter::finish`], it makes the body an error, which the receiver sees as a connection
/// that broke.
pub(super) struct BodyWriter {
    pieces: mpsc::Sender<Piece>,
    runtime: Handle,
    collected: Vec<u8>,
    /// For others too, as long as nothing was handed on.
    lead: Option<Lead>,
    count: Box<dyn Fn(u64) + Send>,
    /// Bytes that were taken, and how long the job waited for that.
    taken: u64,
    waited: Duration,
}

enum Piece {
    Bytes(Bytes),
    End,
}

/// A body and its writer. `count` is told how many bytes are handed on; `cut` ends the body at once, as an error; with `lead`, a body of one piece is
/// shared.
pub(super) fn body(
    cut: CancellationToken,
    lead: Option<Lead>,
    count: impl Fn(u64) + Send + 'static,
) -> (BodyWriter, Body) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let writer = BodyWriter {
        pieces: sender,
        runtime: Handle::current(),
        collected: Vec::with_capacity(PIECE),
        lead,
        count: Box::new(count),
        taken: 0,
        waited: Duration::ZERO,
    };
    let pieces = futures_util::stream::unfold(Some(receiver), move |receiver| {
        let cut = cut.clone();
        async move {
            let mut receiver = receiver?;
            let piece = tokio::select! {
                biased;
                () = cut.cancelled() => None,
                piece = receiver.recv() => piece,
            };
            match piece {
                Some(Piece::Bytes(bytes)) => Some((Ok(bytes), Some(receiver))),
                Some(Piece::End) => None,
                None => Some((Err(io::Error::from(io::ErrorKind::UnexpectedEof)), None)),
            }
        }
    });
    (writer, Body::from_stream(pieces))
}

impl BodyWriter {
    /// Sends what is left and says that the body is whole.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if let Some(lead) = self.lead.take() {
            lead.share(Bytes::copy_from_slice(&self.collected));
        }
        self.flush()?;
        self.send(Piece::End)
    }

    /// What comes is for nobody else.
    pub(super) fn share_nothing(&mut self) {
        self.lead = None;
    }

    fn send(&mut self, piece: Piece) -> io::Result<()> {
        let begun = Instant::now();
        let patience = patience(self.taken, self.waited);
        self.taken += if let Piece::Bytes(bytes) = &piece { bytes.len() as u64 } else { 0 };
        let sent = self.runtime.block_on(async { tokio::time::timeout(patience, self.pieces.send(piece)).await });
        self.waited += begun.elapsed();
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_gone)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// How long to wait for a receiver that took so much, while the job waited for so long.
fn patience(taken: u64, waited: Duration) -> Duration {
    (STALLED + Duration::from_secs(taken / SLOWEST)).saturating_sub(waited).min(STALLED)
}

impl Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.collected.extend_from_slice(bytes);
        if self.collected.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.collected.is_empty() {
            return Ok(());
        }
        if let Some(lead) = self.lead.take() {
            lead.too_large();
        }
        let piece = std::mem::replace(&mut self.collected, Vec::with_capacity(PIECE));
        (self.count)(piece.len() as u64);
        self.send(Piece::Bytes(piece.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn what_is_written_arrives_and_is_counted() {
        let (counted, counts) = std::sync::mpsc::channel();
        let (mut writer, body) = body(CancellationToken::new(), None, move |bytes| counted.send(bytes).unwrap());
        let content: Vec<u8> = (0..1_000_000u32).map(|number| number as u8).collect();
        let sent = content.clone();
        let job = tokio::task::spawn_blocking(move || {
            sent.chunks(1000).try_for_each(|part| writer.write_all(part)).and_then(|()| writer.finish())
        });
        assert_eq!(body.collect().await.unwrap().to_bytes(), content);
        job.await.unwrap().unwrap();
        assert_eq!(counts.iter().sum::<u64>(), content.len() as u64);
    }

    #[test]
    fn a_receiver_may_be_slow_but_not_as_slow_as_it_likes() {
        let piece = PIECE as u64;
        let lasts = |bytes_a_second: u64| {
            let (mut taken, mut waited) = (0, Duration::ZERO);
            for _ in 0..10_000 {
                let wait = Duration::from_secs_f64(piece as f64 / bytes_a_second as f64);
                if wait > patience(taken, waited) {
                    return false;
                }
                taken += piece;
                waited += wait;
            }
            true
        };
        assert!(lasts(SLOWEST + 1) && lasts(1 << 30));
        assert!(!lasts(SLOWEST / 2), "one piece in eight seconds");
        assert_eq!(patience(u64::MAX / 2, Duration::ZERO), STALLED, "who was fast may not stand still for longer");
        assert_eq!(patience(0, STALLED * 2), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_job_that_dies_breaks_the_body_instead_of_ending_it() {
        let (writer, body) = body(CancellationToken::new(), None, |_| ());
        drop(writer);
        assert!(body.collect().await.is_err());
    }

    #[tokio::test]
    async fn a_receiver_that_goes_away_ends_the_job() {
        let (mut writer, body) = body(CancellationToken::new(), None, |_| ());
        drop(body);
        let job = tokio::task::spawn_blocking(move || writer.write_all(&[0; PIECE]));
        assert_eq!(job.await.unwrap().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_cut_ends_a_body_that_nobody_finishes() {
        let cut = CancellationToken::new();
        let (_writer, body) = body(cut.clone(), None, |_| ());
        cut.cancel();
        assert!(body.collect().await.is_err());
    }
}
