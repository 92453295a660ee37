//! Connections: taken within limits, TLS begun, served, ended. What all ports and sockets of both daemons have in common.
//!
//! ```text
//! take.rs      taking them, within a limit
//! tls.rs       TLS, and certificates that change
//! patience.rs  the limit for who does not read
//! ```
//!
//! - A connection that nobody has room for waits in the kernel's queue.
//! - Whoever has said nothing yet loses nothing, and no stop waits for it.
//! - Nobody holds a connection by doing nothing: a head must arrive, and what is written must be taken, within a time. (A body's time is its
//!   reader's affair.)
//!
//! Deliberately absent: what is answered.

mod patience;
mod take;
mod tls;

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::chain;
use patience::Patient;
pub use take::{Listener, take};
pub use tls::{NoTls, begin_tls, keep_fresh};

/// How long a connection may be idle, and a request's head take to arrive. Puppet agents keep theirs for 4 s.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a write may get nowhere. A receiver takes something within a round trip; whoever takes nothing for so long is gone, or means harm.
const STUCK: Duration = Duration::from_secs(120);

/// Requests at one time on one connection of HTTP/2. Each may hold its answer back, and so the memory that it takes.
const MOST_STREAMS: u32 = 64;

/// Connections at one time to a socket, or to a client's small port: no site needs so many, and none should cost a daemon its files.
pub const MOST_LOCAL: usize = 1000;

/// How HTTP is spoken on a connection: HTTP/1.1, and HTTP/2 where the other side begins with it.
pub fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_TIMEOUT).max_concurrent_streams(MOST_STREAMS);
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
    let stream = TokioIo::new(Patient::new(stream, STUCK));
    let mut served = pin!(builder.serve_connection(stream, service));
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

/// Answers by these routes on one connection, until it ends or `stop`. Each request carries `about` among its extensions.
pub async fn answer(
    routes: Router,
    about: impl Clone + Send + Sync + 'static,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    stop: &CancellationToken,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(about.clone());
        TowerToHyperService::new(routes.clone()).call(request)
    });
    serve(builder(), stream, service, stop).await;
}

/// Takes connections and answers them by these routes until `stop`, then until every one has had its answer. Each request carries among its
/// extensions who is at the other end, as far as the kernel says.
pub async fn answer_all(listener: impl Listener, routes: Router, most: usize, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let stopping = stop.clone();
    let serve = move |stream, peer| {
        let (routes, stop) = (routes.clone(), stopping.clone());
        async move { answer(routes, peer, stream, &stop).await }
    };
    take(listener, Arc::new(Semaphore::new(most)), tasks.clone(), stop, serve).await;
    tasks.close();
    tasks.wait().await;
}
