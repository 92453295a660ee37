//! What a commit needs that is not here: first tree objects, then, once it can be planned, blobs.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rayon::prelude::*;

use super::{BlobKey, Farm, FarmError, Plan, SharedName};
use crate::values::{BlobId, CommitId, Entry, MAX_DEPTH, Subtree, TreeId, TreePath};

/// A tree object that is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingTree {
    /// A place in the commit that has it.
    pub at: TreePath,
    /// What its directory's entry says of it.
    pub subtree: Subtree,
}

/// A blob file that is not here, or not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingBlob {
    /// A place in the commit that has it.
    pub at: TreePath,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it is needed plain (`false`), executable (`true`), or both.
    pub executable: BTreeSet<bool>,
    /// Whether it is known, and was found changed or gone: trees that hold it hold something wrong.
    pub damaged: bool,
}

impl Farm {
    /// The tree objects of `commit` that are not here, as far as the trees that are here name them. `base` is a commit that is here whole:
    /// what it has at the same place is not looked at.
    pub fn missing_trees(&self, commit: &CommitId, base: Option<&CommitId>) -> Result<Vec<MissingTree>, FarmError> {
        let root = self.index.commit(commit)?.ok_or(FarmError::CommitMissing(*commit))?.root;
        let base = match base {
            Some(base) => self.index.commit(base)?.map(|commit| commit.root.id),
            None => None,
        };
        let mut found = BTreeMap::new();
        self.look_for_trees(&TreePath::root(), root, base, &mut HashSet::new(), &mut found)?;
        Ok(found.into_values().collect())
    }

    fn look_for_trees(
        &self,
        at: &TreePath,
        subtree: Subtree,
        base: Option<TreeId>,
        seen: &mut HashSet<TreeId>,
        found: &mut BTreeMap<TreeId, MissingTree>,
    ) -> Result<(), FarmError> {
        if base == Some(subtree.id) || !seen.insert(subtree.id) {
            return Ok(());
        }
        if at.depth() >= MAX_DEPTH {
            return Err(FarmError::TooDeep(subtree.id));
        }
        let Some(tree) = self.index.tree(&subtree.id)? else {
            found.insert(subtree.id, MissingTree { at: at.clone(), subtree });
            return Ok(());
        };
        let base = match base {
            Some(base) => self.index.tree(&base)?,
            None => None,
        };
        for (name, entry) in tree.entries() {
            let Entry::Tree(child) = entry else { continue };
            let counterpart = match base.as_ref().and_then(|base| base.get(name.as_bytes())) {
                Some(Entry::Tree(counterpart)) => Some(counterpart.id),
                _ => None,
            };
            self.look_for_trees(&at.join(name), *child, counterpart, seen, found)?;
        }
        Ok(())
    }

    /// The blobs that building `plan` needs and that are not here as they should be.
    pub fn missing_blobs(&self, plan: &Plan) -> Result<BTreeMap<BlobId, MissingBlob>, FarmError> {
        let mut needed: BTreeMap<BlobKey, (TreePath, u64)> = BTreeMap::new();
        let mut seen = HashSet::new();
        for shared in plan.missing.values() {
            let links: BTreeMap<_, _> = shared.links.iter().map(|(path, name)| (path, name)).collect();
            self.need_blobs(&shared.at, &TreePath::root(), shared.tree, &links, &mut seen, &mut needed)?;
        }
        let links: BTreeMap<_, _> = plan.links.iter().map(|(path, name)| (path, name)).collect();
        self.need_blobs(&TreePath::root(), &TreePath::root(), plan.root, &links, &mut HashSet::new(), &mut needed)?;
        let lacking: Vec<(BlobKey, TreePath, u64, bool)> = needed
            .into_par_iter()
            .map(|(key, (at, size))| {
                Ok(match self.blob_is_good(key)? {
                    true => None,
                    false => Some((key, at, size, self.blob_record(key)?.is_some())),
                })
            })
            .filter_map(Result::transpose)
            .collect::<Result<_, FarmError>>()?;
        let mut missing: BTreeMap<BlobId, MissingBlob> = BTreeMap::new();
        for (key, at, size, damaged) in lacking {
            let entry = missing.entry(key.id);
            let blob = entry.or_insert(MissingBlob { at, size, executable: BTreeSet::new(), damaged: false });
            blob.executable.insert(key.executable);
            blob.damaged |= damaged;
        }
        Ok(missing)
    }

    /// Collects the blobs of one piece, not those of the shared trees that it links to. A tree seen before at a place without links inside
    /// needs nothing new.
    fn need_blobs(
        &self,
        at: &TreePath,
        here: &TreePath,
        id: TreeId,
        links: &BTreeMap<&TreePath, &SharedName>,
        seen: &mut HashSet<TreeId>,
        needed: &mut BTreeMap<BlobKey, (TreePath, u64)>,
    ) -> Result<(), FarmError> {
        let holds_links = links.keys().any(|link| link.below(here).is_some());
        if !holds_links && !seen.insert(id) {
            return Ok(());
        }
        for (name, entry) in self.tree(&id)?.entries() {
            match entry {
                Entry::File { id, executable, size } if *size > 0 => {
                    let key = BlobKey { id: *id, executable: *executable };
                    needed.entry(key).or_insert_with(|| (at.join(name), *size));
                }
                Entry::Tree(subtree) if !links.contains_key(&here.join(name)) => {
                    self.need_blobs(&at.join(name), &here.join(name), subtree.id, links, seen, needed)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
