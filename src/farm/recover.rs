//! What a crash may have left, and a moved data directory: put right at every start (`storage-format.md` §9).

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::index::Forget;
use super::layout::{ENVIRONMENTS_LINK, environments_link};
use super::{BlobKey, Farm, FarmError, GenerationRecord, SharedName};
use crate::disk::Kind;
use crate::progress::{Phase, Progress};
use crate::values::{CommitId, RepoName};

pub(super) const PATH: &str = "path";

impl Farm {
    /// Removes what the index does not vouch for, and rebuilds the generations of a data directory that was moved.
    pub(super) fn recover(&self, progress: &Progress) -> Result<(), FarmError> {
        let recovered = self.recover_all(progress);
        progress.begin(Phase::Idle, 0, 0);
        recovered
    }

    fn recover_all(&self, progress: &Progress) -> Result<(), FarmError> {
        let generations = self.index.generations()?;
        let vouched: BTreeSet<(RepoName, CommitId)> =
            generations.iter().map(|(repo, commit, _)| (repo.clone(), *commit)).collect();
        if self.shows_something_unknown(&vouched)? {
            // The index was lost or swapped. Puppet Server reads the farm all the same: nothing is removed, and the next sync builds anew.
            tracing::error!(
                path = %self.data.path.display(),
                "current names a generation that the index does not know; nothing is removed until the next deploy"
            );
            return Ok(());
        }
        let renewed = self.remove_unvouched(&generations, &vouched, progress)?;
        self.forget_vanished(&generations)?;
        self.follow_move(&generations, progress)?;
        self.link_environments(&generations)?;
        self.finish_healing(&renewed, progress)
    }

    /// Says that something may stand in its place that no record names: what was being built or removed when a call failed.
    pub(super) fn note_litter(&self) {
        self.littered.store(true, Ordering::Relaxed);
    }

