//! The primary's HTTP server: commits come in, heads and objects go out.
//!
//! ```text
//! listen.rs        the port and its connections     access.rs    who may do what
//! state.rs         what all handlers share          problem.rs   which status an error of the core gets
//! extract.rs       repos and paths in requests      resolve.rs   which commit a text means
//! head.rs          the head, with the long poll     commits.rs   committing, rolling back, the history
//! files.rs         files as of a commit             diff.rs      changed paths
//!   follow.rs        where links in a tree lead
//! fetch.rs         the two routes that send objects turns.rs     who may send now
//!   pack.rs          what is sent, in which order   stream.rs    a body that a blocking job writes
//!                                                   shared.rs    small ones that many ask for, packed once
//! clients.rs       the fleet                        tags.rs, gc.rs, environments.rs
//! pe.rs            the routes of PE's file sync     metrics.rs   Prometheus
//! scrub.rs         damage looked for in the background
//! control.rs       the daemon's own: fsck, status   health.rs    liveness and readiness
//! ```
//!
//! Invariants: every error is a problem document; nothing blocks a thread of the runtime, blocking work is a job on a
//! thread of its own; a commit that a request began is finished also where the caller hangs up;
//! when [`serve`] returns, the store is closed.

mod access;
mod clients;
mod commits;
mod control;
mod diff;
mod environments;
mod extract;
mod failed;
mod fetch;
mod files;
mod follow;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gc;
mod head;
mod health;
mod listen;
mod metrics;
mod pack;
mod pe;
mod problem;
mod resolve;
mod routes;
mod scrub;
mod shared;
mod state;
mod stream;
mod tags;
#[cfg(test)]
mod tests;
mod turns;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::PrimaryConfig;
use crate::connections::keep_fresh;
use crate::datadir::{CONTROL_SOCKET, DataDirError};
use crate::disk::DiskError;
use crate::http::{OpenSocket, SocketError, chain};
use crate::notify;
use crate::puppet::CertificateError;
use crate::signature::KeyError;
use crate::store::{ReadStore, StoreError};
use crate::values::{PathError, RepoName};
use listen::Sockets;
use state::{Primary, Shared};

/// How long requests that are under way may take to finish when the primary stops.
const FINISH: Duration = Duration::from_secs(30);

/// How long those that were cut off then may take to notice.
const NOTICE: Duration = Duration::from_secs(5);

/// Why the primary does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Its data directory cannot be used.
    #[error("cannot use the data directory")]
    DataDir(#[from] DataDirError),
    /// Its store cannot be used.
    #[error("cannot use the store")]
    Store(#[from] StoreError),
    /// A repo's setting that is none.
    #[error("environments-dir of [repos.{repo}] is wrong")]
    EnvironmentsDir {
        /// The repo.
        repo: RepoName,
        /// What is wrong with it.
        source: PathError,
    },
    /// Somebody listens there already.
    #[error("{address} is in use; is another `sceneshift serve` running? Set listen to another port if both are meant")]
    AddressInUse {
        /// The setting `listen`.
        address: SocketAddr,
    },
    /// It cannot listen.
    #[error("cannot listen on {address}")]
    Listen {
        /// The setting `listen`.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// It cannot listen on a socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The settings name somebody whom this machine does not know.
    #[error(
        "{setting} names the {kind} {name:?}, and there is no {kind} {name:?} on this machine; make it, or take it off the list"
    )]
    NoAccount {
        /// Where.
        setting: String,
        /// "user" or "group".
        kind: &'static str,
        /// Who.
        name: String,
    },
    /// The machine's accounts cannot be read.
    #[error("cannot look up the accounts in {setting}")]
    Accounts {
        /// Where they are named.
        setting: String,
        /// What the system said.
        source: nix::errno::Errno,
    },
    /// The file system said no.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The key of `[signing]` cannot be used.
    #[error("cannot sign heads")]
    Signing(#[from] KeyError),
    /// Puppet's certificates cannot be used.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// The system does not let it be told to stop.
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
    /// A part of the program failed.
    #[error("a task of the server failed")]
    Task(#[from] tokio::task::JoinError),
}

/// Serves until SIGTERM or SIGINT. Needs a runtime with I/O, time and several threads.
pub async fn serve(config: PrimaryConfig) -> Result<(), ServeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let address = config.listen;
    // The lock comes first: of two primaries with one data directory the second is told that, and not that a port is in use.
    let primary = open(config).await?;
    let listener = TcpListener::bind(address).await.map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => ServeError::AddressInUse { address },
        _ => ServeError::Listen { address, source },
    })?;
    run(primary, listener, stop).await
}

