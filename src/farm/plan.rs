//! From a commit to what must stand on disk for it: values only, no writes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::layout::{environments_link, root_path, shared_path};
use super::links::{Trees, directory_behind, kept_in_place};
use super::{Farm, FarmError, GenerationRecord, SharedDirs, SharedName};
use crate::values::{Commit, CommitId, Entry, MAX_DEPTH, Name, RepoName, Tree, TreeId, TreePath};

/// A directory that is built once per content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedTree {
    /// The content.
    pub tree: TreeId,
    /// A place in the commit that has it.
    pub at: TreePath,
    /// Links to other shared trees inside, ascending by path.
    pub links: Vec<(TreePath, SharedName)>,
}

/// What must stand on disk for one commit.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The repo.
    pub repo: RepoName,
    /// The commit.
    pub commit: CommitId,
    /// The root's content.
    pub root: TreeId,
    /// The patterns by which it is laid out.
    pub shared_dirs: SharedDirs,
    /// [`SharedDirs::rules`] of this layout.
    pub rules: [u8; 32],
    /// Links of the root to shared trees, ascending by path.
    pub links: Vec<(TreePath, SharedName)>,
    /// Environments that are symbolic links to a directory of the commit: where that directory will really lie.
    pub environment_links: BTreeMap<TreePath, PathBuf>,
    /// The shared trees that are not built yet. Those that they link to are built already, or are here too.
    pub missing: BTreeMap<SharedName, SharedTree>,
    /// The environments that are directories or lead to one, with their trees.
    pub environments: Vec<(Name, TreeId)>,
    /// The text of the generation's link to its environments; `None` where it has none.
    pub environments_link: Option<Vec<u8>>,
}

/// What a plan is made over.
pub struct Ground<'a> {
    /// The tree objects.
    pub tree: &'a dyn Fn(&TreeId) -> Result<Tree, FarmError>,
    /// Whether a shared tree is built already.
    pub is_built: &'a dyn Fn(&SharedName) -> Result<bool, FarmError>,
    /// Where the data directory lies.
    pub path: &'a Path,
}

impl Farm {
    /// Plans `commit`, whose tree objects are all here. `before` is the generation that it will most resemble: what did not change
    /// since is not looked at again.
    pub fn plan(
        &self,
        id: CommitId,
        commit: &Commit,
        shared: &SharedDirs,
        before: Option<&GenerationRecord>,
    ) -> Result<Plan, FarmError> {
        let tree = |id: &TreeId| self.tree(id);
        let is_built = |name: &SharedName| Ok(self.built(name)?.is_some());
        Plan::new(&Ground { tree: &tree, is_built: &is_built, path: &self.data.path }, id, commit, shared, before)
    }
}

impl Plan {
    /// [`Farm::plan`], for whoever has no open farm.
    pub fn new(
        ground: &Ground<'_>,
        id: CommitId,
        commit: &Commit,
        shared: &SharedDirs,
        before: Option<&GenerationRecord>,
    ) -> Result<Self, FarmError> {
        let trees = Trees::new(ground.tree);
        let in_place = kept_in_place(&trees, commit.root.id, shared)?;
        let rules = shared.rules(&in_place);
        let before = before.filter(|record| record.rules == rules);
        let known = before.map(|record| record.shared.iter().map(|(path, name)| (path, name)).collect());
        let planner =
            Planner { ground, trees, shared, in_place, known: known.unwrap_or_default(), missing: RefCell::default() };
        let links = planner.links_below(&TreePath::root(), commit.root.id, &TreePath::root())?;
        let final_root = root_path(ground.path, &commit.repo, &id);
        let (environments, environment_links) = planner.environments(commit, &links, &final_root)?;
        let missing = planner.missing.into_inner();
        let repo = commit.repo.clone();
        let shared_dirs = shared.clone();
        Ok(Self {
            repo,
            commit: id,
            root: commit.root.id,
            shared_dirs,
            rules,
            links,
            environment_links,
            missing,
            environments,
            environments_link: environments_link(&commit.environments_dir),
        })
    }
}

struct Planner<'a> {
    ground: &'a Ground<'a>,
    trees: Trees<'a>,
    shared: &'a SharedDirs,
    in_place: BTreeSet<TreePath>,
    /// Where the generation before had which shared tree.
    known: BTreeMap<&'a TreePath, &'a SharedName>,
    missing: RefCell<BTreeMap<SharedName, SharedTree>>,
}

/// Environments with their trees, and those that are links with where they lead.
type Environments = (Vec<(Name, TreeId)>, BTreeMap<TreePath, PathBuf>);

