//! `POST /v1/repos/{repo}/gc`: removes what the repo's settings, its tags and the clients let go.
//!
//! A caller that hangs up ends it, as long as it only looks: nothing has changed then. Once it removes, it goes on to the end, which gives the
//! space back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::extract::State;

use super::extract::Repo;
use super::state::{Primary, RepoState, Shared, lock};
use crate::http::{Nothing, Query, Refusal};
use crate::progress::{Progress, Snapshot};
use crate::store::{GcPlan, GcReport, Retention, StoreError};
use crate::telling::telling;
use crate::wire::api::GcAnswer;

/// The GC under way, of which there is one at most.
#[derive(Default)]
pub(super) struct Collecting(Mutex<Option<Arc<Progress>>>);

impl Collecting {
    /// How far it is.
    pub(super) fn snapshot(&self) -> Snapshot {
        lock(&self.0).as_ref().map(|progress| progress.snapshot()).unwrap_or_default()
    }

    /// Asks it to end.
    pub(super) fn cancel(&self) {
        if let Some(progress) = &*lock(&self.0) {
            progress.cancel();
        }
    }

    fn begin(&self) -> Result<Arc<Progress>, StoreError> {
        let mut running = lock(&self.0);
        if running.is_some() {
            return Err(StoreError::Held);
        }
        Ok(Arc::clone(running.insert(Arc::default())))
    }
}

/// It is no longer under way when this goes.
struct Running(Shared);

impl Drop for Running {
    fn drop(&mut self) {
        *lock(&self.0.gc.0) = None;
    }
}

/// Asks it to end when this goes.
struct Asker(Arc<Progress>);

impl Drop for Asker {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Of the other repos everything is kept: each is collected by its own call.
pub(super) async fn collect(
    State(primary): State<Shared>,
    Repo(repo): Repo,
    _: Query<Nothing>,
) -> Result<axum::Json<GcAnswer>, Refusal> {
    asked(primary, repo).await.map(axum::Json)
}

async fn asked(primary: Shared, repo: Arc<RepoState>) -> Result<GcAnswer, Refusal> {
    let progress = primary.gc.begin()?;
    let running = Running(Arc::clone(&primary));
    let _asker = Asker(Arc::clone(&progress));
    let counted = Arc::clone(&progress);
    let job = move |primary: &Primary| {
        let _running = running;
        gc(primary, &repo, &counted)
    };
    telling(None, &progress, primary.blocking(job)).await
}

fn gc(primary: &Primary, repo: &RepoState, progress: &Progress) -> Result<GcAnswer, Refusal> {
    let begun = Instant::now();
    let keep_age = i64::try_from(repo.keep_age.as_millis()).unwrap_or(i64::MAX);
    let keep_since = jiff::Timestamp::now().as_millisecond().saturating_sub(keep_age);
    let plan = GcPlan {
        repos: BTreeMap::from([(repo.name().clone(), Retention { keep_commits: repo.keep_commits, keep_since })]),
        pinned: primary.clients.commits_in_use().into_iter().collect(),
    };
    // What was removed is nobody's any more, whoever was sent it before.
    let _unshared = primary.streams.changing();
    let GcReport { commits, trees, blobs, bytes, kept_commits } = primary.store.gc(&plan, progress)?;
    // Whether these trees are an environment's still is to be looked up anew.
    lock(&repo.environment_trees).clear();
    let seconds = begun.elapsed().as_secs_f64();
    tracing::info!(repo = %repo.name(), commits, trees, blobs, bytes, kept_commits, seconds, "garbage removed");
    Ok(GcAnswer { commits, trees, blobs, bytes, kept_commits, seconds })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::read_primary;
    use crate::progress::Phase;
    use crate::server::tests::estate::{commit, files};
    use crate::store::ReadStore;

    async fn until(what: &str, condition: impl Fn() -> bool) {
        let looking = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), looking).await.unwrap_or_else(|_| panic!("never: {what}"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn gc_whose_asker_goes_away_before_it_removes_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (settings, data) = (folder.path().join("primary.toml"), folder.path().join("data"));
        let text = "keep-commits = 1\nkeep-age = \"0s\"";
        std::fs::write(&settings, format!("data-dir = {data:?}\n[repos.code]\nstaging-dir = {data:?}\n{text}"))
            .unwrap();
        let primary = Primary::open(read_primary(&settings).unwrap()).unwrap();
        let repo = Arc::clone(primary.repos.values().next().unwrap());
        let (old, _) = commit(&primary.store, repo.name(), &files(&[("a", "1")]));
        commit(&primary.store, repo.name(), &files(&[("a", "2")]));

        // It looks beside a commit, and waits for its end before it removes anything.
        let committing = primary.store.begin_commit(repo.name());
        let asker = tokio::spawn(asked(Arc::clone(&primary), Arc::clone(&repo)));
        until("it looks", || primary.gc.snapshot().phase == Phase::Checking).await;
        let second = asked(Arc::clone(&primary), Arc::clone(&repo)).await;
        assert!(
            second.is_err() && primary.gc.snapshot().phase == Phase::Checking,
            "one at a time, and the first goes on"
        );
        asker.abort();
        assert!(asker.await.unwrap_err().is_cancelled());
        drop(committing);
        until("it ends", || primary.gc.snapshot().phase == Phase::Idle).await;
        assert!(primary.store.commit(&old).unwrap().is_some(), "nothing is removed for nobody");

        assert_eq!(
            asked(Arc::clone(&primary), Arc::clone(&repo)).await.unwrap().commits,
            1,
            "the next one does it all"
        );
        assert!(primary.store.commit(&old).unwrap().is_none());
    }
}
