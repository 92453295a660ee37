//! Trees that hold a wrong file are built anew, in one step each, from blobs that are right.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicU64;

use super::{Farm, FarmError, SharedName, SharedTree};
use crate::progress::Progress;
use crate::values::{BlobId, Entry, TreeId, TreePath};

impl Farm {
    /// Builds every shared tree and generation anew that holds one of `blobs`, whose files must be right by now. Gives how many.
    pub fn rebuild_holders(&self, blobs: &BTreeSet<BlobId>) -> Result<u64, FarmError> {
        let mut holders = Holders { farm: self, blobs, known: HashMap::new() };
        let mut trees = BTreeSet::new();
        for name in self.index.all_built()?.into_keys() {
            if holders.holds(name.tree())? {
                trees.insert(name);
            }
        }
        let mut rebuilt = self.rebuild_trees(&trees)?;
        for (repo, commit, record) in self.index.generations()? {
            let root = self.index.commit(&commit)?.map(|commit| commit.root.id);
            if let Some(root) = root
                && holders.holds(root)?
            {
                self.rebuild_generation(&repo, commit, &record)?;
                rebuilt += 1;
            }
        }
        self.settle()?;
        Ok(rebuilt)
    }

    /// Builds these shared trees anew. Gives how many; those that the index does not know are left out.
    pub fn rebuild_trees(&self, names: &BTreeSet<SharedName>) -> Result<u64, FarmError> {
        let (linked, progress) = (AtomicU64::new(0), Progress::default());
        let mut rebuilt = 0;
        for name in names {
            let Some(links) = self.index.built(name)? else { continue };
            let shared = SharedTree { tree: name.tree(), at: TreePath::root(), links };
            self.build_shared(name, &shared, &linked, &progress)?;
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
