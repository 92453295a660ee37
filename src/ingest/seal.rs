//! From a directory whose entries are all known to its tree, in the store (`storage-format.md` §3, §6).

use super::IngestError;
use super::work::Work;
use crate::codec::{self, MAX_TREE_BYTES};
use crate::store::{CachedFile, StatRecord};
use crate::values::{Entry, Name, Subtree, Tree, TreeId, TreePath};

/// A directory whose entries are all known.
pub(super) struct Complete<'a> {
    /// Where it lies.
    pub(super) path: &'a TreePath,
    /// Its own device; files of another one are not cached.
    pub(super) device: u64,
    /// Its entries, ascending by name.
    pub(super) entries: Vec<(Name, Entry)>,
    /// What was known of it before.
    pub(super) record: Option<StatRecord>,
    /// Those of its files that may be cached; where absent, those of `record` that are still there.
    pub(super) files: Option<Vec<CachedFile>>,
}

impl Complete<'_> {
    /// Gives the tree to the sink, unless it is known to be stored, and what was learnt, unless it is known.
    pub(super) fn seal(self, work: &Work<'_>) -> Result<Subtree, IngestError> {
        let Self { path, device, entries, record, files } = self;
        let tree = to_tree(path, entries)?;
        let before = record.as_ref().and_then(StatRecord::tree);
        let subtree = store_tree(work, path, &tree, before)?;
        let files = match (files, &record) {
            (Some(files), _) => files,
            (None, Some(record)) => {
                let is_file = |file: &CachedFile| matches!(tree.get(file.name.as_bytes()), Some(Entry::File { .. }));
                if before == Some(subtree.id) && record.files().iter().all(is_file) {
                    return Ok(subtree);
                }
                record.files().iter().filter(|file| is_file(file)).cloned().collect()
            }
            (None, None) => Vec::new(),
        };
        let learnt = StatRecord::new(device, Some(subtree.id), files);
        if record.as_ref() != Some(&learnt) {
            work.sink.record(path.clone(), Some(learnt))?;
        }
        Ok(subtree)
    }
}

/// The tree of these entries, which ascend by name.
pub(super) fn to_tree(path: &TreePath, entries: Vec<(Name, Entry)>) -> Result<Tree, IngestError> {
    Tree::from_sorted(entries).map_err(|source| IngestError::Tree { path: path.clone(), source })
}

/// Gives a tree to the sink, unless it is the one that is known to be stored.
pub(super) fn store_tree(
    work: &Work<'_>,
    path: &TreePath,
    tree: &Tree,
    known: Option<TreeId>,
) -> Result<Subtree, IngestError> {
    let canonical = codec::encode_tree(tree);
    if canonical.len() > MAX_TREE_BYTES {
        return Err(IngestError::TreeTooLarge { path: path.clone(), size: canonical.len() });
    }
    let id = TreeId::of(&canonical);
    if known != Some(id) {
        work.sink.tree(id, canonical)?;
    }
    Ok(Subtree { id, totals: tree.totals() })
}
