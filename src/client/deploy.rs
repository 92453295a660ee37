//! The window: pause, rename, flush, resume (`storage-format.md` §9, steps 5 to 9).

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::ClientError;
use super::flush::{live, note_flushed};
use super::hooks::About;
use super::pauser::Pauser;
use super::state::Client;
use crate::farm::{Farm, FarmError};
use crate::http::chain;
use crate::pause::Scope;
use crate::progress::{Phase, Progress};
use crate::puppet::{FlushError, Flusher};
use crate::telling::telling;
use crate::values::{CommitId, RepoName};
use crate::wire::api::{CommitInfo, DeployFigures};

/// Why a commit is brought live.
#[derive(Clone, Copy)]
enum Because<'a> {
    /// It is the head, and was accepted.
    Head(&'a CommitInfo),
    /// Somebody goes back to it, to stay.
    RollsBack,
    /// Somebody did, and another one is live all the same.
    IsPinned,
}

/// How a deploy ended.
struct Deployed {
    /// From the beginning of the pause until requests flowed again.
    paused: Duration,
    /// How much of it was waiting for what ran.
    drained: Duration,
    /// How much of it was the flush.
    flushed: Duration,
    /// The flush that is still owed, where it could not be made and the deploy stands all the same.
    unflushed: Option<FlushError>,
}

impl Client {
    /// Brings a head that was accepted live.
    pub(super) async fn bring_head(&self, name: &RepoName, head: &CommitInfo) -> Result<(), ClientError> {
        self.bring(name, head.commit, Because::Head(head)).await
    }

    /// Brings a commit live at which the repo stays from now on, and notes that before the swap. The caller holds `work`.
    pub(super) async fn bring_back(&self, name: &RepoName, commit: CommitId) -> Result<(), ClientError> {
        self.bring(name, commit, Because::RollsBack).await
    }

    /// Brings the commit live that the repo is pinned to. The caller holds `work`.
    pub(super) async fn bring_pinned(&self, name: &RepoName, commit: CommitId) -> Result<(), ClientError> {
        self.bring(name, commit, Because::IsPinned).await
    }

    async fn bring(&self, name: &RepoName, commit: CommitId, because: Because<'_>) -> Result<(), ClientError> {
        let repo = self.repo(name)?;
        let outcome = telling(Some(name), &repo.progress, self.bring_live(name, commit, because)).await;
        repo.idle();
        // A stop is no failure of the deploy: what was to be done is done at the next start.
        let failure = outcome.as_ref().err().filter(|_| !self.stop.is_cancelled()).map(|error| chain(error));
        let has_stopped = outcome.is_err() && failure.is_none();
        self.metrics.count_deploy(name, outcome.as_ref().is_ok_and(Option::is_some), failure.is_some());
        let name = name.clone();
        let noted = self.blocking(move |farm| {
            farm.update_state(&name, |state| {
                // A deploy whose flush is owed is an error of its own, kept until a flush succeeds.
                if failure.is_some() || !state.unflushed && !has_stopped {
                    state.error = failure;
                }
            })
        });
        let noted = noted.await;
        self.adjust_gate().await?;
        self.news.notify_one();
        outcome?;
        noted.map(|_| ())
    }