    /// Removes it, as the next start would.
    pub(super) fn remove_litter(&self) -> Result<(), FarmError> {
        if !self.littered.load(Ordering::Relaxed) {
            return Ok(());
        }
        // What was written and is not vouched for yet is no litter.
        self.settle()?;
        let generations = self.index.generations()?;
        let vouched = generations.iter().map(|(repo, commit, _)| (repo.clone(), *commit)).collect();
        if !self.shows_something_unknown(&vouched)? {
            self.remove_unvouched(&generations, &vouched, &Progress::default())?;
        }
        self.littered.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn known_repos(&self) -> Result<Vec<RepoName>, FarmError> {
        let names = self.repos.list()?.into_iter();
        Ok(names.filter_map(|entry| std::str::from_utf8(entry.name.as_bytes()).ok()?.parse().ok()).collect())
    }

    fn shows_something_unknown(&self, vouched: &BTreeSet<(RepoName, CommitId)>) -> Result<bool, FarmError> {
        for repo in self.known_repos()? {
            if let Some(commit) = self.current(&repo)?
                && !vouched.contains(&(repo, commit))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives the blob files that are not those of their records.
    fn remove_unvouched(
        &self,
        generations: &[(RepoName, CommitId, GenerationRecord)],
        vouched: &BTreeSet<(RepoName, CommitId)>,
        progress: &Progress,
    ) -> Result<Vec<BlobKey>, FarmError> {
        for repo in self.known_repos()? {
            let dir = self.generations_dir(&repo)?;
            for entry in dir.list()? {
                let commit = std::str::from_utf8(entry.name.as_bytes()).ok().and_then(|text| text.parse().ok());
                if !commit.is_some_and(|commit| vouched.contains(&(repo.clone(), commit))) {
                    dir.remove_all(&entry.name)?;
                }
            }
        }
        let (built, blobs) = (self.index.all_built()?, self.index.blobs()?);
        progress.begin(Phase::Recovering, (built.len() + blobs.len()) as u64, 0);
        // A tree that a generation links to stays, whatever became of its record: Puppet reads it, and it is built anew with the next plan.
        let mut needed: BTreeSet<&SharedName> = built.values().flatten().map(|(_, name)| name).collect();
        needed.extend(generations.iter().flat_map(|(_, _, record)| &record.shared).map(|(_, name)| name));
        for entry in self.trees.list()? {
            step(progress)?;
            let name = SharedName::parse(entry.name.as_bytes());
            if !name.is_some_and(|name| built.contains_key(&name) || needed.contains(&name)) {
                self.trees.remove_all(&entry.name)?;
            }
        }
        let mut renewed = Vec::new();
        for shard in self.blobs.list()? {
            if self.blobs.stat(&shard.name)?.kind != Kind::Dir {
                self.blobs.remove_all(&shard.name)?;
                continue;
            }
            let dir = self.blobs.open_dir(&shard.name)?;
            for entry in dir.list()? {
                step(progress)?;
                let key = BlobKey::parse(entry.name.as_bytes());
                let known = key.filter(|key| key.dir_name().as_bytes() == shard.name.as_bytes());
                match known.and_then(|key| Some((key, blobs.get(&key)?))) {
                    None => dir.remove_all(&entry.name)?,
                    Some((key, record)) if record.inodes.last() != Some(&dir.stat(&entry.name)?.inode) => {
                        renewed.push(key);
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(renewed)
    }

    /// A generation whose directory somebody removed is no generation.
    fn forget_vanished(&self, generations: &[(RepoName, CommitId, GenerationRecord)]) -> Result<(), FarmError> {
        let mut vanished = Vec::new();
        for (repo, commit, _) in generations {
            if self.generations_dir(repo)?.stat_if_there(commit.to_string().as_str())?.is_none() {
                vanished.push((repo.clone(), *commit));
            }
        }
        if vanished.is_empty() {
            return Ok(());
        }
        self.index.forget(&Forget { generations: vanished, ..Forget::default() })
    }

    /// Roots hold absolute links: in a data directory that was moved, they are built anew before anything else.
    fn follow_move(
        &self,
        generations: &[(RepoName, CommitId, GenerationRecord)],
        progress: &Progress,
    ) -> Result<(), FarmError> {
        let path = self.data.path.as_os_str().as_bytes();
        let before = self.index.meta(PATH)?;
        if before.as_deref() == Some(path) {
            return Ok(());
        }
        if before.is_some() {
            tracing::info!(path = %self.data.path.display(), "the data directory was moved; building its generations anew");
            progress.begin(Phase::Building, 0, 0);
            for (repo, commit, record) in generations {
                self.rebuild_generation(repo, *commit, record, progress)?;
            }
        }
        self.index.put_meta(PATH, path)
    }

    /// A generation that an older program built gets its link to its environments.
    fn link_environments(&self, generations: &[(RepoName, CommitId, GenerationRecord)]) -> Result<(), FarmError> {
        for (repo, id, _) in generations {
            let all = self.generations_dir(repo)?;
            let text = id.to_string();
            if all.stat_if_there(text.as_str())?.is_none_or(|stat| stat.kind != Kind::Dir) {
                continue;
            }
            let dir = all.open_dir(text.as_str())?;
            if dir.stat_if_there(ENVIRONMENTS_LINK)?.is_none()
                && let Some(commit) = self.index.commit(id)?
                && let Some(text) = environments_link(&commit.environments_dir)
            {
                // Not synced: what a power cut takes back is made again.
                dir.symlink(&text, ENVIRONMENTS_LINK)?;
            }
        }
        Ok(())
    }

    /// Builds a generation's root anew, from trees that are all there, and puts it in place in one step.
    pub(super) fn rebuild_generation(
        &self,
        repo: &RepoName,
        id: CommitId,
        record: &GenerationRecord,
        progress: &Progress,
    ) -> Result<(), FarmError> {
        let Some(commit) = self.index.commit(&id)? else { return Err(FarmError::CommitMissing(id)) };
        let plan = self.plan(id, &commit, &record.shared_dirs, None)?;
        let linked = AtomicU64::new(0);
        for (name, shared) in &plan.missing {
            self.build_shared(name, shared, &linked, progress)?;
        }
        self.build_generation(&plan, &linked, progress)?;
        // Building it is not deploying it: when it was current stays noted.
        let built = self.index.generation(repo, &id)?.ok_or(FarmError::GenerationMissing(id))?;
        let GenerationRecord { built: first, deployed, .. } = *record;
        self.index.put_generation(repo, id, &GenerationRecord { built: first, deployed, ..built })
    }
}

/// Counts one thing that is looked at or removed, and ends the job where that was asked for.
pub(super) fn step(progress: &Progress) -> Result<(), FarmError> {
    progress.advance(1, 0);
    if progress.is_cancelled() { Err(FarmError::Cancelled) } else { Ok(()) }
}
