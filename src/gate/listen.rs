//! The gate's ports, and what is served on their connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::service::service_fn;
use listenfd::ListenFd;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::peer::Peer;
use super::{Gate, GateError};
use crate::config::GateConfig;
use crate::connections::{self, NoTls, begin_tls, builder, take};
use crate::http::chain;
use crate::puppet::Certified;

/// The ports of a gate, bound.
#[derive(Debug)]
pub struct Listeners {
    tls: Option<TcpListener>,
    plain: Option<TcpListener>,
}

impl Listeners {
    /// Those that systemd passed on, else those that the settings name. Must be called within a runtime, and before there are other threads' files.
    pub async fn bind(settings: &GateConfig) -> Result<Self, GateError> {
        let mut passed = passed_on(settings)?;
        Ok(Self {
            tls: bind(settings.listen, &mut passed).await?,
            plain: bind(settings.plain_listen, &mut passed).await?,
        })
    }

    /// Takes connections until `stop`; each is a task among `tasks`.
    pub(super) fn serve(self, gate: &Arc<Gate>, tasks: &TaskTracker, stop: &CancellationToken) {
        let room = Arc::new(Semaphore::new(gate.settings.max_connections));
        for (listener, is_tls) in [(self.tls, true), (self.plain, false)] {
            let Some(listener) = listener else { continue };
            if let Ok(address) = listener.local_addr() {
                tracing::info!("the gate listens on {address}{}", if is_tls { "" } else { " (plain HTTP)" });
            }
            let (gate, stopping) = (Arc::clone(gate), stop.clone());
            let serve = move |stream, address| connection(Arc::clone(&gate), stream, address, is_tls, stopping.clone());
            tasks.spawn(take(listener, Arc::clone(&room), tasks.clone(), stop.clone(), serve));
        }
    }
}

fn passed_on(settings: &GateConfig) -> Result<Vec<TcpListener>, GateError> {
    let mut passed = ListenFd::from_env();
    let mut all = Vec::new();
    for index in 0..passed.len() {
        let Ok(Some(listener)) = passed.take_tcp_listener(index) else { continue };
        let unusable = |source| GateError::Listen { address: SocketAddr::from(([0, 0, 0, 0], 0)), source };
        let port = listener.local_addr().map_err(unusable)?.port();
        let named = [settings.listen, settings.plain_listen];
        if !named.iter().flatten().any(|address| address.port() == port) {
            return Err(GateError::Passed { port });
        }
        listener.set_nonblocking(true).map_err(unusable)?;
        all.push(TcpListener::from_std(listener).map_err(unusable)?);
    }
    Ok(all)
}

async fn bind(address: Option<SocketAddr>, passed: &mut Vec<TcpListener>) -> Result<Option<TcpListener>, GateError> {
    let Some(address) = address else { return Ok(None) };
    let is_it = |listener: &TcpListener| listener.local_addr().is_ok_and(|local| local.port() == address.port());
    if let Some(index) = passed.iter().position(is_it) {
        return Ok(Some(passed.swap_remove(index)));
    }
    let bound = TcpListener::bind(address).await;
    bound.map(Some).map_err(|source| GateError::Listen { address, source })
}

async fn connection(gate: Arc<Gate>, stream: TcpStream, address: SocketAddr, is_tls: bool, stop: CancellationToken) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let _counted = gate.metrics.count_connection();
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    if !is_tls {
        return serve(&gate, Peer::of_plain(id, address, &gate.settings.trust_proxies), stream, stop).await;
    }
    let (stream, material) = match begin_tls(stream, &gate.certificates, &stop).await {
        Ok(begun) => begun,
        Err(error) => {
            match &error {
                // Also what every health check by TCP alone looks like, and how agents look for the first time.
                NoTls::Handshake(_) => gate.metrics.count_refused("handshake"),
                NoTls::Slow => gate.metrics.count_refused("slow"),
                NoTls::Stopping => {}
            }
            tracing::debug!(%address, error = chain(&error), "a connection came to nothing");
            return;
        }
    };
    match Certified::new(stream.get_ref().1.peer_certificates(), material) {
        Ok(certified) => serve(&gate, Peer::of_tls(id, certified), stream, stop).await,
        Err(error) => {
            gate.metrics.count_refused("certname");
            tracing::warn!(%address, error = chain(&error), "a certificate of this CA is not taken");
        }
    }
}

async fn serve(
    gate: &Arc<Gate>,
    peer: Peer,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    stop: CancellationToken,
) {
    let peer = Arc::new(peer);
    let (id, answering) = (peer.id, Arc::clone(gate));
    let service = service_fn(move |request| {
        let (gate, peer) = (Arc::clone(&answering), Arc::clone(&peer));
        async move { Ok::<_, std::convert::Infallible>(gate.answer(&peer, request).await) }
    });
    connections::serve(builder().http1_only(), stream, service, &stop).await;
    gate.admission.connection_ended(id);
}
