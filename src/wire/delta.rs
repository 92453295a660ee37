//! A tree as the difference from another that the receiver has (`storage-format.md` §7).

use crate::values::{Entry, Name, Tree, TreeError, TreeId};

/// What turns a base tree into another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeDelta {
    /// The tree that the difference is from.
    pub base: TreeId,
    /// Names of the base that are gone, ascending.
    pub removed: Vec<Name>,
    /// Entries that are new or differ.
    pub changed: Tree,
}

/// Why a difference does not fit its base.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// Removed names out of order, or one of them twice.
    #[error("the removed name {0} stands out of order")]
    Unsorted(Name),
    /// A removed name that the base does not have, or that is also changed.
    #[error("the name {0} cannot be removed")]
    Removed(Name),
    /// An entry given as changed that the base has just so.
    #[error("the entry {0} is given as changed, and is not")]
    Unchanged(Name),
    /// The result is no tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl TreeDelta {
    /// The difference that turns `base` (whose id is `base_id`) into `tree`.
    pub fn between(base_id: TreeId, base: &Tree, tree: &Tree) -> Self {
        let gone = base.entries().iter().filter(|(name, _)| tree.get(name.as_bytes()).is_none());
        let removed = gone.map(|(name, _)| name.clone()).collect();
        let differs = |(name, entry): &&(Name, Entry)| base.get(name.as_bytes()) != Some(entry);
        let changed = tree.entries().iter().filter(differs).cloned().collect();
        let changed = Tree::from_sorted(changed).expect("a part of a tree is a tree");
        Self { base: base_id, removed, changed }
    }

    /// The tree that this difference makes of `base`.
    pub fn apply(&self, base: &Tree) -> Result<Tree, DeltaError> {
        if let Some(pair) = self.removed.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(DeltaError::Unsorted(pair[1].clone()));
        }
        let cannot_go =
            |name: &&Name| base.get(name.as_bytes()).is_none() || self.changed.get(name.as_bytes()).is_some();
        if let Some(name) = self.removed.iter().find(cannot_go) {
            return Err(DeltaError::Removed(name.clone()));
        }
        let same = |(name, entry): &&(Name, Entry)| base.get(name.as_bytes()) == Some(entry);
        if let Some((name, _)) = self.changed.entries().iter().find(same) {
            return Err(DeltaError::Unchanged(name.clone()));
        }
        let stays = |(name, _): &&(Name, Entry)| {
            self.removed.binary_search(name).is_err() && self.changed.get(name.as_bytes()).is_none()
        };
        let kept = base.entries().iter().filter(stays).cloned();
        Ok(Tree::from_entries(kept.chain(self.changed.entries().iter().cloned()).collect())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::BlobId;

    fn tree(entries: &[(&str, &str)]) -> Tree {
        let file = |content: &str| {
            let id = BlobId::of(content.as_bytes());
            Entry::File { id, executable: false, size: content.len() as u64 }
        };
        let name = |text: &str| Name::new(text.as_bytes()).unwrap();
        Tree::from_entries(entries.iter().map(|(text, content)| (name(text), file(content))).collect()).unwrap()
    }

    const BASE: TreeId = TreeId::from_bytes([7; 32]);

    #[test]
    fn a_difference_applied_to_its_base_gives_the_tree() {
        let before = tree(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let after = tree(&[("b", "changed"), ("c", "3"), ("d", "4")]);
        let delta = TreeDelta::between(BASE, &before, &after);
        assert_eq!((delta.removed.len(), delta.changed.entries().len()), (1, 2));
        assert_eq!(delta.apply(&before), Ok(after));
    }

    #[test]
    fn a_difference_with_more_than_one_encoding_is_refused() {
        let base = tree(&[("a", "1"), ("b", "2")]);
        let name = |text: &str| Name::new(text.as_bytes()).unwrap();
        let delta = |removed: &[&str], changed| TreeDelta {
            base: BASE,
            removed: removed.iter().map(|text| name(text)).collect(),
            changed,
        };
        let none = Tree::default;
        assert_eq!(delta(&["b", "a"], none()).apply(&base), Err(DeltaError::Unsorted(name("a"))));
        assert_eq!(delta(&["a", "a"], none()).apply(&base), Err(DeltaError::Unsorted(name("a"))));
        assert_eq!(delta(&["x"], none()).apply(&base), Err(DeltaError::Removed(name("x"))));
        assert_eq!(delta(&["a"], tree(&[("a", "9")])).apply(&base), Err(DeltaError::Removed(name("a"))));
        assert_eq!(delta(&[], tree(&[("a", "1")])).apply(&base), Err(DeltaError::Unchanged(name("a"))));
    }
}
