//! Directories that are in staging no more: what the stat cache knows of them is forgotten.
//!
//! GC alone would not do it. It forgets what names objects that it removes; but the modules of an environment that was deleted often live on
//! in others.

use super::IngestError;
use super::scope::tree;
use super::work::Work;
use crate::values::{Entry, TreeId, TreePath};

/// Forgets the directories of the root `old` that `new` does not have. Trees nest at most 512 deep, which bounds the recursion.
pub(super) fn forget_gone(work: &Work<'_>, old: &TreeId, new: &TreeId) -> Result<(), IngestError> {
    compare(work, &TreePath::root(), old, new)
}

fn compare(work: &Work<'_>, path: &TreePath, old: &TreeId, new: &TreeId) -> Result<(), IngestError> {
    if old == new {
        return Ok(());
    }
    let (old, new) = (tree(work.store, old)?, tree(work.store, new)?);
    for (name, entry) in old.entries() {
        let Entry::Tree(before) = entry else { continue };
        match new.get(name.as_bytes()) {
            Some(Entry::Tree(after)) => compare(work, &path.join(name), &before.id, &after.id)?,
            _ => forget(work, path.join(name), &before.id)?,
        }
    }
    Ok(())
}

fn forget(work: &Work<'_>, path: TreePath, gone: &TreeId) -> Result<(), IngestError> {
    for (name, entry) in tree(work.store, gone)?.entries() {
        if let Entry::Tree(below) = entry {
            forget(work, path.join(name), &below.id)?;
        }
    }
    Ok(work.sink.record(path, None)?)
}