impl Planner<'_> {
    /// The links to shared trees in the directory at `path`, by their path from `base`, which is built in one piece.
    fn links_below(
        &self,
        path: &TreePath,
        tree: TreeId,
        base: &TreePath,
    ) -> Result<Vec<(TreePath, SharedName)>, FarmError> {
        let mut links = Vec::new();
        if !self.shared.may_match_below(path) {
            return Ok(links);
        }
        if path.depth() >= MAX_DEPTH {
            return Err(FarmError::TooDeep(tree));
        }
        for (name, entry) in self.trees.get(&tree)?.entries() {
            let Entry::Tree(subtree) = entry else { continue };
            let child = path.join(name);
            if self.shared.matches(&child) && !self.in_place.contains(&child) {
                let inside = child.below(base).expect("the child lies below its base");
                links.push((inside, self.shared_tree(&child, subtree.id)?));
            } else {
                links.extend(self.links_below(&child, subtree.id, base)?);
            }
        }
        // A directory's entries ascend by name, which is not quite the order of whole paths.
        links.sort();
        Ok(links)
    }

    /// The name of the shared tree for the directory at `path`; notes it where it must be built.
    fn shared_tree(&self, path: &TreePath, tree: TreeId) -> Result<SharedName, FarmError> {
        if let Some(name) = self.known.get(path).filter(|name| name.tree() == tree) {
            return Ok((*name).clone());
        }
        let links = self.links_below(path, tree, path)?;
        let name = SharedName::new(&tree, &links);
        if !(self.ground.is_built)(&name)? {
            self.missing.borrow_mut().insert(name.clone(), SharedTree { tree, at: path.clone(), links });
        }
        Ok(name)
    }

    fn environments(
        &self,
        commit: &Commit,
        links: &[(TreePath, SharedName)],
        final_root: &Path,
    ) -> Result<Environments, FarmError> {
        let (mut environments, mut environment_links) = (Vec::new(), BTreeMap::new());
        if commit.environments_dir.is_root() {
            return Ok((environments, environment_links));
        }
        let Some(dir) = self.directory(commit.root.id, &commit.environments_dir)? else {
            return Ok((environments, environment_links));
        };
        for (name, entry) in self.trees.get(&dir)?.entries() {
            match entry {
                Entry::File { .. } => {}
                Entry::Tree(subtree) => environments.push((name.clone(), subtree.id)),
                Entry::Symlink(target) => {
                    let behind = directory_behind(&self.trees, commit.root.id, &commit.environments_dir, target)?;
                    let Some(behind) = behind else { continue };
                    let Some(tree) = self.directory(commit.root.id, &behind)? else { continue };
                    environments.push((name.clone(), tree));
                    let lies = self.lies_at(&behind, commit.root.id, links, final_root)?;
                    environment_links.insert(commit.environments_dir.join(name), lies);
                }
            }
        }
        Ok((environments, environment_links))
    }

    /// The tree of the directory at `path`.
    fn directory(&self, root: TreeId, path: &TreePath) -> Result<Option<TreeId>, FarmError> {
        let mut id = root;
        for name in path.names() {
            match self.trees.get(&id)?.get(name.as_bytes()) {
                Some(Entry::Tree(subtree)) => id = subtree.id,
                _ => return Ok(None),
            }
        }
        Ok(Some(id))
    }

    /// Where the directory at `path` will really lie.
    fn lies_at(
        &self,
        path: &TreePath,
        root: TreeId,
        links: &[(TreePath, SharedName)],
        final_root: &Path,
    ) -> Result<PathBuf, FarmError> {
        use std::os::unix::ffi::OsStrExt;
        let (mut base, mut links, mut lies) = (TreePath::root(), links.to_vec(), final_root.to_owned());
        // Through one shared tree after another: each may hold links to further ones.
        while let Some((at, name)) = links.iter().find_map(|(inside, name)| {
            let from_root = inside.names().fold(base.clone(), |path, name| path.join(&name));
            path.below(&from_root).map(|_| (from_root, name.clone()))
        }) {
            lies = shared_path(self.ground.path, &name);
            let tree = self.directory(root, &at)?.ok_or(FarmError::TreeMissing(root))?;
            links = self.links_below(&at, tree, &at)?;
            base = at;
        }
        let rest = path.below(&base).expect("the base lies on the way to the path");
        Ok(if rest.is_root() { lies } else { lies.join(std::ffi::OsStr::from_bytes(rest.as_bytes())) })
    }
}
