//! The client daemon: notices a new head, fetches what it lacks, builds, deploys, reports.
//!
//! ```text
//! state.rs    what the daemon holds, and how each repo does
//! follow.rs   one task for each repo: waits for a head and brings it live
//! heads.rs    which heads are believed
//! sync.rs     from a commit's id to a generation on disk
//! receive.rs  objects as they arrive, verified and kept
//! deploy.rs   the window: pause, rename, flush, resume
//! pauser.rs   how requests are kept away: the gate, hooks, or not at all
//! hooks.rs    commands of the site that do so
//! flush.rs    the flush that is owed, and what is not served until it is made
//! pin.rs      rollback: an older commit, and staying there
//! repair.rs   what fsck found, put right
//! scrub.rs    the same without being asked, a part at a time
//! hold.rs     a farm that stands still while it is checked
//! report.rs   status, for the primary and for people
//! control.rs  control.sock: the command line of this machine
//! content.rs  content.sock: files of past versions, for Puppet Server
//! listen.rs   /metrics, and the routes of PE's file sync client
//! metrics.rs  what Prometheus reads
//! once.rs     one sync and deploy without a daemon
//! ```
//!
//! - Nothing that fails takes anything down: what is live stays live, the failure is noted, reported, and tried again later.
//! - At most one sync or deploy at a time, whatever the repo: they share one disk.
//! - Blocking work runs by `spawn_blocking`.

mod content;
mod control;
mod deploy;
mod error;
mod flush;
mod follow;
#[cfg(fuzzing)]
pub mod fuzzing;
mod heads;
mod hold;
mod hooks;
mod listen;
mod metrics;
mod once;
mod pauser;
mod pin;
mod receive;
mod repair;
mod report;
mod scrub;
mod state;
mod sync;

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use error::{ClientError, ReceiveError};
pub use hooks::HookError;
pub use once::once;
pub use repair::{forget_index, repair_offline};

use crate::config::ClientConfig;
use crate::connections::keep_fresh;
use crate::farm::FarmError;
use crate::gate::Listeners;
use crate::http::{SocketError, chain, listen_on_socket};
use crate::notify;
use state::{Client, Role};

/// How long a stop waits for what is under way.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs until SIGTERM or SIGINT.
pub async fn run(config: ClientConfig) -> Result<(), ClientError> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(ClientError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ClientError::Signals)?;
    let stopping = stop.clone();
    let signals = tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("stopping on SIGTERM"),
            _ = interrupt.recv() => tracing::info!("stopping on SIGINT"),
        }
        stopping.cancel();
    });
    let outcome = run_until(config, stop).await;
    signals.abort();
    outcome
}

/// Runs until `stop` is cancelled.
pub async fn run_until(config: ClientConfig, stop: CancellationToken) -> Result<(), ClientError> {
    let client = match Client::open(config, Role::Daemon, stop.clone(), &Arc::default()).await {
        Err(ClientError::Farm(FarmError::Cancelled)) => {
            tracing::info!("stopped while it was starting; the next start does the rest");
            return Ok(());
        }
        opened => opened?,
    };
    // Bound before anything slow: agents that come meanwhile wait, and are not refused.
    let gate = match (&client.gate, &client.config.gate) {
        (Some(gate), Some(settings)) => Some((Arc::clone(gate), Listeners::bind(settings).await?)),
        _ => None,
    };
    let listener = listen::bind(client.config.listen).await?;
    let (socket, readers) =
        client.blocking(|farm| Ok::<_, SocketError>((listen_on_socket(farm.data())?, content::bind(farm)?))).await?;
    // What is live may still be hidden by a cache: the gate opens without that, and nothing is deployed or reported before it is put right.
    let working = Arc::clone(&client.work).lock_owned().await;
    client.adjust_gate().await?;

    let tasks = TaskTracker::new();
    let gate = gate.map(|(gate, listeners)| tokio::spawn(gate.run(listeners, stop.clone())));
    tasks.spawn(keep_up(Arc::clone(&client), working));
    tasks.spawn(reopen_logs(Arc::clone(&client)));
    // Not among the tasks: a gate that finishes what agents wait for looks at revocation lists to the end.
    let renewing = tokio::spawn(renew_certificates(Arc::clone(&client)));
    tasks.spawn(control::serve(Arc::clone(&client), socket));
    tasks.spawn(content::serve(Arc::clone(&client), readers));
    tasks.spawn(listen::serve(Arc::clone(&client), listener));
    tasks.spawn(scrub::keep_scrubbing(Arc::clone(&client)));
    for repo in client.repos.keys() {
        tasks.spawn(follow::follow(Arc::clone(&client), repo.clone()));
    }
    tracing::info!(name = client.name, data_dir = %client.farm.data().path.display(), "the client runs");
    stop.cancelled().await;
    client.interrupt();
    notify::stopping().await;
    tasks.close();
    if tokio::time::timeout(STOP_TIMEOUT, tasks.wait()).await.is_err() {
        tracing::warn!("something is still under way after {STOP_TIMEOUT:?}; stopping all the same");
    }
    // It has a limit of its own: what agents wait for is finished.
    if let Some(gate) = gate {
        gate.await?;
    }
    renewing.abort();
    let _ = renewing.await;
    tracing::info!("the client has stopped");
    Ok(())
}

/// Puts right what was left behind, then reports, and pays what is owed. Runs until the client stops.
async fn keep_up(client: Arc<Client>, working: OwnedMutexGuard<()>) {
    if let Err(error) = flush::catch_up(&client).await {
        tracing::error!(error = chain(&error), "what was left behind could not be looked at; it is tried again");
    }
    drop(working);
    notify::ready(format!("following {} repos of {}", client.repos.len(), client.config.server)).await;
    let alive = async {
        let read = || client.blocking(|farm| farm.index().meta(state::SERVER_NOTE));
        tokio::select! {
            () = client.stop.cancelled() => {}
            () = notify::keep_alive(read) => {}
        }
    };
    tokio::join!(report::keep_reporting(Arc::clone(&client)), flush::keep_paying(Arc::clone(&client)), alive);
}

/// Takes in the host's changed certificate and revocation lists, for the gate, the flush, and the calls to the primary. Runs until it is
/// aborted. (The flush and the gate look at what is current by themselves.)
async fn renew_certificates(client: Arc<Client>) {
    let Some(certificates) = &client.certificates else { return };
    let mut in_use = certificates.current();
    let looked = |failing| {
        if let Some(gate) = &client.gate {
            gate.set_certificates_failing(failing);
        }
        let now = certificates.current();
        if Arc::ptr_eq(&now, &in_use) {
            return;
        }
        match client.remote.renew(now.client.clone()) {
            Ok(()) => in_use = now,
            Err(error) => {
                tracing::error!(error = chain(&error), "the primary is asked with the certificate from before");
            }
        }
    };
    keep_fresh(certificates, looked).await;
}

/// Opens the gate's log anew on SIGHUP, until the client stops.
async fn reopen_logs(client: Arc<Client>) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    loop {
        tokio::select! {
            () = client.stop.cancelled() => return,
            _ = hangup.recv() => {}
        }
        if let Some(gate) = &client.gate {
            gate.reopen_log();
            tracing::info!("the access log is opened anew");
        }
    }
}
