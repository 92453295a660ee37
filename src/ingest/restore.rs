//! Damaged trees, written anew from directories that staging still has.

use std::collections::BTreeSet;

use super::leave_out::LeaveOut;
use super::look::{names, target};
use super::repair::hash;
use super::work::{last_totals, open_staging};
use super::{IngestError, Repo};
use crate::codec::{MAX_TREE_BYTES, encode_tree};
use crate::disk::{Dir, Kind, stat_of};
use crate::progress::{Phase, Progress};
use crate::store::{CommitGuard, Store};
use crate::values::{Entry, MAX_DEPTH, Name, Subtree, Totals, Tree, TreeId, TreePath};

/// Reads all of staging and stores those of its directories that are `wanted`, in place of what the store has; answers which. What cannot
/// be read, or is no part of any commit, restores nothing and is passed over.
pub fn restore_trees(
    store: &Store,
    repo: &Repo,
    wanted: &BTreeSet<TreeId>,
    progress: &Progress,
) -> Result<BTreeSet<TreeId>, IngestError> {
    let Totals { files, bytes, .. } = last_totals(store, repo);
    progress.begin(Phase::Checking, files, bytes);
    let mut staging = open_staging(repo)?;
    let leave_out = LeaveOut::new(&repo.name, &repo.ignore)?;
    let guard = store.begin_commit(&repo.name);
    let mut walk = Walk { guard: &guard, leave_out, repo, wanted, progress, restored: BTreeSet::new() };
    walk.directory(&mut staging, &TreePath::root())?;
    Ok(walk.restored)
}

struct Walk<'a> {
    guard: &'a CommitGuard<'a>,
    leave_out: LeaveOut,
    repo: &'a Repo,
    wanted: &'a BTreeSet<TreeId>,
    progress: &'a Progress,
    restored: BTreeSet<TreeId>,
}

impl Walk<'_> {
    /// The directory's tree; `None` where it cannot be had, those of its directories being looked at all the same.
    fn directory(&mut self, dir: &mut Dir, path: &TreePath) -> Result<Option<Subtree>, IngestError> {
        if self.progress.is_cancelled() {
            return Err(IngestError::Cancelled);
        }
        let (Ok(listed), true) = (names(&self.leave_out, dir, path), path.depth() < MAX_DEPTH) else { return Ok(None) };
        let (mut entries, mut whole) = (Vec::new(), true);
        for entry in listed {
            let found = match entry.kind {
                Some(Kind::Dir) => match dir.open_dir(&entry.name) {
                    Ok(mut below) => self.directory(&mut below, &path.join(&entry.name))?.map(Entry::Tree),
                    Err(_) => None,
                },
                Some(Kind::File) => self.file(dir, &entry.name),
                Some(Kind::Symlink) => target(dir, path, &entry.name).ok().map(Entry::Symlink),
                _ if self.repo.skip_special => continue,
                _ => None,
            };
            match found {
                Some(found) => entries.push((entry.name, found)),
                None => whole = false,
            }
        }
        if whole { self.store(entries) } else { Ok(None) }
    }

    fn file(&self, dir: &Dir, name: &Name) -> Option<Entry> {
        let mut file = dir.open_file(name).ok()?;
        let stat = stat_of(&file).ok().filter(|stat| stat.kind == Kind::File)?;
        let id = hash(&mut file).ok()?;
        self.progress.advance(1, stat.size);
        Some(Entry::File { id, executable: stat.mode & 0o100 != 0, size: stat.size })
    }

    fn store(&mut self, entries: Vec<(Name, Entry)>) -> Result<Option<Subtree>, IngestError> {
        let Ok(tree) = Tree::from_entries(entries) else { return Ok(None) };
        let canonical = encode_tree(&tree);
        let id = TreeId::of(&canonical);
        if self.wanted.contains(&id) && canonical.len() <= MAX_TREE_BYTES {
            self.guard.replace_trees([(id, canonical)])?;
            self.restored.insert(id);
        }
        Ok(Some(Subtree { id, totals: tree.totals() }))
    }
}
