//! What a new root changes against the head's: how much, and which directories are gone.

use super::IngestError;
use super::scope::tree;
use crate::store::Store;
use crate::values::{Entry, Name, Totals, Tree, TreeId, TreePath};
use crate::wire::api::Changes;

/// What a new root changes.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// How many files and links.
    pub(super) counts: Changes,
    /// Directories of the head that are no more, at any depth.
    pub(super) gone: Vec<TreePath>,
}

/// Compares two roots; equal subtrees are not looked at.
pub(super) fn between(store: &Store, old: &TreeId, new: &TreeId) -> Result<Changed, IngestError> {
    let mut comparison = Comparison { store, changed: Changed::default() };
    comparison.trees(&TreePath::root(), old, new)?;
    Ok(comparison.changed)
}

/// What a first commit changes.
pub(super) fn from_nothing(totals: Totals) -> Changed {
    let counts = Changes { added: entries(totals), ..Changes::default() };
    Changed { counts, gone: Vec::new() }
}

/// Files and links; a sum beyond 64 bits cannot be stored.
fn entries(totals: Totals) -> u64 {
    totals.files.saturating_add(totals.links)
}

struct Comparison<'a> {
    store: &'a Store,
    changed: Changed,
}

impl Comparison<'_> {
    /// Compares two trees that stand at the same path. Trees nest at most 512 deep, which bounds the recursion.
    fn trees(&mut self, path: &TreePath, old: &TreeId, new: &TreeId) -> Result<(), IngestError> {
        if old == new {
            return Ok(());
        }
        let (old, new) = (tree(self.store, old)?, tree(self.store, new)?);
        for (name, before, after) in pairs(&old, &new) {
            match (before, after) {
                (Some(Entry::Tree(before)), Some(Entry::Tree(after))) => {
                    self.trees(&path.join(name), &before.id, &after.id)?;
                }
                (Some(before), Some(after)) if before == after => {}
                (Some(Entry::File { .. } | Entry::Symlink(_)), Some(Entry::File { .. } | Entry::Symlink(_))) => {
                    self.changed.counts.modified += 1;
                }
                (before, after) => {
                    if let Some(before) = before {
                        self.changed.counts.removed += entries(before.totals());
                        self.forget(path, name, before)?;
                    }
                    self.changed.counts.added += after.map_or(0, |after| entries(after.totals()));
                }
            }
        }
        Ok(())
    }

    fn forget(&mut self, parent: &TreePath, name: &Name, entry: &Entry) -> Result<(), IngestError> {
        let Entry::Tree(subtree) = entry else { return Ok(()) };
        let path = parent.join(name);
        for (name, entry) in tree(self.store, &subtree.id)?.entries() {
            self.forget(&path, name, entry)?;
        }
        self.changed.gone.push(path);
        Ok(())
    }
}

/// The names of both trees, ascending, with what each has under them.
fn pairs<'a>(old: &'a Tree, new: &'a Tree) -> impl Iterator<Item = (&'a Name, Option<&'a Entry>, Option<&'a Entry>)> {
    let (mut old, mut new) = (old.entries().iter().peekable(), new.entries().iter().peekable());
    std::iter::from_fn(move || {
        let next = match (old.peek(), new.peek()) {
            (Some(before), Some(after)) => before.0.cmp(&after.0),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return None,
        };
        let before = if next.is_le() { old.next() } else { None };
        let after = if next.is_ge() { new.next() } else { None };
        let (name, _) = before.or(after)?;
        Some((name, before.map(|(_, entry)| entry), after.map(|(_, entry)| entry)))
    })
}
