//! Commits and the names for them; trees, and what they name.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::{Check, Part};
use crate::codec::{decode_commit, decode_tree};
use crate::findings::{At, PrimaryFinding};
use crate::store::{Family, Key, ReadStore, StoreError, lost_heads};
use crate::values::{BlobId, Commit, CommitId, Entry, MAX_DEPTH, RepoName, TagName, Totals, Tree, TreeId, TreePath};

/// The commits that are stored; `None` for one that was found damaged.
pub(super) type Commits = HashMap<CommitId, Option<Commit>>;

/// Who needs something: the position of a commit among [`Needed::commits`], and a path in it.
#[derive(Clone)]
pub(super) struct Claim {
    commit: usize,
    path: TreePath,
}

/// What commits need.
#[derive(Default)]
pub(super) struct Needed {
    commits: Vec<(RepoName, CommitId)>,
    /// The trees, with what they hold; `None` for those that are missing or damaged.
    trees: HashMap<TreeId, Option<Totals>>,
    /// The blobs, with each size that is said of them and who first says so.
    blobs: HashMap<BlobId, Vec<(u64, Claim)>>,
    /// Trees that nothing needs.
    others: usize,
}

impl Needed {
    pub(super) fn trees(&self) -> usize {
        self.trees.len() + self.others
    }

    pub(super) fn has_tree(&self, id: &TreeId) -> bool {
        self.trees.get(id).is_some_and(Option::is_some)
    }

    pub(super) fn blobs(&self) -> &HashMap<BlobId, Vec<(u64, Claim)>> {
        &self.blobs
    }

    pub(super) fn needs_blob(&self, id: &BlobId) -> bool {
        self.blobs.contains_key(id)
    }

    pub(super) fn at(&self, claim: &Claim) -> At {
        let (repo, commit) = self.commits[claim.commit].clone();
        At { repo, commit, path: claim.path.clone() }
    }
}

/// A tree that somebody names, and what is said of it.
struct Named {
    id: TreeId,
    totals: Totals,
    claim: Claim,
}

