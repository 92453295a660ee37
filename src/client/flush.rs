//! The flush that is owed, and what is not served until it is made.
//!
//! What is owed is noted on disk before requests are held (`storage-format.md` §9), so that a daemon which was killed between the rename and the flush
//! flushes at its next start, before its gate lets anything through.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::ClientError;
use super::hooks::About;
use super::pauser::Pauser;
use super::state::Client;
use crate::config::PauseKind;
use crate::farm::{Farm, FarmError};
use crate::gate::LiveRepo;
use crate::http::chain;
use crate::pause::Scope;
use crate::values::{CommitId, RepoName};

/// How soon a flush that is owed is tried again: with a gate, somebody is held for it.
const RETRY: Duration = Duration::from_secs(2);

/// How soon a `resume` hook that failed is called again.
const RETRY_RESUME: Duration = Duration::from_secs(30);

impl Client {
    /// Makes the flush that is owed for a repo; says whether one was. The caller holds `work`.
    pub(super) async fn pay(&self, name: &RepoName) -> Result<bool, ClientError> {
        let (name, flusher, runtime) = (name.clone(), self.flusher.clone(), Handle::current());
        self.blocking(move |farm| {
            let Some(scope) = farm.owed_flush(&name)? else { return Ok(false) };
            if let Some(flusher) = flusher {
                runtime.block_on(flusher.flush(&scope)).map_err(ClientError::OwedFlush)?;
            }
            note_flushed(farm, &name)?;
            Ok::<_, ClientError>(true)
        })
        .await
    }

    /// Tells the gate what can be served: all that is deployed, and for which no flush is owed. The caller holds `work`.
    pub(super) async fn adjust_gate(&self) -> Result<(), ClientError> {
        let Some(gate) = &self.gate else { return Ok(()) };
        let gated = self.repos.iter().filter(|(_, repo)| self.config.pause_of(&repo.settings) == PauseKind::Gate);
        let gated: Vec<RepoName> = gated.map(|(name, _)| name.clone()).collect();
        let (all, gate): (Vec<RepoName>, _) = (self.repos.keys().cloned().collect(), Arc::clone(gate));
        self.blocking(move |farm| {
            let closed = unservable(farm, &gated)?;
            for name in &all {
                let live = farm.current(name)?.map(|commit| live(farm, name, &commit)).transpose()?;
                gate.set_live(name, live);
            }
            gate.close(closed);
            Ok::<_, FarmError>(())
        })
        .await
    }
}

/// What cannot be served of these repos: everything where one has no code yet, else what a flush is owed for.
fn unservable(farm: &Farm, names: &[RepoName]) -> Result<Option<Scope>, FarmError> {
    let mut closed: Option<Scope> = None;
    for name in names {
        let scope = match farm.current(name)? {
            None => Some(Scope::Everything),
            Some(_) => farm.owed_flush(name)?,
        };
        closed = match (closed, scope) {
            (Some(closed), Some(scope)) => Some(closed.union(scope)),
            (closed, scope) => closed.or(scope),
        };
    }
    Ok(closed)
}

/// What a repo serves when this generation is current.
pub(super) fn live(farm: &Farm, name: &RepoName, commit: &CommitId) -> Result<LiveRepo, FarmError> {
    Ok(LiveRepo { commit: commit.to_string(), environments: farm.environment_ids(name, commit)? })
}

/// Notes that nothing is owed any more.
pub(super) fn note_flushed(farm: &Farm, name: &RepoName) -> Result<(), FarmError> {
    farm.flushed(name)?;
    farm.update_state(name, |state| {
        if state.unflushed {
            state.unflushed = false;
            state.error = None;
        }
    })?;
    Ok(())
}

/// At start: what a daemon that was killed in a deploy left behind is put right. Until then the gate serves nothing of it (see
/// [`Client::adjust_gate`]). The caller holds `work`.
pub(super) async fn catch_up(client: &Client) -> Result<(), ClientError> {
    for (name, repo) in &client.repos {
        if let Err(error) = client.pay(name).await {
            tracing::error!(%name, error = chain(&error), "a flush is owed and could not be made; it is tried again");
            note_unflushed(client, name, &error).await?;
        }
        if let Pauser::Hooks(hooks) = &repo.pauser {
            let (hooks, about) = (hooks.clone(), About { repo: name.clone(), commit: None, scope: Scope::Everything });
            tokio::task::spawn_blocking(move || hooks.resume(&about)).await?;
            if let Err(error) = repo.pauser.check_resumed() {
                tracing::error!(%name, error = chain(&error), "requests may be kept away since before the start");
            }
        }
    }
    client.adjust_gate().await
}

/// Calls the `resume` hooks that failed.
async fn resume_again(client: &Client) {
    let _working = client.work.lock().await;
    for (name, repo) in &client.repos {
        let (pauser, about) =
            (repo.pauser.clone(), About { repo: name.clone(), commit: None, scope: Scope::Everything });
        if let Err(error) = client.blocking(move |_| pauser.resume_again(&about)).await {
            tracing::error!(%name, error = chain(&error), "requests may still be kept away");
        }
    }
}

async fn note_unflushed(client: &Client, name: &RepoName, error: &ClientError) -> Result<(), ClientError> {
    let (name, text) = (name.clone(), chain(error));
    let noted = client.blocking(move |farm| {
        farm.update_state(&name, |state| {
            state.unflushed = true;
            state.error = Some(text);
        })
    });
    noted.await.map(|_| ())
}

/// Pays what is owed, again and again, whether the primary can be reached or not; lets requests flow that a hook still keeps away. Runs until the
/// client stops.
pub(super) async fn keep_paying(client: Arc<Client>) {
    let mut next_resume = Instant::now() + RETRY_RESUME;
    while !client.stop.is_cancelled() {
        tokio::select! {
            () = client.stop.cancelled() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
        if Instant::now() >= next_resume {
            resume_again(&client).await;
            next_resume = Instant::now() + RETRY_RESUME;
        }
        for name in client.repos.keys() {
            let owed = {
                let name = name.clone();
                client.blocking(move |farm| farm.owed_flush(&name)).await
            };
            if !matches!(owed, Ok(Some(_))) {
                continue;
            }
            let _working = client.work.lock().await;
            match client.pay(name).await {
                Ok(true) => tracing::info!(%name, "the flush that was owed is made"),
                // It was a deploy's under way, which has made it itself.
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%name, error = chain(&error), "a flush is still owed");
                    if let Err(error) = note_unflushed(&client, name, &error).await {
                        tracing::warn!(error = chain(&error), "could not note it");
                    }
                }
            }
            if let Err(error) = client.adjust_gate().await {
                tracing::error!(error = chain(&error), "the gate could not be told what can be served");
            }
            client.news.notify_one();
        }
    }
}
