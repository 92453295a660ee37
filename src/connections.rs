//! Connections: taken within limits, TLS begun, served, ended. What the gate's ports and the primary's have in common.
//!
//! - A connection that nobody has room for waits in the kernel's queue.
//! - Whoever has said nothing yet loses nothing, and no stop waits for it.
//!
//! Deliberately absent: what is answered.

use std::error::Error;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::chain;
use crate::puppet::{Certificates, Material};

/// How long TLS may take to begin.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may be idle, and a request's head take to arrive. Puppet agents keep theirs for 4 s.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How often the certificates are looked at.
const REFRESH: Duration = Duration::from_secs(2);

/// How long to wait where no connection could be taken, because files or memory have run out.
const BREATH: Duration = Duration::from_millis(100);

/// Takes connections until `stop`. Each is served by a task among `tasks`, and holds a place of `room` for as long as it lives.
pub async fn take<F, Serve>(
    listener: TcpListener,
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
    serve: Serve,
) where
    F: Future<Output = ()> + Send + 'static,
    Serve: Fn(TcpStream, SocketAddr) -> F,
{
    loop {
        let taken = async {
            // Before taking: who finds no room waits in the kernel's queue.
            let room = Arc::clone(&room).acquire_owned().await;
            (room, listener.accept().await)
        };
        let (room, taken) = tokio::select! {
            () = stop.cancelled() => return,
            taken = taken => taken,
        };
        match taken {
            Ok((stream, address)) => {
                // Heads and small bodies are sent in several writes: without this each waits for the receiver's delayed acknowledgement of
                // the last.
                let _ = stream.set_nodelay(true);
                let served = serve(stream, address);
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

/// How HTTP is spoken on a connection: HTTP/1.1, and HTTP/2 where the other side begins with it.
pub fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_TIMEOUT);
    builder
}

/// Serves one connection until it ends, or until `stop`: then an idle one ends at once, another after its answer.
pub async fn serve<S, B>(
    builder: Builder<TokioExecutor>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: S,
    stop: &CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let outcome = tokio::select! {
        outcome = served.as_mut() => outcome,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(error = chain(&*error), "a connection ended early");
    }
}

/// Takes in changed revocation lists, certificates and keys, for ever; says each time whether what is there now cannot be used.
pub async fn keep_fresh(certificates: &Arc<Certificates>, say_failing: impl Fn(bool)) {
    let mut failing = false;
    loop {
        tokio::time::sleep(REFRESH).await;
        let refreshed = Arc::clone(certificates);
        match tokio::task::spawn_blocking(move || refreshed.refresh()).await {
            Ok(Ok(changed)) => {
                failing = false;
                if changed {
                    tracing::info!("took in changed certificates or revocation lists");
                }
            }
            Ok(Err(error)) if !failing => {
                failing = true;
                tracing::error!(
                    error = chain(&error),
                    "changed certificates cannot be used; those from before stay in use"
                );
            }
            Ok(Err(_)) | Err(_) => {}
        }
        say_failing(failing);
    }
}

/// Why no TLS came about.
#[derive(Debug, thiserror::Error)]
pub enum NoTls {
    /// The two could not agree, or the other's certificate is not valid. Also what a health check by TCP alone looks like.
    #[error("no TLS came about")]
    Handshake(#[source] std::io::Error),
    /// It took too long.
    #[error("TLS did not begin within {HANDSHAKE_TIMEOUT:?}")]
    Slow,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

/// Begins TLS. Gives the stream, and what the other's certificate was verified with, where there is one.
pub async fn begin_tls(
    stream: TcpStream,
    certificates: &Certificates,
    stop: &CancellationToken,
) -> Result<(TlsStream<TcpStream>, Arc<Material>), NoTls> {
    let material = certificates.current();
    let handshake = TlsAcceptor::from(Arc::clone(&material.server)).accept(stream);
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake);
    let handshake = tokio::select! {
        () = stop.cancelled() => return Err(NoTls::Stopping),
        handshake = handshake => handshake,
    };
    match handshake {
        Ok(Ok(stream)) => Ok((stream, material)),
        Ok(Err(error)) => Err(NoTls::Handshake(error)),
        Err(_) => Err(NoTls::Slow),
    }
}
