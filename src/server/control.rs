//! The control socket: what the command line on the same machine asks a running primary. Who may is said by the socket's mode.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use axum::routing::{get, post};

use super::state::{RepoState, Shared};
use crate::findings::{Outcome, PrimaryFinding};
use crate::http::{Json, Nothing, Query, Refusal, chain, hold_answer};
use crate::ingest;
use crate::progress::{Phase, Snapshot};
use crate::store::GcHold;
use crate::wire::api::{FsckHold, PrimaryStatus};

/// The largest list of findings, in bytes: as much as is taken of any document in JSON.
const FINDINGS: usize = 64 << 20;

/// The socket's routes.
pub(super) fn routes() -> Router<Shared> {
    let repair = get(repair_progress).post(repair).layer(DefaultBodyLimit::max(FINDINGS));
    Router::new().route("/status", get(status)).route("/fsck", post(fsck)).route("/repair", repair)
}

async fn status(State(primary): State<Shared>, _: Query<Nothing>) -> axum::Json<PrimaryStatus> {
    let head = |repo: &Arc<RepoState>| (repo.name().clone(), repo.head_id());
    axum::Json(PrimaryStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        repos: primary.repos.values().map(head).collect(),
        scrub: primary.scrub.status(),
    })
}

/// Makes a copy of the store for fsck and keeps GC away until the caller closes the connection, or the primary stops.
async fn fsck(State(primary): State<Shared>, _: Query<Nothing>) -> Result<Response, Refusal> {
    let shared = Arc::clone(&primary);
    let hold = primary.blocking(move |_| Hold::begin(shared)).await?;
    let told = FsckHold { checkpoint: hold.primary.data.path.join("tmp").join(&hold.name) };
    hold_answer(&told, hold, primary.stopping.clone())
}

/// Repairs what fsck found, from staging. A caller that hangs up does not stop it.
async fn repair(
    State(primary): State<Shared>,
    _: Query<Nothing>,
    Json(findings): Json<Vec<PrimaryFinding>>,
) -> Result<axum::Json<Vec<Outcome>>, Refusal> {
    let healed = primary.blocking(move |primary| {
        let repos: Vec<_> = primary.repos.values().map(|repo| repo.source.clone()).collect();
        let _unshared = primary.streams.changing();
        let outcomes = ingest::heal(&primary.store, &repos, findings, &primary.repair_progress);
        primary.repair_progress.begin(Phase::Idle, 0, 0);
        Ok(outcomes)
    });
    Ok(axum::Json(healed.await?))
}

/// How far that is.
async fn repair_progress(State(primary): State<Shared>, _: Query<Nothing>) -> axum::Json<Snapshot> {
    axum::Json(primary.repair_progress.snapshot())
}

/// A copy of the store, and GC held off; both end when it is dropped.
struct Hold {
    primary: Shared,
    name: String,
    _gc: GcHold,
}

impl Hold {
    fn begin(primary: Shared) -> Result<Self, Refusal> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let gc = primary.store.hold_gc();
        // Made before the checkpoint, so that a half-made one is removed too.
        let hold = Self { name: format!("fsck-{}", NUMBER.fetch_add(1, Relaxed)), primary, _gc: gc };
        let path = hold.primary.data.tmp.path_of(hold.name.as_str());
        hold.primary.store.checkpoint(&path)?;
        tracing::info!(checkpoint = %path.display(), "fsck begins to read");
        Ok(hold)
    }
}

impl Drop for Hold {
    /// Removes some dozens of links to RocksDB's files: short enough for a thread that serves others.
    fn drop(&mut self) {
        match self.primary.data.tmp.remove_all(self.name.as_str()) {
            Err(error) if !error.is_not_found() => {
                tracing::warn!(error = chain(&error), "the checkpoint of fsck stays until the next start");
            }
            _ => tracing::info!("fsck is done reading"),
        }
    }
}
