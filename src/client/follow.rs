//! One task for each repo: waits for a head and brings it live.

use std::sync::Arc;
use std::time::Duration;

use super::ClientError;
use super::state::Client;
use crate::http::chain;
use crate::remote::{Backoff, HeadAnswer};
use crate::values::{CommitId, RepoName};
use crate::wire::api::CommitInfo;

/// How long the primary may keep a question open. Shorter than the idle limits of what may stand between.
const WAIT: Duration = Duration::from_secs(50);

/// Runs until the client stops.
pub(super) async fn follow(client: Arc<Client>, name: RepoName) {
    let mut backoff = Backoff::new();
    while let Err(error) = client.keep_pin(&name).await {
        if client.stop.is_cancelled() {
            return;
        }
        let pause = failed(&client, &name, &error, &mut backoff).await;
        if !wait(&client, &name, pause).await {
            return;
        }
    }
    // The head that is dealt with: live, or known to be held back by a pin.
    let mut known = None;
    while !client.stop.is_cancelled() {
        let pause = tokio::select! {
            () = client.stop.cancelled() => return,
            () = wake(&client, &name) => { known = None; continue }
            outcome = next_head(&client, &name, known) => match outcome {
                Ok(None) => { backoff.succeeded(); continue }
                Ok(Some(head)) => match deal_with(&client, &name, &head).await {
                    Ok(()) => {
                        backoff.succeeded();
                        known = Some(head.commit);
                        continue;
                    }
                    Err(_) if client.stop.is_cancelled() => return,
                    Err(error) => failed(&client, &name, &error, &mut backoff).await,
                },
                Err(error) => failed(&client, &name, &error, &mut backoff).await,
            },
        };
        known = None;
        if !wait(&client, &name, pause).await {
            return;
        }
    }
}

/// Waits before another try; whether there is to be one.
async fn wait(client: &Client, name: &RepoName, pause: Duration) -> bool {
    tokio::select! {
        () = client.stop.cancelled() => false,
        () = wake(client, name) => true,
        () = tokio::time::sleep(pause) => true,
    }
}

async fn wake(client: &Client, name: &RepoName) {
    match client.repos.get(name) {
        Some(repo) => repo.wake.notified().await,
        None => std::future::pending().await,
    }
}

async fn next_head(
    client: &Client,
    name: &RepoName,
    known: Option<CommitId>,
) -> Result<Option<CommitInfo>, ClientError> {
    match client.remote.head(name, known, WAIT).await? {
        HeadAnswer::Head(info) => Ok(Some(info)),
        HeadAnswer::Same | HeadAnswer::NoCommitYet => Ok(None),
    }
}

/// Brings a new head live, unless the repo is pinned.
pub(super) async fn deal_with(client: &Client, name: &RepoName, head: &CommitInfo) -> Result<(), ClientError> {
    let _working = client.work.lock().await;
    let state = client.accept(name, head).await?;
    if state.pinned.is_some_and(|pinned| pinned != head.commit) {
        tracing::info!(%name, head = %head.commit, "a new head is not deployed: the repo is pinned");
        client.news.notify_one();
        return Ok(());
    }
    client.bring_head(name, head).await?;
    client.prune(&client.repo(name)?.progress).await;
    Ok(())
}

async fn failed(client: &Client, name: &RepoName, error: &ClientError, backoff: &mut Backoff) -> Duration {
    let pause = backoff.failed().max(error.retry());
    client.metrics.count_failure(name);
    tracing::warn!(%name, error = chain(error), retry_in = ?pause, "what is live stays live");
    let (repo, text) = (name.clone(), chain(error));
    let noted = client.blocking(move |farm| {
        let before = farm.state(&repo)?;
        let after = farm.update_state(&repo, |state| {
            // For a flush that is owed requests may be held: that is not hidden by a primary that is away.
            if !state.unflushed {
                state.error = Some(text);
            }
        });
        after.map(|after| after.error != before.error)
    });
    match noted.await {
        // The fleet should not have to wait for it until the next minute.
        Ok(true) => client.news.notify_one(),
        Ok(false) => {}
        Err(error) => tracing::warn!(error = chain(&error), "could not note it"),
    }
    pause
}
