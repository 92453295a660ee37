//! Trees that hold a wrong file are built anew, in one step each, from blobs that are right.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicU64;

use super::index::Forget;
use super::{BlobKey, BlobRecord, Farm, FarmError, SharedName, SharedTree};
use crate::progress::{Phase, Progress};
use crate::values::{BlobId, Entry, TreeId, TreePath};

impl Farm {
    /// Builds every shared tree and generation anew that holds one of `blobs`, whose files must be right by now. Gives how many. Where `progress`
    /// ends it, the next call of [`Farm::rebuild_replaced`] does the rest.
    pub fn rebuild_holders(&self, blobs: &BTreeSet<BlobId>, progress: &Progress) -> Result<u64, FarmError> {
        progress.begin(Phase::Building, 0, 0);
        let mut holders = Holders { farm: self, blobs, known: HashMap::new() };
        let mut trees = BTreeSet::new();
        for name in self.index.all_built()?.into_keys() {
            if holders.holds(name.tree())? {
                trees.insert(name);
            }
        }
        let mut rebuilt = self.rebuild_trees(&trees, progress)?;
        for (repo, commit, record) in self.index.generations()? {
            let root = self.index.commit(&commit)?.map(|commit| commit.root.id);
            if let Some(root) = root
                && holders.holds(root)?
            {
                self.rebuild_generation(&repo, commit, &record, progress)?;
                rebuilt += 1;
            }
        }
        self.settle()?;
        self.index.forget(&Forget { replaced: blobs.iter().copied().collect(), ..Forget::default() })?;
        Ok(rebuilt)
    }

    /// Builds everything anew that may hold a file which a blob had before it was replaced, in this run or the last. Gives how many.
    pub fn rebuild_replaced(&self, progress: &Progress) -> Result<u64, FarmError> {
        let mut blobs = self.index.replaced()?;
        blobs.extend(&self.pending.lock().expect("no holder of this lock panics").replaced);
        if blobs.is_empty() { Ok(0) } else { self.rebuild_holders(&blobs, progress) }
    }

    /// At a start: what was cut short while blob files were replaced. `renewed` are files that are not those of their records.
    ///
    /// No failure but a stop is one of the start: what is live stays live, and fsck tells the rest.
    pub(super) fn finish_healing(&self, renewed: &[BlobKey], progress: &Progress) -> Result<(), FarmError> {
        for key in renewed {
            // A file that was put in place is whole. Anything else was done by others, and counts as damaged.
            if self.hash_blob(*key)? == Some(key.id) {
                self.take_over(*key)?;
            }
        }
        self.settle()?;
        match self.rebuild_replaced(progress) {
            Err(FarmError::Cancelled) => return Err(FarmError::Cancelled),
            Ok(0) => {}
            Ok(rebuilt) => tracing::info!(rebuilt, "what was being healed when the last run ended is healed now"),
            Err(error) => tracing::error!(%error, "what was being healed when the last run ended is not; run fsck"),
        }
        Ok(())
    }

    /// Takes a file for the blob's, whose bytes it has. The one before may be in trees, and good or not.
    fn take_over(&self, key: BlobKey) -> Result<(), FarmError> {
        self.reset_blob(key)?;
        let stat = self.blob_dir(key)?.stat(key.file_name().as_str())?;
        let before = self.blob_record(key)?.map_or_else(Vec::new, |record| record.inodes);
        let inodes = before.into_iter().filter(|inode| *inode != stat.inode).chain([stat.inode]).collect();
        let mut pending = self.pending.lock().expect("no holder of this lock panics");
        pending.replaced.insert(key.id);
        pending.blobs.insert(key, BlobRecord { size: stat.size, inodes });
        Ok(())
    }

    /// Builds these shared trees anew. Gives how many; those that the index does not know are left out.
    pub fn rebuild_trees(&self, names: &BTreeSet<SharedName>, progress: &Progress) -> Result<u64, FarmError> {
        let (linked, mut rebuilt) = (AtomicU64::new(0), 0);
        for name in names {
            let Some(links) = self.index.built(name)? else { continue };
            let shared = SharedTree { tree: name.tree(), at: TreePath::root(), links };
            self.build_shared(name, &shared, &linked, progress)?;
            rebuilt += 1;
        }
        self.settle()?;
        Ok(rebuilt)
    }
}

/// Which trees hold one of some blobs, at any depth; each tree is looked at once.
struct Holders<'a> {
    farm: &'a Farm,
    blobs: &'a BTreeSet<BlobId>,
    known: HashMap<TreeId, bool>,
}

impl Holders<'_> {
    fn holds(&mut self, id: TreeId) -> Result<bool, FarmError> {
        if let Some(known) = self.known.get(&id) {
            return Ok(*known);
        }
        let mut holds = false;
        for (_, entry) in self.farm.tree(&id)?.entries() {
            holds |= match entry {
                Entry::File { id, .. } => self.blobs.contains(id),
                Entry::Tree(subtree) => self.holds(subtree.id)?,
                Entry::Symlink(_) => false,
            };
        }
        self.known.insert(id, holds);
        Ok(holds)
    }
}
