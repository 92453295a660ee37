//! The window: pause, rename, flush, resume (`storage-format.md` §9, steps 5 to 9).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::ClientError;
use super::state::Client;
use crate::farm::{Farm, FarmError};
use crate::http::chain;
use crate::pause::{Paused, Scope};
use crate::progress::Phase;
use crate::puppet::{FlushError, Flusher};
use crate::values::{CommitId, RepoName};
use crate::wire::api::DeployFigures;

/// How a deploy ended.
struct Deployed {
    paused: Duration,
    /// The flush that is still owed, where it could not be made and the deploy stands all the same.
    unflushed: Option<FlushError>,
}

impl Client {
    /// Brings `commit` live: syncs it, deploys it, removes what is too old. The caller holds `work`.
    pub(super) async fn bring(&self, name: &RepoName, commit: CommitId) -> Result<(), ClientError> {
        let repo = self.repo(name)?;
        let outcome = self.bring_live(name, commit).await;
        repo.idle();
        let failure = outcome.as_ref().err().map(|error| chain(error));
        self.metrics.count_deploy(name, outcome.as_ref().is_ok_and(Option::is_some), failure.is_some());
        let name = name.clone();
        let noted = self.blocking(move |farm| {
            farm.update_state(&name, |state| {
                // A deploy whose flush is owed is an error of its own, kept until a flush succeeds.
                if failure.is_some() || !state.unflushed {
                    state.error = failure;
                }
            })
        });
        let noted = noted.await;
        self.news.notify_one();
        outcome?;
        noted.map(|_| ())
    }

    /// The figures, where there was something to do.
    async fn bring_live(&self, name: &RepoName, commit: CommitId) -> Result<Option<DeployFigures>, ClientError> {
        let began = Instant::now();
        let mut figures = DeployFigures::default();
        let repo = self.repo(name)?;
        let repo_name = name.clone();
        let (current, owed) = self
            .blocking(move |farm| {
                Ok::<_, FarmError>((farm.current(&repo_name)?, farm.owed_flush(&repo_name)?.is_some()))
            })
            .await?;
        if current == Some(commit) && self.blocking_has(name, commit).await? {
            if owed {
                self.pay(name).await?;
            }
            return Ok(None);
        }
        self.sync(name, commit, &mut figures).await?;
        repo.progress.begin(Phase::Deploying, 0, 0);
        let deployed = self.deploy(name, commit).await?;
        figures.paused_seconds = deployed.paused.as_secs_f64();
        figures.seconds = began.elapsed().as_secs_f64();
        *repo.figures.lock().expect("no holder of this lock panics") = Some(figures);
        self.metrics.observe_deploy(name, &figures);
        match deployed.unflushed {
            Some(error) => tracing::error!(%name, %commit, error = chain(&error), "deployed, but not flushed"),
            None => tracing::info!(
                %name,
                %commit,
                received_bytes = figures.received_bytes,
                linked = figures.linked,
                paused_microseconds = deployed.paused.as_micros(),
                seconds = figures.seconds,
                "deployed"
            ),
        }
        Ok(Some(figures))
    }

    async fn blocking_has(&self, name: &RepoName, commit: CommitId) -> Result<bool, ClientError> {
        let name = name.clone();
        self.blocking(move |farm| farm.has_generation(&name, &commit)).await
    }

    async fn deploy(&self, name: &RepoName, commit: CommitId) -> Result<Deployed, ClientError> {
        let (name, flusher, runtime) = (name.clone(), self.flusher.clone(), Handle::current());
        self.blocking(move |farm| deploy(farm, &name, commit, flusher.as_ref(), &runtime)).await
    }

    /// Removes what is too old, unless fsck reads. A failure is no failure of a deploy. The caller holds `work`.
    pub(super) async fn prune(&self) {
        let Ok(held) = Arc::clone(&self.hold).try_write_owned() else { return };
        let (retentions, stop) = (self.retentions(), self.stop.clone());
        let outcome = self.blocking(move |farm| {
            let progress = crate::progress::Progress::default();
            let _held = held;
            if stop.is_cancelled() { Ok(Default::default()) } else { farm.prune(&retentions, &progress) }
        });
        match outcome.await {
            Ok(pruned) if pruned.generations > 0 => {
                tracing::info!(
                    generations = pruned.generations,
                    trees = pruned.trees,
                    blobs = pruned.blobs,
                    "removed what was too old"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(error = chain(&error), "could not remove what is too old"),
        }
    }

    /// Makes the flush that is owed for a repo.
    async fn pay(&self, name: &RepoName) -> Result<(), ClientError> {
        let (name, flusher, runtime) = (name.clone(), self.flusher.clone(), Handle::current());
        self.blocking(move |farm| {
            let Some(scope) = farm.owed_flush(&name)? else { return Ok(()) };
            if let Some(flusher) = flusher {
                runtime.block_on(flusher.flush(&scope)).map_err(ClientError::Flush)?;
            }
            note_flushed(farm, &name)?;
            Ok::<_, ClientError>(())
        })
        .await
    }
}

/// At start: a daemon that was killed between the rename and the flush flushes before anything else is said or done.
pub(super) async fn flush_what_is_owed(client: &Client) {
    for name in client.repos.keys() {
        if let Err(error) = client.pay(name).await {
            tracing::error!(%name, error = chain(&error), "a flush is owed and could not be made; it is tried again");
            let name = name.clone();
            let noted = client.blocking(move |farm| farm.update_state(&name, |state| state.unflushed = true)).await;
            if let Err(error) = noted {
                tracing::error!(error = chain(&error), "could not note it");
            }
        }
    }
}

/// The deploy itself. Blocking, so that nothing else gets between its steps.
fn deploy(
    farm: &Farm,
    name: &RepoName,
    commit: CommitId,
    flusher: Option<&Flusher>,
    runtime: &Handle,
) -> Result<Deployed, ClientError> {
    let swap = farm.prepare_swap(name, &commit)?;
    let mut scope = farm.scope_between(swap.before(), commit)?;
    if flusher.is_some() {
        // Before the pause, for it is synced: a flush too many does no harm, and nobody waits for the disk.
        scope = farm.owe_flush(name, scope)?;
    }
    let paused = pause(&scope);
    let began = Instant::now();
    swap.make(&paused)?;
    let unflushed = match flusher.map(|flusher| runtime.block_on(flusher.flush(&scope))) {
        None | Some(Ok(())) => None,
        // Nobody listens: perhaps no server that could hold old code, perhaps a wrong address. The deploy stands, and the flush is owed.
        Some(Err(error @ FlushError::Refused { .. })) => Some(error),
        Some(Err(error)) => {
            // New code under an old cache must not be served.
            swap.take_back(&paused)?;
            return Err(ClientError::Flush(error));
        }
    };
    paused.resume();
    let paused = began.elapsed();
    farm.confirm(name, commit)?;
    if unflushed.is_none() {
        note_flushed(farm, name)?;
    } else {
        farm.update_state(name, |state| {
            state.unflushed = true;
            state.error = unflushed.as_ref().map(|error| chain(error));
        })?;
    }
    Ok(Deployed { paused, unflushed })
}

/// `pause = "none"`: the only kind that this version has.
fn pause(_scope: &Scope) -> Paused {
    Paused::nothing()
}

fn note_flushed(farm: &Farm, name: &RepoName) -> Result<(), FarmError> {
    farm.flushed(name)?;
    farm.update_state(name, |state| {
        if state.unflushed {
            state.unflushed = false;
            state.error = None;
        }
    })?;
    Ok(())
}
