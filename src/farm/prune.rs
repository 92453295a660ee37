//! What nothing needs any more: generations by count and age, then trees, then blobs (`storage-format.md` §9).
//!
//! The index forgets first, synced; files go afterwards, so that a crash leaves nothing that is vouched for and gone. Never run
//! beside a sync of the same farm: what that has fetched or built is not yet named by a generation.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::generation::now;
use super::index::Forget;
use super::recover::step;
use super::{BlobKey, Farm, FarmError, SharedName};
use crate::progress::{Phase, Progress};
use crate::values::{CommitId, Entry, RepoName, TreeId};

/// Which generations of a repo stay.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// At least this many, the current one included.
    pub keep: usize,
    /// And all that were current, or built, within this time.
    pub age: Duration,
}

/// What pruning removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Generations.
    pub generations: u64,
    /// Shared trees.
    pub trees: u64,
    /// Blob files.
    pub blobs: u64,
}

impl Farm {
    /// Removes generations that no retention keeps, and what only they needed. Repos without a retention are left alone, and so are
    /// the current and the pinned generation, whatever their age. Where `progress` ends it, the next pruning, or the next start, does the rest.
    pub fn prune(&self, retentions: &BTreeMap<RepoName, Retention>, progress: &Progress) -> Result<Pruned, FarmError> {
        self.remove_litter()?;
        self.prune_old(retentions, progress).inspect_err(|_| self.note_litter())
    }

    fn prune_old(&self, retentions: &BTreeMap<RepoName, Retention>, progress: &Progress) -> Result<Pruned, FarmError> {
        let mut old = Vec::new();
        for (repo, retention) in retentions {
            old.extend(self.old_generations(repo, *retention)?.into_iter().map(|commit| (repo.clone(), commit)));
        }
        if old.is_empty() {
            return Ok(Pruned::default());
        }
        if progress.is_cancelled() {
            return Err(FarmError::Cancelled);
        }
        progress.begin(Phase::Pruning, old.len() as u64, 0);
        self.index.forget(&Forget { generations: old.clone(), ..Forget::default() })?;
        for (repo, commit) in &old {
            step(progress)?;
            let generations = self.generations_dir(repo)?;
            self.discard(&generations, commit.to_string().as_str())?;
        }
        let (trees, blobs) = self.prune_unneeded(progress)?;
        Ok(Pruned { generations: old.len() as u64, trees, blobs })
    }

    fn old_generations(&self, repo: &RepoName, retention: Retention) -> Result<Vec<CommitId>, FarmError> {
        let (current, pinned) = (self.current(repo)?, self.state(repo)?.pinned);
        let since = now().saturating_sub(i64::try_from(retention.age.as_millis()).unwrap_or(i64::MAX));
        let candidates = self.generations(repo)?.into_iter().skip(retention.keep.max(1));
        let old = candidates.filter(|generation| {
            let held = Some(generation.commit) == current || Some(generation.commit) == pinned;
            !held && generation.deployed.max(generation.built) < since
        });
        Ok(old.map(|generation| generation.commit).collect())
    }

    /// Removes the trees, blobs and objects that no generation needs. Gives the number of trees and blobs.
    pub(super) fn prune_unneeded(&self, progress: &Progress) -> Result<(u64, u64), FarmError> {
        let needed = self.needed()?;
        let unneeded = |name: &SharedName| !needed.shared.contains(name);
        let built: Vec<SharedName> = self.index.all_built()?.into_keys().filter(unneeded).collect();
        let blobs: Vec<BlobKey> = self.index.blobs()?.into_keys().filter(|key| !needed.blobs.contains(key)).collect();
        let chunks = self.index.chunks_without(|key| needed.blobs.contains(&key))?;
        let mut trees = Vec::new();
        for item in self.index.each_tree() {
            let id = <[u8; 32]>::try_from(&*item?.0).map(TreeId::from_bytes);
            trees.extend(id.ok().filter(|id| !needed.trees.contains(id)));
        }
        let mut commits = Vec::new();
        for item in self.index.each_commit() {
            let id = <[u8; 32]>::try_from(&*item?.0).map(CommitId::from_bytes);
            commits.extend(id.ok().filter(|id| !needed.commits.contains(id)));
        }
        let forget = Forget { built, blobs, chunks, trees, commits, ..Forget::default() };
        progress.expect((forget.built.len() + forget.blobs.len()) as u64, 0);
        self.index.forget(&forget)?;
        for name in &forget.built {
            step(progress)?;
            self.discard(&self.trees, name.as_str())?;
        }
        for key in &forget.blobs {
            step(progress)?;
            self.discard_blob(*key)?;
        }
        Ok((forget.built.len() as u64, forget.blobs.len() as u64))
    }

    fn discard_blob(&self, key: BlobKey) -> Result<(), FarmError> {
        match self.blob_dir(key)?.remove_file(key.file_name().as_str()) {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Removes a directory: out of its place in one step, then bit by bit.
    pub(super) fn discard(&self, place: &crate::disk::Dir, name: &str) -> Result<(), FarmError> {
        let temporary = self.temporary();
        match place.rename(name, &self.data.tmp, temporary.as_str()) {
            Err(error) if error.is_not_found() => Ok(()),
            other => {
                other?;
                Ok(self.data.tmp.remove_all(temporary.as_str())?)
            }
        }
    }

    /// Everything that the generations of the index need.
    fn needed(&self) -> Result<Needed, FarmError> {
        let mut needed = Needed::default();
        let mut ahead = Vec::new();
        for (_, commit, record) in self.index.generations()? {
            ahead.extend(record.shared.into_iter().map(|(_, name)| name));
            if let Some(read) = self.index.commit(&commit)? {
                needed.commits.insert(commit);
                self.need_tree(read.root.id, &mut needed)?;
            }
        }
        while let Some(name) = ahead.pop() {
            if needed.shared.insert(name.clone()) {
                ahead.extend(self.index.built(&name)?.unwrap_or_default().into_iter().map(|(_, inner)| inner));
            }
        }
        Ok(needed)
    }

    fn need_tree(&self, root: TreeId, needed: &mut Needed) -> Result<(), FarmError> {
        let mut ahead = vec![root];
        while let Some(id) = ahead.pop() {
            if !needed.trees.insert(id) {
                continue;
            }
            // A tree that is missing is fsck's to report; pruning only must not remove too much.
            let Some(tree) = self.index.tree(&id)? else { continue };
            for (_, entry) in tree.entries() {
                match entry {
                    Entry::Tree(subtree) => ahead.push(subtree.id),
                    Entry::File { id, executable, .. } => {
                        needed.blobs.insert(BlobKey { id: *id, executable: *executable });
                    }
                    Entry::Symlink(_) => {}
                }
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Needed {
    commits: BTreeSet<CommitId>,
    trees: BTreeSet<TreeId>,
    shared: BTreeSet<SharedName>,
    blobs: BTreeSet<BlobKey>,
}
