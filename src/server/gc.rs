//! `POST /v1/repos/{repo}/gc`: removes what the repo's settings, its tags and the clients let go.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::extract::State;

use super::extract::Repo;
use super::state::{Primary, Shared, lock};
use crate::http::{Nothing, Query, Refusal};
use crate::progress::Phase;
use crate::store::{GcPlan, GcReport, Retention, StoreError};
use crate::wire::api::GcAnswer;

/// Of the other repos everything is kept: each is collected by its own call.
pub(super) async fn collect(
    State(primary): State<Shared>,
    Repo(repo): Repo,
    _: Query<Nothing>,
) -> Result<axum::Json<GcAnswer>, Refusal> {
    let job = move |primary: &Primary| {
        let begun = Instant::now();
        let keep_age = i64::try_from(repo.keep_age.as_millis()).unwrap_or(i64::MAX);
        let keep_since = jiff::Timestamp::now().as_millisecond().saturating_sub(keep_age);
        let plan = GcPlan {
            repos: BTreeMap::from([(repo.name().clone(), Retention { keep_commits: repo.keep_commits, keep_since })]),
            pinned: primary.clients.commits_in_use().into_iter().collect(),
        };
        let collected = primary.store.gc(&plan, &primary.gc_progress);
        if !matches!(collected, Err(StoreError::Held)) {
            primary.gc_progress.begin(Phase::Idle, 0, 0);
        }
        let GcReport { commits, trees, blobs, bytes, kept_commits } = collected?;
        // Whether these trees are an environment's still is to be looked up anew.
        lock(&repo.environment_trees).clear();
        let seconds = begun.elapsed().as_secs_f64();
        tracing::info!(repo = %repo.name(), commits, trees, blobs, bytes, kept_commits, seconds, "garbage removed");
        Ok(GcAnswer { commits, trees, blobs, bytes, kept_commits, seconds })
    };
    primary.blocking(job).await.map(axum::Json)
}