/// Serves on a listener that is bound already, until `stop` is done. Of the settings, `listen` is not looked at.
pub async fn serve_on(
    config: PrimaryConfig,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    run(open(config).await?, listener, stop).await
}

async fn open(config: PrimaryConfig) -> Result<Shared, ServeError> {
    tokio::task::spawn_blocking(move || Primary::open(config)).await?
}

async fn run(
    primary: Shared,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let bound = Arc::clone(&primary);
    let (sockets, socket) = tokio::task::spawn_blocking(move || Sockets::bind(&bound)).await??;
    let address = listener.local_addr().map_or_else(|_| "an unknown port".to_owned(), |address| address.to_string());
    tracing::info!(version = env!("CARGO_PKG_VERSION"), repos = primary.repos.len(), "listening on {address}");
    let serving = tokio::spawn(listen::serve(Arc::clone(&primary), listener, sockets));
    let refreshing = primary
        .guard
        .certificates
        .clone()
        .map(|certificates| tokio::spawn(async move { keep_fresh(&certificates, |_| {}).await }));
    notify::ready(format!("serving {} repos on {address}", primary.repos.len())).await;
    let alive = Arc::clone(&primary);
    let alive = tokio::spawn(async move {
        let read = |primary: &Primary| Ok(primary.store.heads().map(drop)?);
        notify::keep_alive(|| alive.blocking(read)).await;
    });
    let scrubbing = tokio::spawn(scrub::keep_scrubbing(Arc::clone(&primary)));
    stop.await;
    tracing::info!("stopping");
    primary.stopping.cancel();
    primary.scrub_progress.cancel();
    primary.scrub_repair.cancel();
    notify::stopping().await;
    // A read of its that is under way is a job, and waited for as such.
    alive.abort();
    let _ = alive.await;
    primary.jobs.close();
    let jobs = primary.jobs.clone();
    let finish = async move {
        // Neither ends with an error: what fails in one connection is that connection's affair.
        let _ = tokio::join!(serving, scrubbing);
        jobs.wait().await;
    };
    tokio::pin!(finish);
    if tokio::time::timeout(FINISH, &mut finish).await.is_err() {
        tracing::warn!("requests are not done after {} seconds and are cut off", FINISH.as_secs());
        primary.cut_off();
        if tokio::time::timeout(NOTICE, &mut finish).await.is_err() {
            tracing::warn!("a request does not end; it ends with the process");
        }
    }
    if let Some(refreshing) = refreshing {
        refreshing.abort();
    }
    close(primary, socket).await
}

/// Closes the store, which syncs its log, and lets go of the data directory. Before that the sockets go.
async fn close(primary: Shared, socket: Option<OpenSocket>) -> Result<(), ServeError> {
    let socket = tokio::task::spawn_blocking(move || {
        if let Some(Err(error)) = socket.map(|socket| socket.remove()) {
            tracing::warn!(error = chain(&error), "the socket stays until the next start");
        }
        let removed = primary.data.dir.remove_file(CONTROL_SOCKET);
        match Arc::try_unwrap(primary) {
            Ok(primary) => drop(primary),
            Err(_in_use) => tracing::warn!("the store is still read; its log is replayed at the next start"),
        }
        removed
    });
    match socket.await? {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(()),
    }
}
