//! Where symbolic links lead, step by step as the kernel goes, over the tree of a commit (`storage-format.md` §8).
//!
//! The kernel resolves `..` from where a directory really lies. A shared directory lies under `trees/`, so one that a link leaves by
//! `..` must not be shared: it stays in place, in its parent, and every link leads where it leads in staging.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

use super::{FarmError, SharedDirs};
use crate::values::{BlobId, Entry, MAX_DEPTH, Name, Target, Tree, TreeId, TreePath};

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
pub(super) struct Place {
    root: Located,
    steps: Vec<(Name, Located)>,
}

/// A tree and its id.
#[derive(Clone)]
struct Located {
    id: TreeId,
    tree: Rc<Tree>,
}

impl Place {
    /// The root of a commit.
    pub(super) fn root(trees: &Trees<'_>, id: TreeId) -> Result<Self, FarmError> {
        Ok(Self { root: Located { id, tree: trees.get(&id)? }, steps: Vec::new() })
    }

    /// Goes one directory down, to the one of this name and id.
    pub(super) fn enter(&mut self, trees: &Trees<'_>, name: &Name, id: TreeId) -> Result<(), FarmError> {
        let tree = trees.get(&id)?;
        self.steps.push((name.clone(), Located { id, tree }));
        Ok(())
    }

    fn here(&self) -> &Located {
        self.steps.last().map_or(&self.root, |(_, located)| located)
    }

    /// The id of the directory's tree.
    pub(super) fn id(&self) -> TreeId {
        self.here().id
    }

    /// The directory's tree.
    pub(super) fn tree(&self) -> &Rc<Tree> {
        &self.here().tree
    }

    /// How many directories lie between this one and the root.
    pub(super) fn depth(&self) -> usize {
        self.steps.len()
    }

    /// The directory that lies below `base` as this one lies below the directory `depth` steps from its root.
    pub(super) fn moved(&self, depth: usize, base: &Place) -> Self {
        let mut moved = base.clone();
        moved.steps.extend_from_slice(&self.steps[depth..]);
        moved
    }

    /// The directory's path from the root.
    pub(super) fn path(&self) -> TreePath {
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
    visit(trees, &mut Place::root(trees, root)?, &mut |link_dir, target| {
        let mut way = Vec::new();
        let outcome = follow(trees, link_dir, target, &mut way)?;
        if !matches!(outcome, Behind::OutsideRoot) {
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
    let mut place = Place::root(trees, root)?;
    for name in dir.names() {
        let Some(Entry::Tree(subtree)) = place.tree().get(name.as_bytes()).cloned() else { return Ok(None) };
        place.enter(trees, &name, subtree.id)?;
    }
    match resolve(trees, &place, target)? {
        Behind::Directory(place) => Ok(Some(place.path())),
        _ => Ok(None),
    }
}

/// Calls `see` for each symbolic link at and below `place`, with its directory. Subtrees without links are not looked at.
pub(super) fn visit(
    trees: &Trees<'_>,
    place: &mut Place,
    see: &mut dyn FnMut(&Place, &Target) -> Result<(), FarmError>,
) -> Result<(), FarmError> {
    let tree = Rc::clone(place.tree());
    for (name, entry) in tree.entries() {
        match entry {
            Entry::Symlink(target) => see(place, target)?,
            Entry::Tree(subtree) if subtree.totals.links > 0 => {
                if place.depth() >= MAX_DEPTH {
                    return Err(FarmError::TooDeep(subtree.id));
                }
                place.enter(trees, name, subtree.id)?;
                visit(trees, place, see)?;
                place.steps.pop();
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a link leads to in the end.
pub(super) enum Behind {
    Directory(Place),
    File(BlobId, bool),
    /// Nothing, something below a file, or a circle.
    Nowhere,
    /// To an absolute link: what is there is not the commit's to say.
    Absolute,
    /// Out of the root: likewise.
    OutsideRoot,
}

/// What a link with this target, standing in the directory `from`, leads to.
pub(super) fn resolve(trees: &Trees<'_>, from: &Place, target: &Target) -> Result<Behind, FarmError> {
    follow(trees, from, target, &mut Vec::new())
}

/// Goes where the kernel would go, and notes in `left` each directory that a `..` was taken from.
fn follow(trees: &Trees<'_>, from: &Place, target: &Target, left: &mut Vec<TreePath>) -> Result<Behind, FarmError> {
    if target.is_absolute() {
        return Ok(Behind::Absolute);
    }
    let mut place = from.clone();
    let mut ahead: VecDeque<Vec<u8>> = target.steps().map(<[u8]>::to_vec).collect();
    let mut links = 1;
    while let Some(step) = ahead.pop_front() {
        match step.as_slice() {
            b"." => continue,
            b".." if place.steps.is_empty() => return Ok(Behind::OutsideRoot),
            b".." => {
                left.push(place.path());
                place.steps.pop();
                continue;
            }
            _ => {}
        }
        let entry = place.tree().get(&step).cloned();
        match entry {
            Some(Entry::Tree(subtree)) => {
                let name = Name::new(&step).expect("the step is the name of an entry");
                place.enter(trees, &name, subtree.id)?;
            }
            Some(Entry::Symlink(next)) => {
                links += 1;
                if links > MAX_LINKS {
                    return Ok(Behind::Nowhere);
                }
                if next.is_absolute() {
                    return Ok(Behind::Absolute);
                }
                next.steps().rev().for_each(|step| ahead.push_front(step.to_vec()));
            }
            // A step from a file leads nowhere, even one that stays.
            Some(Entry::File { id, executable, .. }) if ahead.is_empty() => return Ok(Behind::File(id, executable)),
            Some(Entry::File { .. }) | None => return Ok(Behind::Nowhere),
        }
    }
    Ok(Behind::Directory(place))
}
