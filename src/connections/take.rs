//! Taking connections, within a limit: TCP's, and a socket's, whose other end the kernel knows.
//!
//! A connection holds a place until its task has ended; who finds none waits in the kernel's queue. An error of one is never another's.
//!
//! Deliberately absent: what is said on them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::unix::UCred;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long to wait where no connection could be taken, because files or memory have run out.
const BREATH: Duration = Duration::from_millis(100);

/// Where connections come from.
pub trait Listener: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// Who is at its other end, as far as the kernel says.
    type Peer: Clone + Send + Sync + 'static;

    /// The next one.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Self::Peer)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;
    type Peer = SocketAddr;

    async fn next(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, address) = self.accept().await?;
        // Heads and small bodies are sent in several writes: without this each waits for the receiver's delayed acknowledgement of the last.
        let _ = stream.set_nodelay(true);
        Ok((stream, address))
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;
    type Peer = UCred;

    async fn next(&self) -> io::Result<(UnixStream, UCred)> {
        let (stream, _) = self.accept().await?;
        let peer = stream.peer_cred()?;
        Ok((stream, peer))
    }
}

/// Takes connections until `stop`. Each is served by a task among `tasks`, and holds a place of `room` for as long as it lives.
pub async fn take<L, F, Serve>(
    listener: L,
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
    serve: Serve,
) where
    L: Listener,
    F: Future<Output = ()> + Send + 'static,
    Serve: Fn(L::Stream, L::Peer) -> F,
{
    loop {
        let taken = async {
            // Before taking: who finds no room waits in the kernel's queue.
            let room = Arc::clone(&room).acquire_owned().await;
            (room, listener.next().await)
        };
        let (room, taken) = tokio::select! {
            () = stop.cancelled() => return,
            taken = taken => taken,
        };
        match taken {
            Ok((stream, peer)) => {
                let served = serve(stream, peer);
                tasks.spawn(async move {
                    let _room = room;
                    served.await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}
