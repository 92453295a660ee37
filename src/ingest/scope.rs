//! What a commit is about: all of staging, or some environments of it, with everything else as it stands in the head.

use std::collections::BTreeSet;

use super::IngestError;
use super::look::names;
use super::seal::store_tree;
use super::trouble::Trouble;
use super::work::{Start, Work, open_below};
use crate::disk::Kind;
use crate::store::{ReadStore, Store};
use crate::values::{Commit, Entry, Name, Subtree, Tree, TreeId, TreePath};

/// What a commit is about.
#[derive(Debug)]
pub(super) enum Scope {
    /// All of staging.
    Whole,
    /// Some environments.
    Environments(Environments),
}

impl Scope {
    /// How many files and links the head, whose root this is, has in it.
    pub(super) fn files(&self, head: Option<&Subtree>) -> u64 {
        let count = |subtree: &Subtree| subtree.totals.files.saturating_add(subtree.totals.links);
        match self {
            Scope::Whole => head.map_or(0, count),
            Scope::Environments(environments) => {
                let known = |name: &Name| match environments.base().get(name.as_bytes()) {
                    Some(Entry::Tree(subtree)) => count(subtree),
                    _ => 0,
                };
                environments.wanted.iter().map(known).fold(0, u64::saturating_add)
            }
        }
    }
}

/// Some environments, and the head that all else is taken from.
#[derive(Debug)]
pub(super) struct Environments {
    wanted: BTreeSet<Name>,
    environments_dir: TreePath,
    /// The head's root.
    root: Subtree,
    /// The trees of the head, from its root down to the directory of environments; an empty one where the head has none.
    chain: Vec<Tree>,
}

/// Which environments staging has, at one look.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Presence {
    /// Those asked for that are there.
    pub(super) present: BTreeSet<Name>,
    /// Those of the head that are not, asked for or not.
    pub(super) gone: BTreeSet<Name>,
}

/// The names that a request gives, each of which may be several, separated by white space.
pub(super) fn parse_names(given: &[String]) -> Result<BTreeSet<Name>, IngestError> {
    let parse = |name: &str| {
        Name::new(name.as_bytes())
            .map_err(|source| IngestError::BadEnvironmentName { name: name.chars().take(300).collect(), source })
    };
    given.iter().flat_map(|names| names.split_whitespace()).map(parse).collect()
}

impl Environments {
    /// These environments on top of `head`.
    pub(super) fn new(
        store: &Store,
        wanted: BTreeSet<Name>,
        environments_dir: &TreePath,
        head: &Commit,
    ) -> Result<Self, IngestError> {
        if environments_dir.is_root() {
            return Err(IngestError::NoEnvironments { repo: head.repo.clone() });
        }
        let mut chain = vec![tree(store, &head.root.id)?];
        for name in environments_dir.names() {
            let below = match chain.last().and_then(|above| above.get(name.as_bytes())) {
                Some(Entry::Tree(subtree)) => tree(store, &subtree.id)?,
                _ => Tree::default(),
            };
            chain.push(below);
        }
        Ok(Self { wanted, environments_dir: environments_dir.clone(), root: head.root, chain })
    }

    /// The head's environments.
    fn base(&self) -> &Tree {
        self.chain.last().expect("the root is always there")
    }

    /// Which environments staging has now.
    pub(super) fn look(&self, work: &Work<'_>) -> Result<Presence, Trouble> {
        let there = match open_below(work.open_staging()?, &self.environments_dir) {
            Ok(mut dir) => names(&work.leave_out, &mut dir, &self.environments_dir)?,
            // There is no such directory: no environments either.
            Err(Trouble::Changed(_)) => Vec::new(),
            Err(failed) => return Err(failed),
        };
        let mut gone: BTreeSet<Name> = environments_in(self.base()).cloned().collect();
        let mut present = BTreeSet::new();
        for entry in there {
            let known = gone.remove(&entry.name) || self.base().get(entry.name.as_bytes()).is_some();
            if self.wanted.contains(&entry.name) && (known || matches!(entry.kind, Some(Kind::Dir | Kind::Symlink))) {
                present.insert(entry.name);
            }
        }
        let unknown = |name: &&Name| !present.contains(*name) && self.base().get(name.as_bytes()).is_none();
        let unknown = self.wanted.iter().filter(unknown).map(|name| self.environments_dir.join(name));
        let unknown: Vec<TreePath> = unknown.collect();
        if !unknown.is_empty() {
            return Err(IngestError::UnknownEnvironment { environments: unknown }.into());
        }
        // One that was asked for need not be an environment in the head: a file of that name goes too.
        gone.extend(self.wanted.difference(&present).cloned());
        Ok(Presence { present, gone })
    }

    /// Where to walk for those that are there.
    pub(super) fn start(&self, presence: &Presence) -> Start {
        Start { path: self.environments_dir.clone(), only: Some(presence.present.clone()) }
    }

    /// The head's root with `found` in the places of the environments that are there, and without those that are gone.
    pub(super) fn graft(
        &self,
        work: &Work<'_>,
        presence: &Presence,
        found: &[(Name, Entry)],
    ) -> Result<Subtree, Trouble> {
        if !found.iter().map(|(name, _)| name).eq(&presence.present) {
            return Err(Trouble::changed(&self.environments_dir));
        }
        let replaced = |name: &Name| presence.present.contains(name) || presence.gone.contains(name);
        let kept = self.base().entries().iter().filter(|(name, _)| !replaced(name));
        let failed = |path: &TreePath| {
            let path = path.clone();
            move |source| IngestError::Tree { path, source }
        };
        let mut path = self.environments_dir.clone();
        let mut tree = Tree::from_entries(kept.chain(found).cloned().collect()).map_err(failed(&path))?;
        if tree == *self.base() {
            return Ok(self.root);
        }
        for above in self.chain.iter().rev().skip(1) {
            let subtree = store_tree(work, &path, &tree, None)?;
            let name = path.name().expect("there is a tree above for each name");
            path = path.parent().unwrap_or_default();
            tree = above.with(&name, Some(Entry::Tree(subtree))).map_err(failed(&path))?;
        }
        Ok(store_tree(work, &path, &tree, None)?)
    }
}

/// The names of a tree that are environments: directories, and links, which lead to one.
fn environments_in(tree: &Tree) -> impl Iterator<Item = &Name> {
    tree.entries().iter().filter(|(_, entry)| !matches!(entry, Entry::File { .. })).map(|(name, _)| name)
}

/// The environments of a root; none where the repo has no directory for them.
pub(super) fn environments_of(
    store: &Store,
    root: &TreeId,
    environments_dir: &TreePath,
) -> Result<Vec<(Name, Entry)>, IngestError> {
    if environments_dir.is_root() {
        return Ok(Vec::new());
    }
    let mut directory = tree(store, root)?;
    for name in environments_dir.names() {
        directory = match directory.get(name.as_bytes()) {
            Some(Entry::Tree(subtree)) => tree(store, &subtree.id)?,
            _ => return Ok(Vec::new()),
        };
    }
    let is_one = |(_, entry): &&(Name, Entry)| !matches!(entry, Entry::File { .. });
    Ok(directory.entries().iter().filter(is_one).cloned().collect())
}

/// A tree that is named, so that it must be there.
pub(super) fn tree(store: &Store, id: &TreeId) -> Result<Tree, IngestError> {
    store.tree(id)?.ok_or(IngestError::Incomplete { tree: *id })
}
