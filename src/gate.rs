//! The gate: a reverse proxy in front of Puppet Server that holds and drains what reads code while a deploy makes new code live.
//!
//! ```text
//! admission.rs   who passes, who is held, and when nothing runs any more: no I/O
//! runs.rs        agents' runs, for sites that drain those too
//! live.rs        what is live: what a response is stamped with
//! listen.rs      its ports, and what is served on their connections
//! peer.rs        who is at the other end of one
//! answer.rs      one request, from its head to its answer
//! body.rs        bodies: read whole within limits, or passed on and counted
//! headers.rs     which headers stop here
//! refusal.rs     what the gate itself answers
//! upstream.rs    the connections to Puppet Server
//! access_log.rs  one line of JSON for each request
//! metrics.rs     what Prometheus reads
//! ```
//!
//! - A request that reads code runs from the moment that it is forwarded until the head of its answer arrives: by then a catalog is compiled, and a
//!   file is open. Also when the agent has hung up meanwhile: Puppet Server goes on compiling.
//! - Whoever is held is held, not refused: an agent that gets 503 fails its run. What is held is bounded in time, number and bytes all the same.
//! - Headers that say who asks are made here, from one certificate that was verified; from outside they are taken from trusted load balancers only.
//!
//! Deliberately absent: what a deploy does while requests are held, and when there is one (see [`crate::client`]).

mod access_log;
mod admission;
mod answer;
mod body;
mod headers;
mod listen;
mod live;
mod metrics;
mod peer;
mod refusal;
mod runs;
mod upstream;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use access_log::Served;
pub use admission::{Drain, Hold, Now, PauseError};
pub use listen::Listeners;
pub use live::LiveRepo;

use crate::config::{GateConfig, GateScope};
use crate::disk::DiskError;
use crate::pause::Scope;
use crate::puppet::Certificates;
use crate::values::RepoName;
use access_log::AccessLog;
use admission::Admission;
use body::Memory;
use metrics::Metrics;
use upstream::Upstream;

/// Why the gate cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// A port cannot be had.
    #[error("[gate] cannot listen on {address}; is Puppet Server itself, or another gate, on that port?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A socket that systemd passed on is not one that the settings name.
    #[error("systemd passed a socket on port {port}, which [gate] listen and plain-listen do not name")]
    Passed {
        /// The port.
        port: u16,
    },
    /// The log cannot be written.
    #[error("[gate] access-log = {path:?} cannot be written; does its directory exist, and may this user write there?")]
    Log {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: DiskError,
    },
}

/// The gate of one client.
pub struct Gate {
    settings: GateConfig,
    certificates: Arc<Certificates>,
    admission: Arc<Admission>,
    upstream: Upstream,
    log: AccessLog,
    memory: Memory,
    metrics: Metrics,
}

impl Gate {
    /// A gate that is closed: what reads code is held until [`Gate::close`] says otherwise. Its counters go into `registry`. Blocking.
    ///
    /// `longest_hold` bounds how long anybody is held; `tracks_runs` is whether some repo drains runs.
    pub fn new(
        settings: &GateConfig,
        certificates: Arc<Certificates>,
        longest_hold: Duration,
        tracks_runs: bool,
        registry: &mut Registry,
    ) -> Result<Arc<Self>, GateError> {
        let metrics = Metrics::new(registry);
        let log = AccessLog::open(&settings.access_log, metrics.log_lost.clone())
            .map_err(|source| GateError::Log { path: settings.access_log.clone(), source })?;
        Ok(Arc::new(Self {
            settings: settings.clone(),
            certificates,
            admission: Arc::new(Admission::new(longest_hold, settings.max_held, tracks_runs)),
            upstream: Upstream::new(&settings.upstream),
            log,
            memory: Memory::default(),
            metrics,
        }))
    }

    /// Holds what `scope` concerns, and waits until none of it runs any more.
    pub async fn pause(&self, scope: &Scope, drain: Drain) -> Result<Hold, PauseError> {
        let scope = match self.settings.scope {
            GateScope::All if *scope != Scope::Environments(Vec::new()) => Scope::Everything,
            _ => scope.clone(),
        };
        let (outcome, waited) = self.admission.pause(scope, drain).await;
        self.metrics.observe_drain(&outcome, waited);
        outcome
    }

    /// Says what is not to be served yet; `None` opens the gate.
    pub fn close(&self, scope: Option<Scope>) {
        self.admission.close(scope);
    }

    /// Says what is live in a repo from now on.
    pub fn set_live(&self, repo: &RepoName, live: Option<LiveRepo>) {
        self.admission.set_live(repo, live);
    }

    /// Says whether changed certificates cannot be used.
    pub fn set_certificates_failing(&self, failing: bool) {
        self.metrics.set_certificates_failing(failing);
    }

    /// Opens the log anew, after it was rotated.
    pub fn reopen_log(&self) {
        self.log.reopen();
    }

    /// What goes on now; the gauges say so from then on, too.
    pub fn now(&self) -> Now {
        let now = self.admission.now();
        self.metrics.set_now(&now);
        now
    }

    /// Answers on these ports until `stop`; then lets go of whoever is held, and waits for what runs, as long as `stop-timeout` says.
    pub async fn run(self: Arc<Self>, listeners: Listeners, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let accepting = CancellationToken::new();
        listeners.serve(&self, &tasks, &accepting);
        stop.cancelled().await;
        self.admission.stop();
        accepting.cancel();
        tasks.close();
        if tokio::time::timeout(self.settings.stop_timeout, tasks.wait()).await.is_err() {
            tracing::warn!(
                connections = tasks.len(),
                "the gate stops with requests under way, after {:?} (setting stop-timeout)",
                self.settings.stop_timeout
            );
        }
        let _ = tokio::task::spawn_blocking(move || self.log.flush()).await;
    }
}
