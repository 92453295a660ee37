//! Where symbolic links lead, step by step as the kernel goes, over the tree of a commit (`storage-format.md` §8).
//!
//! The kernel resolves `..` from where a directory really lies. A shared directory lies under `trees/`, so one that a link leaves by
//! `..` must not be shared: it stays in place, in its parent, and every link leads where it leads in staging.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

use super::{FarmError, SharedDirs};
use crate::values::{Entry, MAX_DEPTH, Name, Target, Tree, TreeId, TreePath};

/// The kernel follows this many links in one resolution (Linux: `MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Trees by id, each read once.
pub(super) struct Trees<'a> {
    read: &'a dyn Fn(&TreeId) -> Result<Tree, FarmError>,
    known: RefCell<HashMap<TreeId, Rc<Tree>>>,
}

impl<'a> Trees<'a> {
    pub(super) fn new(read: &'a dyn Fn(&TreeId) -> Result<Tree, FarmError>) -> Self {
        Self { read, known: RefCell::default() }
    }

    pub(super) fn get(&self, id: &TreeId) -> Result<Rc<Tree>, FarmError> {
        if let Some(tree) = self.known.borrow().get(id) {
            return Ok(Rc::clone(tree));
        }
        let tree = Rc::new((self.read)(id)?);
        self.known.borrow_mut().insert(*id, Rc::clone(&tree));
        Ok(tree)
    }
}

/// A directory, as the way to it from the root: each step's name and tree.
#[derive(Clone)]
struct Place {
    root: Rc<Tree>,
    steps: Vec<(Name, Rc<Tree>)>,
}

impl Place {
    fn tree(&self) -> &Tree {
        self.steps.last().map_or(&*self.root, |(_, tree)| tree)
    }

    fn path(&self) -> TreePath {
        let mut path = TreePath::root();
        self.steps.iter().for_each(|(name, _)| path.push(name));
        path
    }
}

/// The directories that match `shared`, and that some link leaves by `..`.
pub(super) fn kept_in_place(
    trees: &Trees<'_>,
    root: TreeId,
    shared: &SharedDirs,
) -> Result<BTreeSet<TreePath>, FarmError> {
    let mut left = BTreeSet::new();
    let mut place = Place { root: trees.get(&root)?, steps: Vec::new() };
    visit(trees, &mut place, &mut |link_dir, target| {
        let mut way = Vec::new();
        let outcome = resolve(trees, link_dir, target, &mut way)?;
        if !matches!(outcome, Resolved::OutsideRoot) {
            left.extend(way.into_iter().filter(|path| shared.matches(path)));
        }
        Ok(())
    })?;
    Ok(left)
}

/// The directory that the link `target`, standing in the directory at `dir`, leads to inside the tree; `None` where it leads to
/// something else, or nowhere.
pub(super) fn directory_behind(
    trees: &Trees<'_>,
    root: TreeId,
    dir: &TreePath,
    target: &Target,
) -> Result<Option<TreePath>, FarmError> {
    let mut place = Place { root: trees.get(&root)?, steps: Vec::new() };
    for name in dir.names() {
        match place.tree().get(name.as_bytes()) {
            Some(Entry::Tree(subtree)) => {
                let tree = trees.get(&subtree.id)?;
                place.steps.push((name, tree));
            }
            _ => return Ok(None),
        }
    }
    match resolve(trees, &place, target, &mut Vec::new())? {
        Resolved::Directory(path) => Ok(Some(path)),
        _ => Ok(None),
    }
}

/// Calls `see` for each symbolic link, with its directory. Subtrees without links are not looked at.
fn visit(
    trees: &Trees<'_>,
    place: &mut Place,
    see: &mut dyn FnMut(&Place, &Target) -> Result<(), FarmError>,
) -> Result<(), FarmError> {
    let tree = place.steps.last().map_or_else(|| Rc::clone(&place.root), |(_, tree)| Rc::clone(tree));
    for (name, entry) in tree.entries() {
        match entry {
            Entry::Symlink(target) => see(place, target)?,
            Entry::Tree(subtree) if subtree.totals.links > 0 => {
                if place.steps.len() >= MAX_DEPTH {
                    return Err(FarmError::TooDeep(subtree.id));
                }
                place.steps.push((name.clone(), trees.get(&subtree.id)?));
                visit(trees, place, see)?;
                place.steps.pop();
            }
            _ => {}
        }
    }
    Ok(())
}

enum Resolved {
    Directory(TreePath),
    /// A file, an absolute link, nothing, or a circle.
    Other,
    OutsideRoot,
}

/// Goes where the kernel would go, and notes in `left` each directory that a `..` was taken from.
fn resolve(trees: &Trees<'_>, from: &Place, target: &Target, left: &mut Vec<TreePath>) -> Result<Resolved, FarmError> {
    if target.is_absolute() {
        return Ok(Resolved::Other);
    }
    let mut place = from.clone();
    let mut ahead: VecDeque<Vec<u8>> = steps_of(target).collect();
    let mut links = 1;
    while let Some(step) = ahead.pop_front() {
        if step == b".." {
            if place.steps.is_empty() {
                return Ok(Resolved::OutsideRoot);
            }
            left.push(place.path());
            place.steps.pop();
            continue;
        }
        let entry = place.tree().get(&step).cloned();
        match entry {
            Some(Entry::Tree(subtree)) => {
                let name = Name::new(&step).expect("the step is the name of an entry");
                let tree = trees.get(&subtree.id)?;
                place.steps.push((name, tree));
            }
            Some(Entry::Symlink(next)) => {
                links += 1;
                if next.is_absolute() || links > MAX_LINKS {
                    return Ok(Resolved::Other);
                }
                let further: Vec<Vec<u8>> = steps_of(&next).collect();
                further.into_iter().rev().for_each(|step| ahead.push_front(step));
            }
            Some(Entry::File { .. }) | None => return Ok(Resolved::Other),
        }
    }
    Ok(Resolved::Directory(place.path()))
}

fn steps_of(target: &Target) -> impl Iterator<Item = Vec<u8>> + '_ {
    let steps = target.as_bytes().split(|byte| *byte == b'/');
    steps.filter(|step| !step.is_empty() && *step != b".").map(<[u8]>::to_vec)
}
