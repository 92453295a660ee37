//! What differs between two trees: files and links by their paths. Equal subtrees are not looked into.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use super::StoreError;
use super::error::Damage;
use super::family::Family;
use super::read::ReadStore;
use crate::values::{Entry, MAX_DEPTH, Name, Totals, Tree, TreeId, TreePath};

/// How a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// It is new.
    Added,
    /// Content, executable bit or target differ, or a file has become a link or the other way round.
    Modified,
    /// It is gone.
    Removed,
}

/// How many files and links differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChangeCounts {
    /// New ones.
    pub added: u64,
    /// Different ones.
    pub modified: u64,
    /// Gone ones.
    pub removed: u64,
}

/// Shows every file and link that differs between the trees `from` (`None`: an empty one) and `to`, ascending by path, name for name.
/// Directories are not shown, only what is in them. `visit` may end it by [`ControlFlow::Break`].
pub fn diff<S: ReadStore + ?Sized>(
    store: &S,
    from: Option<TreeId>,
    to: TreeId,
    visit: &mut dyn FnMut(&TreePath, Change) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    Walk { store, expand: true, visit: &mut |path, _, change| visit(path, change) }.begin(from, to)
}

/// Counts the files and links that differ between the trees `from` (`None`: an empty one) and `to`. A directory that is new or gone is
/// counted by its totals, without a look into it.
pub fn count_changes<S: ReadStore + ?Sized>(
    store: &S,
    from: Option<TreeId>,
    to: TreeId,
) -> Result<ChangeCounts, StoreError> {
    let mut counts = ChangeCounts::default();
    let mut count = |_: &TreePath, entry: &Entry, change| {
        let Totals { files, links, .. } = entry.totals();
        let number = match change {
            Change::Added => &mut counts.added,
            Change::Modified => &mut counts.modified,
            Change::Removed => &mut counts.removed,
        };
        *number = number.saturating_add(files).saturating_add(links);
        ControlFlow::Continue(())
    };
    Walk { store, expand: false, visit: &mut count }.begin(from, to)?;
    Ok(counts)
}

type VisitEntry<'a> = dyn FnMut(&TreePath, &Entry, Change) -> ControlFlow<()> + 'a;

struct Walk<'a, 'v, S: ?Sized> {
    store: &'a S,
    /// Whether a directory that stands on one side only is looked into, or shown as it is.
    expand: bool,
    visit: &'a mut VisitEntry<'v>,
}

/// A walk that goes on, was ended by its visitor, or failed.
type Step = Result<ControlFlow<()>, StoreError>;

impl<S: ReadStore + ?Sized> Walk<'_, '_, S> {
    fn begin(mut self, from: Option<TreeId>, to: TreeId) -> Result<(), StoreError> {
        if from == Some(to) {
            return Ok(());
        }
        self.trees(&TreePath::root(), 1, from, Some(to)).map(drop)
    }

    /// Two trees at one path, of which one may be absent.
    fn trees(&mut self, path: &TreePath, level: usize, from: Option<TreeId>, to: Option<TreeId>) -> Step {
        let (from, to) = (self.load(level, from)?, self.load(level, to)?);
        let (mut old, mut new) = (from.entries().iter().peekable(), to.entries().iter().peekable());
        loop {
            // Both sides ascend by name: the smaller name stands on one side only.
            let order = match (old.peek(), new.peek()) {
                (Some((a, _)), Some((b, _))) => a.cmp(b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Ok(ControlFlow::Continue(())),
            };
            let before = if order == Ordering::Greater { None } else { old.next() };
            let after = if order == Ordering::Less { None } else { new.next() };
            let step = match (before, after) {
                (Some((name, before)), Some((_, after))) => self.both(path, level, name, before, after)?,
                (Some((name, before)), None) => self.one(&path.join(name), level, before, Change::Removed)?,
                (None, Some((name, after))) => self.one(&path.join(name), level, after, Change::Added)?,
                (None, None) => ControlFlow::Continue(()),
            };
            if step.is_break() {
                return Ok(step);
            }
        }
    }

    /// An entry that stands on both sides.
    fn both(&mut self, path: &TreePath, level: usize, name: &Name, before: &Entry, after: &Entry) -> Step {
        match (before, after) {
            _ if before == after => Ok(ControlFlow::Continue(())),
            (Entry::Tree(before), Entry::Tree(after)) => {
                self.trees(&path.join(name), level + 1, Some(before.id), Some(after.id))
            }
            (Entry::Tree(_), _) | (_, Entry::Tree(_)) => {
                let path = path.join(name);
                match self.one(&path, level, before, Change::Removed)? {
                    ControlFlow::Continue(()) => self.one(&path, level, after, Change::Added),
                    ended => Ok(ended),
                }
            }
            _ => Ok((self.visit)(&path.join(name), after, Change::Modified)),
        }
    }

    /// An entry that stands on one side only.
    fn one(&mut self, path: &TreePath, level: usize, entry: &Entry, change: Change) -> Step {
        match entry {
            Entry::Tree(subtree) if self.expand => {
                let id = Some(subtree.id);
                let (from, to) = if change == Change::Removed { (id, None) } else { (None, id) };
                self.trees(path, level + 1, from, to)
            }
            _ => Ok((self.visit)(path, entry, change)),
        }
    }

    fn load(&self, level: usize, id: Option<TreeId>) -> Result<Tree, StoreError> {
        let Some(id) = id else { return Ok(Tree::default()) };
        if level > MAX_DEPTH {
            return Err(StoreError::damaged(Family::Trees, id.as_bytes(), Damage::TooDeep));
        }
        self.store.tree(&id)?.ok_or_else(|| StoreError::missing(Family::Trees, id.as_bytes()))
    }
}
