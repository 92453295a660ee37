//! Where a path leads in an environment's tree when its symbolic links are followed, as far as they stay in it.

use std::collections::VecDeque;

use super::resolve::named_tree;
use crate::http::Refusal;
use crate::store::{Store, StoreError};
use crate::values::{Entry, Name, Tree, TreeId, TreePath};

/// The kernel follows this many links in one resolution.
const MAX_LINKS: usize = 40;

/// What a path leads to.
pub(super) enum Led {
    /// A file, at this path without links on its way.
    File(TreePath),
    /// A directory, likewise, and its tree.
    Directory(TreePath, TreeId),
    /// Nothing, or a circle.
    Nowhere,
    /// What a link out of the tree leads to: that is not the tree's to say.
    Outside,
}

/// What `path` leads to in the tree `root`.
pub(super) fn follow(store: &Store, root: TreeId, path: &TreePath) -> Result<Led, StoreError> {
    let root = (root, named_tree(store, &root)?);
    let mut way: Vec<(Name, (TreeId, Tree))> = Vec::new();
    let mut ahead: VecDeque<Vec<u8>> = path.names().map(|name| name.as_bytes().to_vec()).collect();
    let mut links = 0;
    while let Some(step) = ahead.pop_front() {
        match step.as_slice() {
            b"." => continue,
            b".." if way.pop().is_none() => return Ok(Led::Outside),
            b".." => continue,
            _ => {}
        }
        let (_, here) = way.last().map_or(&root, |(_, tree)| tree);
        let (Ok(name), Some(entry)) = (Name::new(&step), here.get(&step).cloned()) else { return Ok(Led::Nowhere) };
        match entry {
            Entry::Tree(subtree) => way.push((name, (subtree.id, named_tree(store, &subtree.id)?))),
            Entry::File { .. } if ahead.is_empty() => return Ok(Led::File(path_of(&way).join(&name))),
            Entry::File { .. } => return Ok(Led::Nowhere),
            Entry::Symlink(target) => {
                links += 1;
                if links > MAX_LINKS {
                    return Ok(Led::Nowhere);
                }
                if target.is_absolute() {
                    return Ok(Led::Outside);
                }
                target.steps().rev().for_each(|step| ahead.push_front(step.to_vec()));
            }
        }
    }
    let (id, _) = way.last().map_or(&root, |(_, tree)| tree);
    Ok(Led::Directory(path_of(&way), *id))
}

/// The path, without links on its way, of what `path` leads to in the tree `root`, or 404.
pub(super) fn real_path(store: &Store, root: TreeId, path: &TreePath) -> Result<TreePath, Refusal> {
    let refuse = |why: &str| Err(Refusal::not_found(format!("{path} {why}")).about([path.to_string()]));
    match follow(store, root, path)? {
        Led::File(path) | Led::Directory(path, _) => Ok(path),
        Led::Nowhere => refuse("leads to nothing"),
        Led::Outside => refuse(
            "leads out of the environment by a symbolic link; its content belongs to no version of the environment",
        ),
    }
}

fn path_of(way: &[(Name, (TreeId, Tree))]) -> TreePath {
    way.iter().fold(TreePath::root(), |path, (name, _)| path.join(name))
}
