//! Rollback: an older commit is made live, and the repo stays there until it is released.
//!
//! The pin is noted when all is built and before anything is swapped: a daemon that is killed in between finishes the rollback at its next
//! start. The other way round it would find no pin, and bring back what somebody had just got rid of. Where the deploy fails, the note is
//! taken back, for then the caller is told that nothing has changed.

use super::ClientError;
use super::state::Client;
use crate::farm::{Farm, FarmError, RepoState};
use crate::remote::HeadAnswer;
use crate::values::{CommitId, RepoName};
use crate::wire::api::PinTo;

impl Client {
    /// Does what a rollback asks for, and says so when it is live.
    pub(super) async fn pin(&self, name: &RepoName, to: PinTo) -> Result<(), ClientError> {
        let repo = self.repo(name)?;
        let target = match to {
            PinTo::Released => {
                let working = self.work.lock().await;
                self.release(name).await?;
                drop(working);
                tracing::info!(%name, "released; the newest head is deployed again");
                return self.sync_now(name).await;
            }
            PinTo::Commit(commit) => commit,
            PinTo::Previous => {
                let repo = name.clone();
                let before = self.blocking(move |farm| previous(farm, &repo)).await?;
                before.ok_or_else(|| ClientError::NothingBefore(name.clone()))?
            }
        };
        let _working = self.work.lock().await;
        let repo_name = name.clone();
        let before = self.blocking(move |farm| farm.state(&repo_name)).await?;
        if let Err(error) = self.bring_back(name, target).await {
            self.go_on_as(name, &before, target).await?;
            return Err(error);
        }
        tracing::info!(%name, commit = %target, "rolled back and pinned");
        repo.wake.notify_one();
        self.news.notify_one();
        Ok(())
    }

    /// Makes the commit live that the repo is pinned to, where another one is: a rollback that was cut short is finished.
    pub(super) async fn keep_pin(&self, name: &RepoName) -> Result<(), ClientError> {
        let _working = self.work.lock().await;
        let repo = name.clone();
        let (pinned, current) =
            self.blocking(move |farm| Ok::<_, FarmError>((farm.state(&repo)?.pinned, farm.current(&repo)?))).await?;
        match pinned {
            Some(pinned) if current != Some(pinned) => {
                tracing::warn!(%name, commit = %pinned, "a rollback was cut short; it is finished now");
                self.bring_pinned(name, pinned).await
            }
            _ => Ok(()),
        }
    }

    /// Takes back that the repo stays at `target`, unless that is what is live.
    async fn go_on_as(&self, name: &RepoName, before: &RepoState, target: CommitId) -> Result<(), ClientError> {
        let (name, before) = (name.clone(), before.clone());
        self.blocking(move |farm| {
            if farm.current(&name)? != Some(target) {
                farm.update_state(&name, |state| (state.pinned, state.accepted) = (before.pinned, before.accepted))?;
            }
            Ok::<_, FarmError>(())
        })
        .await
    }

    /// Notes that the repo stays here. It is the site's own word to go back: signed heads from this commit on are no replay.
    pub(super) async fn stay_at(&self, name: &RepoName, commit: CommitId) -> Result<(), ClientError> {
        let name = name.clone();
        self.blocking(move |farm| {
            let sequence = farm.index().commit(&commit)?.ok_or(FarmError::CommitMissing(commit))?.sequence;
            farm.update_state(&name, |state| {
                state.pinned = Some(commit);
                state.accepted = state.accepted.map(|accepted| accepted.min(sequence));
            })
        })
        .await?;
        Ok(())
    }

    async fn release(&self, name: &RepoName) -> Result<(), ClientError> {
        let name = name.clone();
        self.blocking(move |farm| farm.update_state(&name, |state| state.pinned = None)).await?;
        Ok(())
    }

    /// Asks the primary for the head and brings it live, without waiting for the task that follows the repo.
    pub(super) async fn sync_now(&self, name: &RepoName) -> Result<(), ClientError> {
        self.repo(name)?;
        let head = tokio::select! {
            () = self.stop.cancelled() => return Err(ClientError::Stopping),
            head = self.remote.head(name, None, std::time::Duration::ZERO) => head?,
        };
        match head {
            HeadAnswer::Head(info) => super::follow::deal_with(self, name, &info).await,
            HeadAnswer::Same | HeadAnswer::NoCommitYet => Err(ClientError::NoCommit(name.clone())),
        }
    }
}

/// The generation that was current before the one that is.
fn previous(farm: &Farm, name: &RepoName) -> Result<Option<CommitId>, FarmError> {
    let current = farm.current(name)?;
    let generations = farm.generations(name)?.into_iter();
    let mut deployed = generations.filter(|generation| generation.deployed > 0);
    Ok(deployed.find(|generation| Some(generation.commit) != current).map(|generation| generation.commit))
}
