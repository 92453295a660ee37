//! How the links inside one piece are written: a shared tree, or a generation's root (`storage-format.md` §8).

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{Plan, SharedName};
use crate::values::{Name, Target, TreePath};

/// What is written otherwise in one piece than its tree says.
pub struct Shape<'a> {
    /// Directories that are links to shared trees.
    shared: BTreeMap<&'a TreePath, &'a SharedName>,
    /// Links of the commit that are written otherwise than they are recorded.
    rewritten: Option<&'a BTreeMap<TreePath, PathBuf>>,
    /// For a generation's root, whose links to shared trees are absolute: the path of `trees/`.
    absolute: Option<PathBuf>,
}

impl<'a> Shape<'a> {
    /// That of a shared tree with these links to others inside.
    pub fn shared(links: &'a [(TreePath, SharedName)]) -> Self {
        Self { shared: links.iter().map(|(path, name)| (path, name)).collect(), rewritten: None, absolute: None }
    }

    /// That of the root of a generation, in the data directory at `data`.
    pub fn root(plan: &'a Plan, data: &Path) -> Self {
        Self {
            shared: plan.links.iter().map(|(path, name)| (path, name)).collect(),
            rewritten: Some(&plan.environment_links),
            absolute: Some(data.join("trees")),
        }
    }

    /// The text of the link to a shared tree at `path`, where one stands for the directory.
    pub(super) fn shared_link(&self, path: &TreePath) -> Option<Vec<u8>> {
        let name = self.shared.get(path)?;
        Some(match &self.absolute {
            Some(trees) => trees.join(name.as_str()).as_os_str().as_bytes().to_vec(),
            None => ["../".repeat(path.depth()).as_bytes(), name.as_str().as_bytes()].concat(),
        })
    }

    /// The text of the commit's link `name` in the directory at `dir`.
    pub(super) fn link_text<'b>(&'b self, dir: &TreePath, name: &Name, target: &'b Target) -> &'b [u8] {
        let rewritten = self.rewritten.filter(|all| !all.is_empty()).and_then(|all| all.get(&dir.join(name)));
        rewritten.map_or(target.as_bytes(), |path| path.as_os_str().as_bytes())
    }
}
