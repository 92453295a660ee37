//! Removing what nothing needs, in two steps.
//!
//! **Looking** goes on beside commits, on a snapshot: everything that a kept commit reaches is marked, what is not marked is garbage.
//! **Sweeping** waits until no commit is under way and marks what was published since looking began, so that a commit which found its
//! blobs among the garbage keeps them; only then it removes. What was written after the snapshot is not among the garbage.
//!
//! What is removed goes from the top down: commits and what the stat cache says of removed objects first, in one batch; then trees; then
//! blobs. A crash in between leaves objects that nothing names, and the next GC finds them.
//!
//! A store in which a needed object is missing or damaged is left alone: what could repair it must not be swept.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::PoisonError;

use rocksdb::{CompactOptions, WriteBatch};

use super::family::Family;
use super::gate::SweepTurn;
use super::read::{self, ReadStore, StoredBlob, decode_commit_id};
use super::write::Sync;
use super::{Store, StoreError, stat_cache};
use crate::codec::{self, BlobRecord};
use crate::disk::seam::{self, Event};
use crate::progress::{Phase, Progress};
use crate::values::{BlobId, Commit, CommitId, Entry, MAX_WHOLE_BLOB, RepoName, TreeId};

/// How many records are removed in one write.
const BATCH: usize = 10_000;

/// What GC keeps besides every head, every commit with a tag, and every commit of a repo that is not named here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcPlan {
    /// By repo.
    pub repos: BTreeMap<RepoName, Retention>,
    /// Commits that are in use elsewhere.
    pub pinned: BTreeSet<CommitId>,
}

/// Which commits of one repo are kept: those that fulfil either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The last so many, the head being the first.
    pub keep_commits: u64,
    /// Those made at this time or later, in milliseconds since 1970.
    pub keep_since: i64,
}

/// What GC did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GcReport {
    /// Commits removed.
    pub commits: u64,
    /// Trees removed.
    pub trees: u64,
    /// Blobs and chunks removed.
    pub blobs: u64,
    /// Their bytes, uncompressed.
    pub bytes: u64,
    /// Commits that stay.
    pub kept_commits: u64,
}

impl Store {
    /// Removes what `plan` does not keep, and gives the space back to the file system. Commits wait only while it removes; a snapshot that
    /// is older keeps its objects, and their space.
    ///
    /// `progress` can end it while it looks; once it removes, it goes on to the end.
    ///
    /// [`StoreError::Held`] while a [`super::GcHold`] lives or another GC runs.
    pub fn gc(&self, plan: &GcPlan, progress: &Progress) -> Result<GcReport, StoreError> {
        let turn = self.gate.collect().ok_or(StoreError::Held)?;
        // The trees are come by twice: as what commits reach, and one after the other.
        let (trees, blobs) = (self.estimate(Family::Trees), self.estimate(Family::Blobs));
        progress.begin(Phase::Checking, trees.saturating_mul(2).saturating_add(blobs), 0);
        let garbage = Garbage::find(self, plan, progress)?;
        let report = garbage.sweep(self, plan, progress, &turn.sweep().ok_or(StoreError::Held)?)?;
        progress.begin(Phase::Compacting, 0, 0);
        for (family, removed) in
            [(Family::Commits, report.commits), (Family::Trees, report.trees), (Family::Blobs, report.blobs)]
        {
            if removed > 0 {
                self.compact(family);
            }
        }
        Ok(report)
    }

    /// Rewrites a family's tables without what was removed.
    fn compact(&self, family: Family) {
        let mut options = CompactOptions::default();
        // RocksDB's own compactions go on meanwhile: commits may be writing.
        options.set_exclusive_manual_compaction(false);
        self.db.compact_range_cf_opt(family.handle(&self.db), None::<&[u8]>, None::<&[u8]>, &options);
        // Tables are synced; what else is in the log is not by this.
        seam::tell(Event::Database { path: self.db.path(), synced: false });
    }
}

/// What was found to be kept by nothing, when it was looked at.
pub(super) struct Garbage {
    marked: Marked,
    trees: Vec<TreeId>,
    /// With the size of their content.
    blobs: Vec<(BlobId, u64)>,
}

