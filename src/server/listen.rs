//! The primary's port and sockets, and what is served on their connections: HTTP/1.1, and HTTP/2 where the other side speaks it.
//!
//! ```text
//! the port       public routes: other machines, by their certificates; plain HTTP on loopback
//! socket         public routes: users of this machine, by their accounts
//! control.sock   public routes and the daemon's own: root and the daemon's user
//! ```

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::net::unix::UCred;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::{Caller, LocalUser};
use super::routes;
use super::state::{Primary, Shared};
use crate::connections::{MOST_LOCAL, answer, begin_tls, take};
use crate::http::{OpenSocket, SocketError, chain, listen_on_socket};
use crate::puppet::Certified;

/// The sockets, bound.
pub(super) struct Sockets {
    control: UnixListener,
    open: Option<UnixListener>,
}

impl Sockets {
    /// Takes them, and gives what is to be removed in the end. Blocking; must be called within a runtime.
    pub(super) fn bind(primary: &Primary) -> Result<(Self, Option<OpenSocket>), SocketError> {
        let (open, file) = match &primary.socket {
            Some(path) => {
                let (listener, file) = OpenSocket::listen(path)?;
                tracing::info!("listening on {}", path.display());
                (Some(listener), Some(file))
            }
            None => (None, None),
        };
        Ok((Self { control: listen_on_socket(&primary.data)?, open }, file))
    }
}

/// Serves until the primary stops, then until every connection has had its answer.
pub(super) async fn serve(primary: Shared, listener: TcpListener, sockets: Sockets) {
    let tasks = TaskTracker::new();
    let stop = primary.stopping.clone();
    let public = routes::public(&primary);
    let port = {
        let (primary, public, stop) = (Arc::clone(&primary), public.clone(), stop.clone());
        move |stream, address| connection(Arc::clone(&primary), public.clone(), stream, address, stop.clone())
    };
    let most = Arc::new(Semaphore::new(primary.max_connections));
    let port = take(listener, most, tasks.clone(), stop.clone(), port);
    let local = |listener: UnixListener, routes: Router| {
        let stopping = stop.clone();
        let serve = move |stream, peer| local_connection(routes.clone(), stream, peer, stopping.clone());
        take(listener, Arc::new(Semaphore::new(MOST_LOCAL)), tasks.clone(), stop.clone(), serve)
    };
    let control = local(sockets.control, routes::with_private(&primary));
    let open = async {
        if let Some(listener) = sockets.open {
            local(listener, public).await;
        }
    };
    tokio::join!(port, control, open);
    tasks.close();
    tasks.wait().await;
}

async fn connection(primary: Shared, routes: Router, stream: TcpStream, address: SocketAddr, stop: CancellationToken) {
    let Some(certificates) = &primary.guard.certificates else {
        return answer(routes, Caller::Plain, stream, &stop).await;
    };
    let (stream, material) = match begin_tls(stream, certificates, &stop).await {
        Ok(begun) => begun,
        Err(error) => {
            tracing::debug!(%address, error = chain(&error), "a connection came to nothing");
            return;
        }
    };
    match Certified::new(stream.get_ref().1.peer_certificates(), material) {
        Ok(certified) => answer(routes, Caller::Tls(certified.map(Arc::new)), stream, &stop).await,
        Err(error) => tracing::warn!(%address, error = chain(&error), "a certificate of this CA is not taken"),
    }
}

async fn local_connection(routes: Router, stream: UnixStream, peer: UCred, stop: CancellationToken) {
    match tokio::task::spawn_blocking(move || LocalUser::of(&peer)).await {
        Ok(user) => answer(routes, Caller::Local(Arc::new(user)), stream, &stop).await,
        Err(error) => tracing::error!(error = chain(&error), "who is at a socket cannot be found out"),
    }
}
