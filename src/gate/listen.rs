//! Connections: taken, TLS begun, served, ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use listenfd::ListenFd;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::peer::Peer;
use super::{Gate, GateError};
use crate::config::GateConfig;
use crate::http::chain;

/// How long TLS may take to begin.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may be idle, and a head take to arrive. Agents keep theirs for 4 s.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait where no connection could be taken, because files or memory have run out.
const BREATH: Duration = Duration::from_millis(100);

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

    /// Where agents are answered.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Where load balancers are answered.
    pub fn plain_address(&self) -> Option<SocketAddr> {
        self.plain.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Takes connections until `stop`; each is a task among `tasks`.
    pub(super) fn serve(self, gate: &Arc<Gate>, tasks: &TaskTracker, stop: &CancellationToken) {
        let room = Arc::new(Semaphore::new(gate.settings.max_connections));
        for (listener, is_tls) in [(self.tls, true), (self.plain, false)] {
            let Some(listener) = listener else { continue };
            if let Ok(address) = listener.local_addr() {
                tracing::info!("the gate listens on {address}{}", if is_tls { "" } else { " (plain HTTP)" });
            }
            let taker = Taker {
                gate: Arc::clone(gate),
                tasks: tasks.clone(),
                stop: stop.clone(),
                room: Arc::clone(&room),
                is_tls,
            };
            tasks.spawn(taker.take(listener));
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

/// Takes the connections of one port.
struct Taker {
    gate: Arc<Gate>,
    tasks: TaskTracker,
    stop: CancellationToken,
    room: Arc<Semaphore>,
    is_tls: bool,
}

impl Taker {
    async fn take(self, listener: TcpListener) {
        loop {
            let taken = async {
                // Before taking: who finds no room waits in the kernel's queue.
                let room = Arc::clone(&self.room).acquire_owned().await;
                (room, listener.accept().await)
            };
            let (room, taken) = tokio::select! {
                () = self.stop.cancelled() => return,
                taken = taken => taken,
            };
            let (stream, address) = match taken {
                Ok(taken) => taken,
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection");
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            };
            let (gate, stop, is_tls) = (Arc::clone(&self.gate), self.stop.clone(), self.is_tls);
            self.tasks.spawn(async move {
                let _room = room;
                let _counted = gate.metrics.count_connection();
                connection(&gate, stream, address, is_tls, stop).await;
            });
        }
    }
}

async fn connection(gate: &Arc<Gate>, stream: TcpStream, address: SocketAddr, is_tls: bool, stop: CancellationToken) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let _ = stream.set_nodelay(true);
    if !is_tls {
        return serve(gate, Peer::of_plain(id, address, &gate.settings.trust_proxies), stream, stop).await;
    }
    let material = gate.certificates.current();
    let handshake = TlsAcceptor::from(Arc::clone(&material.server)).accept(stream);
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake);
    let handshake = tokio::select! {
        // Whoever has said nothing yet loses nothing, and a stop does not wait for it.
        () = stop.cancelled() => return,
        handshake = handshake => handshake,
    };
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            // Also what every health check by TCP alone looks like, and how agents look for the first time.
            gate.metrics.count_refused("handshake");
            tracing::debug!(%address, %error, "no TLS came about");
            return;
        }
        Err(_) => {
            gate.metrics.count_refused("slow");
            return;
        }
    };
    match Peer::of_tls(id, stream.get_ref().1.peer_certificates(), material) {
        Ok(peer) => serve(gate, peer, stream, stop).await,
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
    let service = service_fn(|request| {
        let (gate, peer) = (Arc::clone(gate), Arc::clone(&peer));
        async move { Ok::<_, std::convert::Infallible>(gate.answer(&peer, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let mut served = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let outcome = tokio::select! {
        outcome = served.as_mut() => outcome,
        () = stop.cancelled() => {
            // Idle ones end at once, others after their answer.
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(error = chain(&error), "a connection ended early");
    }
    gate.admission.connection_ended(peer.id);
}