impl Garbage {
    pub(super) fn find(store: &Store, plan: &GcPlan, progress: &Progress) -> Result<Self, StoreError> {
        let snapshot = store.snapshot();
        let mut marked = Marked::default();
        marked.add(&snapshot, &Commits::sort(&snapshot, plan)?.kept, progress)?;
        let mut trees = Vec::new();
        snapshot.each_record(Family::Trees, &mut |key, _| {
            let id = TreeId::from_bytes(id_of(Family::Trees, key)?);
            if !marked.trees.contains(&id) {
                trees.push(id);
            }
            step(progress)
        })?;
        let mut blobs = Vec::new();
        snapshot.each_record(Family::Blobs, &mut |key, record| {
            let id = BlobId::from_bytes(id_of(Family::Blobs, key)?);
            if !marked.blobs.contains(&id) {
                let size = match codec::decode_blob_record(record) {
                    Ok(BlobRecord::Whole(content)) => content.len(),
                    // Its chunks count for themselves.
                    Ok(BlobRecord::Chunked(_)) => 0,
                    Err(_) => record.len(),
                };
                blobs.push((id, size as u64));
            }
            step(progress)
        })?;
        Ok(Self { marked, trees, blobs })
    }

    pub(super) fn sweep(
        mut self,
        store: &Store,
        plan: &GcPlan,
        progress: &Progress,
        _nobody_commits: &SweepTurn<'_>,
    ) -> Result<GcReport, StoreError> {
        // It may have waited for long until no commit was under way.
        if progress.is_cancelled() {
            return Err(StoreError::Cancelled);
        }
        let naming = store.naming.lock().unwrap_or_else(PoisonError::into_inner);
        let commits = Commits::sort(store, plan)?;
        self.marked.add(store, &commits.kept, progress)?;
        let Self { marked, mut trees, mut blobs } = self;
        trees.retain(|id| !marked.trees.contains(id));
        blobs.retain(|(id, _)| !marked.blobs.contains(id));
        progress.begin(Phase::Pruning, (trees.len() + blobs.len()) as u64, 0);
        let report = GcReport {
            commits: commits.gone.len() as u64,
            trees: trees.len() as u64,
            blobs: blobs.len() as u64,
            bytes: blobs.iter().map(|(_, size)| size).sum(),
            kept_commits: commits.kept.len() as u64,
        };
        let mut top = stat_records_naming(store, &trees, &blobs)?;
        for id in &commits.gone {
            top.delete_cf(Family::Commits.handle(&store.db), id.as_bytes());
        }
        store.write(Family::Commits, top, Sync::Later)?;
        drop(naming);
        store.remove(Family::Trees, trees.iter().map(TreeId::as_bytes), progress)?;
        store.remove(Family::Blobs, blobs.iter().map(|(id, _)| id.as_bytes()), progress)?;
        Ok(report)
    }
}

impl Store {
    /// Removes records. Not synced: a removal that a crash undoes leaves garbage.
    fn remove<'a>(
        &self,
        family: Family,
        ids: impl Iterator<Item = &'a [u8; 32]>,
        progress: &Progress,
    ) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for id in ids {
            batch.delete_cf(family.handle(&self.db), id);
            progress.advance(1, 0);
            if batch.len() >= BATCH {
                self.write(family, std::mem::take(&mut batch), Sync::Later)?;
            }
        }
        self.write(family, batch, Sync::Later)
    }
}

/// Removes what the stat cache says of directories that vouch for something in these lists; they are read anew by the next commit.
fn stat_records_naming(store: &Store, trees: &[TreeId], blobs: &[(BlobId, u64)]) -> Result<WriteBatch, StoreError> {
    let trees: HashSet<&TreeId> = trees.iter().collect();
    let blobs: HashSet<&BlobId> = blobs.iter().map(|(id, _)| id).collect();
    let mut batch = WriteBatch::default();
    if trees.is_empty() && blobs.is_empty() {
        return Ok(batch);
    }
    store.each_record(Family::StatCache, &mut |key, value| {
        let stays = stat_cache::decode(value).is_ok_and(|record| {
            let tree_stays = record.tree().is_none_or(|tree| !trees.contains(&tree));
            tree_stays && record.files().iter().all(|file| !blobs.contains(&file.id))
        });
        if !stays {
            batch.delete_cf(Family::StatCache.handle(&store.db), key);
        }
        Ok(())
    })?;
    Ok(batch)
}

