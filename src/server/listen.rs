//! The primary's port, and what is served on its connections: HTTP/1.1, and HTTP/2 where the other side speaks it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::Caller;
use super::state::Shared;
use crate::connections::{self, begin_tls, builder, take};
use crate::http::chain;
use crate::puppet::Certified;

/// Serves until the primary stops, then until every connection has had its answer.
pub(super) async fn serve(primary: Shared, listener: TcpListener, routes: Router, most: usize) {
    let tasks = TaskTracker::new();
    let stop = primary.stopping.clone();
    let serve = {
        let stop = stop.clone();
        move |stream, address| connection(Arc::clone(&primary), routes.clone(), stream, address, stop.clone())
    };
    take(listener, Arc::new(Semaphore::new(most)), tasks.clone(), stop, serve).await;
    tasks.close();
    tasks.wait().await;
}

async fn connection(primary: Shared, routes: Router, stream: TcpStream, address: SocketAddr, stop: CancellationToken) {
    let Some(guard) = &primary.guard else {
        return answer(routes, Caller::Plain, stream, stop).await;
    };
    let (stream, material) = match begin_tls(stream, &guard.certificates, &stop).await {
        Ok(begun) => begun,
        Err(error) => {
            tracing::debug!(%address, error = chain(&error), "a connection came to nothing");
            return;
        }
    };
    match Certified::new(stream.get_ref().1.peer_certificates(), material) {
        Ok(certified) => answer(routes, Caller::Tls(certified.map(Arc::new)), stream, stop).await,
        Err(error) => tracing::warn!(%address, error = chain(&error), "a certificate of this CA is not taken"),
    }
}

async fn answer(
    routes: Router,
    caller: Caller,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    stop: CancellationToken,
) {
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(caller.clone());
        TowerToHyperService::new(routes.clone()).call(request)
    });
    connections::serve(builder(), stream, service, &stop).await;
}
