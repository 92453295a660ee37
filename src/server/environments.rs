//! The environments of a commit: what design and Puppet call so, read from its tree.

use super::resolve::named_tree;
use crate::store::{ReadStore, StoreError};
use crate::values::{Commit, Entry, Tree, TreeId};

/// The directory that holds a commit's environments; `None` where the commit has none, or its repo is one without.
pub(super) fn directory(source: &impl ReadStore, commit: &Commit) -> Result<Option<TreeId>, StoreError> {
    if commit.environments_dir.is_root() {
        return Ok(None);
    }
    let mut id = commit.root.id;
    for name in commit.environments_dir.names() {
        match named_tree(source, &id)?.get(name.as_bytes()) {
            Some(Entry::Tree(subtree)) => id = subtree.id,
            Some(Entry::File { .. } | Entry::Symlink(_)) | None => return Ok(None),
        }
    }
    Ok(Some(id))
}

/// The environments in that directory: its directories, by name. Links to directories are none of their own.
pub(super) fn in_directory(tree: &Tree) -> impl Iterator<Item = (String, TreeId)> {
    tree.entries().iter().filter_map(|(name, entry)| match entry {
        Entry::Tree(subtree) => Some((name.to_string(), subtree.id)),
        Entry::File { .. } | Entry::Symlink(_) => None,
    })
}