/// All commits, by whether a plan keeps them.
#[derive(Default)]
struct Commits {
    kept: Vec<(CommitId, TreeId)>,
    gone: Vec<CommitId>,
}

impl Commits {
    fn sort<S: ReadStore>(store: &S, plan: &GcPlan) -> Result<Self, StoreError> {
        let mut heads = BTreeMap::new();
        for (repo, id) in store.heads()? {
            let head = store.commit(&id)?.ok_or_else(|| StoreError::missing(Family::Commits, id.as_bytes()))?;
            heads.insert(repo, head.sequence);
        }
        let mut named = plan.pinned.clone();
        store.each_record(Family::Tags, &mut |key, value| {
            named.insert(decode_commit_id(value).map_err(|error| StoreError::damaged(Family::Tags, key, error))?);
            Ok(())
        })?;
        let mut sorted = Self::default();
        store.each_record(Family::Commits, &mut |key, value| {
            let id = CommitId::from_bytes(id_of(Family::Commits, key)?);
            let commit =
                codec::decode_commit(value).map_err(|error| StoreError::damaged(Family::Commits, key, error))?;
            if named.contains(&id) || plan.keeps(&commit, heads.get(&commit.repo).copied()) {
                sorted.kept.push((id, commit.root.id));
            } else {
                sorted.gone.push(id);
            }
            Ok(())
        })?;
        Ok(sorted)
    }
}

impl GcPlan {
    /// Whether a commit is kept for its place in the history, or its age. A repo's commits are one chain, so that the sequence is the place.
    fn keeps(&self, commit: &Commit, head_sequence: Option<u64>) -> bool {
        let (Some(retention), Some(head)) = (self.repos.get(&commit.repo), head_sequence) else { return true };
        let behind_head = head.saturating_sub(commit.sequence);
        behind_head < retention.keep_commits.max(1) || commit.time >= retention.keep_since
    }
}

/// What kept commits reach.
#[derive(Default)]
struct Marked {
    trees: HashSet<TreeId>,
    blobs: HashSet<BlobId>,
}

impl Marked {
    fn add<S: ReadStore>(
        &mut self,
        store: &S,
        commits: &[(CommitId, TreeId)],
        progress: &Progress,
    ) -> Result<(), StoreError> {
        let mut waiting: Vec<TreeId> = commits.iter().map(|(_, root)| *root).collect();
        while let Some(id) = waiting.pop() {
            if !self.trees.insert(id) {
                continue;
            }
            let tree = store.tree(&id)?.ok_or_else(|| StoreError::missing(Family::Trees, id.as_bytes()))?;
            for (_, entry) in tree.entries() {
                match entry {
                    Entry::File { id, size, .. } => self.add_blob(store, *id, *size)?,
                    Entry::Tree(subtree) => waiting.push(subtree.id),
                    Entry::Symlink(_) => {}
                }
            }
            step(progress)?;
        }
        Ok(())
    }

    fn add_blob<S: ReadStore>(&mut self, store: &S, id: BlobId, size: u64) -> Result<(), StoreError> {
        // Only a large one names others; the rest need not be read. One that is missing names nothing.
        if self.blobs.insert(id)
            && size > MAX_WHOLE_BLOB as u64
            && let Some(StoredBlob::Chunked(list)) = store.blob(&id)?
        {
            self.blobs.extend(list.chunks().iter().map(|chunk| chunk.id));
        }
        Ok(())
    }
}

fn id_of(family: Family, key: &[u8]) -> Result<[u8; 32], StoreError> {
    read::decode_id(key).map_err(|error| StoreError::damaged(family, key, error))
}

fn step(progress: &Progress) -> Result<(), StoreError> {
    progress.advance(1, 0);
    if progress.is_cancelled() { Err(StoreError::Cancelled) } else { Ok(()) }
}