    /// The figures, where there was something to do.
    async fn bring_live(
        &self,
        name: &RepoName,
        commit: CommitId,
        because: Because<'_>,
    ) -> Result<Option<DeployFigures>, ClientError> {
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
            if let Because::RollsBack = because {
                self.stay_at(name, commit).await?;
            }
            if owed {
                self.pay(name).await?;
            }
            let about = About { repo: name.clone(), commit: Some(commit), scope: Scope::Everything };
            let pauser = repo.pauser.clone();
            self.blocking(move |_| pauser.resume_again(&about)).await?;
            return Ok(None);
        }
        self.sync(name, commit, &mut figures).await?;
        match because {
            Because::Head(head) => self.check_sequence(name, head).await?,
            Because::RollsBack => self.stay_at(name, commit).await?,
            Because::IsPinned => {}
        }
        repo.progress.begin(Phase::Deploying, 0, 0);
        let deployed = self.deploy(name, commit).await?;
        figures.paused_seconds = deployed.paused.as_secs_f64();
        figures.drain_seconds = deployed.drained.as_secs_f64();
        figures.flush_seconds = deployed.flushed.as_secs_f64();
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
                drain_microseconds = deployed.drained.as_micros(),
                flush_microseconds = deployed.flushed.as_micros(),
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
        let way =
            Way { pauser: self.repo(name)?.pauser.clone(), flusher: self.flusher.clone(), runtime: Handle::current() };
        let name = name.clone();
        self.blocking(move |farm| way.deploy(farm, &name, commit)).await
    }

    /// Removes what is too old, unless fsck reads, and tells in `progress` how far that is. A failure is no failure of a deploy. The caller holds
    /// `work`.
    pub(super) async fn prune(&self, progress: &Arc<Progress>) {
        let Ok(held) = Arc::clone(&self.hold).try_write_owned() else {
            self.prune_owed.store(true, Relaxed);
            return;
        };
        self.prune_owed.store(false, Relaxed);
        let (retentions, pruning) = (self.retentions(), Arc::clone(progress));
        let outcome = self.blocking(move |farm| {
            let _held = held;
            let pruned = farm.prune(&retentions, &pruning);
            pruning.begin(Phase::Idle, 0, 0);
            pruned
        });
        let outcome = telling(None, progress, outcome);
        match outcome.await {
            Ok(pruned) if pruned.generations > 0 => {
                tracing::info!(
                    generations = pruned.generations,
                    trees = pruned.trees,
                    blobs = pruned.blobs,
                    "removed what was too old"
                );
            }
            Ok(_) | Err(ClientError::Farm(FarmError::Cancelled)) => {}
            Err(error) => tracing::warn!(error = chain(&error), "could not remove what is too old"),
        }
    }

    /// Removes what is too old, where that was left out because the farm was held.
    pub(super) async fn prune_if_owed(&self) {
        if self.prune_owed.load(Relaxed) {
            let _working = self.work.lock().await;
            // Of all repos: it is shown with the first.
            if let Some(repo) = self.repos.values().next() {
                self.prune(&repo.progress).await;
            }
        }
    }
}

/// How a deploy is made.
struct Way {
    pauser: Pauser,
    flusher: Option<Arc<Flusher>>,
    runtime: Handle,
}

impl Way {
    /// The deploy itself. Blocking, so that nothing else gets between its steps.
    fn deploy(&self, farm: &Farm, name: &RepoName, commit: CommitId) -> Result<Deployed, ClientError> {
        let swap = farm.prepare_swap(name, &commit)?;
        let change = farm.scope_between(swap.before(), commit)?;
        let gate = match &self.pauser {
            Pauser::Gate(gate, _) => Some(gate),
            Pauser::Nothing | Pauser::Hooks(_) => None,
        };
        // What the gate says of each response.
        let (live_before, live_after) = match gate {
            Some(_) => {
                let before = swap.before().map(|before| live(farm, name, &before)).transpose()?;
                (before, Some(live(farm, name, &commit)?))
            }
            None => (None, None),
        };
        let mut scope = change.clone();
        let mut owed_before = false;
        if let Some(flusher) = &self.flusher {
            // Before the pause, for it is synced: a flush too many does no harm, and nobody waits for the disk.
            owed_before = farm.owed_flush(name)?.is_some();
            scope = farm.owe_flush(name, change)?;
            self.runtime.block_on(flusher.prepare());
        }
        let about = About { repo: name.clone(), commit: Some(commit), scope: scope.clone() };

        let began = Instant::now();
        let paused = match self.pauser.pause(&about, &self.runtime) {
            Ok(paused) => paused,
            Err(error) => {
                // Nothing was changed, so nothing more is owed than before.
                if self.flusher.is_some() && !owed_before {
                    farm.flushed(name)?;
                }
                return Err(error);
            }
        };
        let drained = began.elapsed();
        swap.make(&paused)?;
        if let Some(gate) = gate {
            gate.set_live(name, live_after);
        }
        let flushing = Instant::now();
        let unflushed = match self.flusher.as_ref().map(|flusher| self.runtime.block_on(flusher.flush(&scope))) {
            None | Some(Ok(())) => None,
            // Nobody listens: perhaps no server that could hold old code, perhaps a wrong address. The deploy stands, and the flush is owed.
            Some(Err(error @ FlushError::Refused { .. })) => Some(error),
            Some(Err(error)) => {
                // New code under an old cache must not be served. Nothing was compiled meanwhile where requests were held: the cache holds
                // old code or none, so that no flush is owed for going back.
                swap.take_back(&paused)?;
                if let Some(gate) = gate {
                    gate.set_live(name, live_before);
                    if !owed_before {
                        farm.flushed(name)?;
                    }
                }
                return Err(ClientError::Flush(error));
            }
        };
        let flushed = flushing.elapsed();
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
        self.pauser.check_resumed()?;
        Ok(Deployed { paused, drained, flushed, unflushed })
    }
}