impl<S: ReadStore + Sync> Check<'_, S> {
    /// Hashes every commit, and looks what heads and tags name.
    pub(super) fn commits(&self) -> Result<Commits, StoreError> {
        let mut commits = Commits::new();
        let walked = self.store.each_record(Family::Commits, &mut |key, value| {
            match <[u8; 32]>::try_from(key).map(CommitId::from_bytes) {
                Ok(id) => {
                    let commit = decode_commit(value).ok().filter(|_| CommitId::of(value) == id);
                    if commit.is_none() {
                        self.find(PrimaryFinding::CommitDamaged { id });
                    }
                    commits.insert(id, commit);
                }
                Err(_) => self.foreign(Family::Commits, key),
            }
            self.step(0)
        });
        self.survive(Family::Commits, walked)?;
        self.heads(&commits)?;
        self.lost_heads()?;
        self.tags(&commits)?;
        Ok(commits)
    }

    fn heads(&self, commits: &Commits) -> Result<(), StoreError> {
        let walked = self.store.each_record(Family::Heads, &mut |key, value| {
            match (parse::<RepoName>(key), parse_commit_id(value)) {
                (Some(repo), Some(commit)) => match commits.get(&commit) {
                    None => self.find(PrimaryFinding::HeadMissingCommit { repo, commit }),
                    Some(Some(found)) if found.repo != repo => {
                        self.find(PrimaryFinding::HeadOtherRepo { repo, commit });
                    }
                    Some(_) => {}
                },
                _ => self.find(PrimaryFinding::HeadUnreadable { key: Key::new(Family::Heads, key).to_string() }),
            }
            Ok(())
        });
        self.survive(Family::Heads, walked)
    }

    /// Heads that a rebuild of the store could not save.
    fn lost_heads(&self) -> Result<(), StoreError> {
        match lost_heads(self.store) {
            Ok(lost) => {
                lost.into_iter().for_each(|(repo, commit)| self.find(PrimaryFinding::HeadLost { repo, commit }));
            }
            // Of the family's blocks it is told elsewhere.
            Err(StoreError::DamagedBlocks { .. } | StoreError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn tags(&self, commits: &Commits) -> Result<(), StoreError> {
        let walked = self.store.each_record(Family::Tags, &mut |key, value| {
            let mut parts = key.splitn(2, |byte| *byte == 0);
            let repo = parts.next().and_then(parse::<RepoName>);
            let tag = parts.next().and_then(parse::<TagName>);
            match (repo, tag, parse_commit_id(value)) {
                (Some(repo), Some(tag), Some(commit)) => {
                    if !commits.contains_key(&commit) {
                        self.find(PrimaryFinding::TagMissingCommit { repo, tag, commit });
                    }
                }
                _ => self.find(PrimaryFinding::TagUnreadable { key: Key::new(Family::Tags, key).to_string() }),
            }
            Ok(())
        });
        self.survive(Family::Tags, walked)
    }

    /// Walks every commit's trees, level by level, each tree once; then reads those that nothing needs.
    pub(super) fn trees(&self, commits: &Commits) -> Result<Needed, StoreError> {
        let (mut needed, mut level) = (Needed::default(), Vec::new());
        // Each tree's first mention is checked when it is read, further ones that came before it was, at the end.
        let mut doubts = Vec::new();
        let mut sound: Vec<_> = commits.iter().filter_map(|(id, commit)| Some((id, commit.as_ref()?))).collect();
        // Of all places that have a thing, the newest commit's is told.
        sound.sort_by_key(|(id, commit)| (std::cmp::Reverse(commit.sequence), **id));
        for (id, commit) in sound {
            let claim = Claim { commit: needed.commits.len(), path: TreePath::root() };
            needed.commits.push((commit.repo.clone(), *id));
            level.push(Named { id: commit.root.id, totals: commit.root.totals, claim });
        }
        let mut depth = 1;
        while !level.is_empty() {
            if depth > MAX_DEPTH {
                for named in level {
                    self.find(PrimaryFinding::TreeTooDeep { id: named.id, at: needed.at(&named.claim) });
                }
                break;
            }
            let mut seen = HashSet::new();
            let (now, again): (Vec<_>, Vec<_>) =
                level.into_iter().partition(|named| !needed.trees.contains_key(&named.id) && seen.insert(named.id));
            doubts.extend(again);
            let read: Vec<_> = now.par_iter().map(|named| self.tree(named, &needed)).collect::<Result<_, _>>()?;
            level = Vec::new();
            for (named, tree) in now.into_iter().zip(read) {
                needed.trees.insert(named.id, tree.as_ref().map(Tree::totals));
                tree.iter().for_each(|tree| name_entries(tree, &named.claim, self.part, &mut needed, &mut level));
            }
            depth += 1;
        }
        for named in doubts {
            if needed.trees.get(&named.id).copied().flatten().is_some_and(|totals| totals != named.totals) {
                self.find(PrimaryFinding::TreeTotals { id: named.id, at: needed.at(&named.claim) });
            }
        }
        self.other_trees(&mut needed)?;
        Ok(needed)
    }

    fn tree(&self, named: &Named, needed: &Needed) -> Result<Option<Tree>, StoreError> {
        let Named { id, totals, claim } = named;
        let tree = match self.store.tree_bytes(id) {
            Ok(None) => {
                self.find(PrimaryFinding::TreeMissing { id: *id, at: needed.at(claim) });
                return Ok(None);
            }
            Ok(Some(bytes)) => decode_tree(&bytes).ok().filter(|_| TreeId::of(&bytes) == *id),
            Err(StoreError::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
        match &tree {
            None => self.find(PrimaryFinding::TreeDamaged { id: *id }),
            Some(tree) if tree.totals() != *totals => {
                self.find(PrimaryFinding::TreeTotals { id: *id, at: needed.at(claim) });
            }
            Some(_) => {}
        }
        self.step(0)?;
        Ok(tree)
    }

    /// Trees that no commit needs: the next commit would use them as they are.
    fn other_trees(&self, needed: &mut Needed) -> Result<(), StoreError> {
        let mut others = 0;
        let walked = self.store.each_record(Family::Trees, &mut |key, value| {
            if !self.part.holds(key) {
                return Ok(());
            }
            match <[u8; 32]>::try_from(key).map(TreeId::from_bytes) {
                Ok(id) if needed.trees.contains_key(&id) => return Ok(()),
                Ok(id) => {
                    others += 1;
                    if TreeId::of(value) != id || decode_tree(value).is_err() {
                        self.find(PrimaryFinding::TreeDamaged { id });
                    }
                }
                Err(_) => self.foreign(Family::Trees, key),
            }
            self.step(0)
        });
        needed.others = others;
        self.survive(Family::Trees, walked)
    }
}

/// Notes what a tree names: blobs to be looked for, trees to be walked.
fn name_entries(tree: &Tree, at: &Claim, part: Part, needed: &mut Needed, next: &mut Vec<Named>) {
    for (name, entry) in tree.entries() {
        let claim = || Claim { commit: at.commit, path: at.path.join(name) };
        match entry {
            Entry::File { id, .. } if !part.holds(id.as_bytes()) => {}
            Entry::File { id, size, .. } => {
                let claims = needed.blobs.entry(*id).or_default();
                if claims.iter().all(|(said, _)| said != size) {
                    claims.push((*size, claim()));
                }
            }
            Entry::Tree(subtree) => match needed.trees.get(&subtree.id) {
                Some(known) if known.is_none_or(|totals| totals == subtree.totals) => {}
                _ => next.push(Named { id: subtree.id, totals: subtree.totals, claim: claim() }),
            },
            Entry::Symlink(_) => {}
        }
    }
}

fn parse<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

fn parse_commit_id(bytes: &[u8]) -> Option<CommitId> {
    Some(CommitId::from_bytes(bytes.try_into().ok()?))
}
