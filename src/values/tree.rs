//! A tree: one directory as a sorted map of checked names to nameless entries (`storage-format.md` §3).

use super::{BlobId, Name, Target, TreeId};

/// How deep trees may nest, the root being level 1. Bounds every recursion over trees.
pub const MAX_DEPTH: usize = 512;

/// What a name in a tree stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file: its content, whether its owner may execute it, and its size in bytes.
    File {
        /// The content.
        id: BlobId,
        /// Whether the owner may execute it.
        executable: bool,
        /// The content's length in bytes.
        size: u64,
    },
    /// A symbolic link, as it is written, dangling or not.
    Symlink(Target),
    /// A directory.
    Tree(Subtree),
}

/// A directory as its parent knows it: its tree and the totals of all that is below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Subtree {
    /// The directory's tree.
    pub id: TreeId,
    /// What lies below, at any depth.
    #[serde(flatten)]
    pub totals: Totals,
}

/// What lies in a tree, at any depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Totals {
    /// Files.
    pub files: u64,
    /// Symbolic links.
    pub links: u64,
    /// Bytes of all files; content that occurs twice counts twice.
    pub bytes: u64,
}

/// A sum of totals that no `u64` can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the totals of a tree exceed 64 bits")]
pub struct TotalsOverflow;

impl Totals {
    /// What both have together.
    pub fn checked_add(self, other: Totals) -> Result<Totals, TotalsOverflow> {
        let add = |a: u64, b: u64| a.checked_add(b).ok_or(TotalsOverflow);
        Ok(Totals {
            files: add(self.files, other.files)?,
            links: add(self.links, other.links)?,
            bytes: add(self.bytes, other.bytes)?,
        })
    }
}

impl Entry {
    /// What this entry adds to its directory's totals.
    pub fn totals(&self) -> Totals {
        match self {
            Entry::File { size, .. } => Totals { files: 1, links: 0, bytes: *size },
            Entry::Symlink(_) => Totals { files: 0, links: 1, bytes: 0 },
            Entry::Tree(subtree) => subtree.totals,
        }
    }
}

/// One directory. Names are unique and ascend; the totals fit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    entries: Vec<(Name, Entry)>,
    totals: Totals,
}

/// Why entries do not make a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The same name twice.
    #[error("the name {0} stands twice in one directory")]
    Duplicate(Name),
    /// A name that should stand before the one in front of it.
    #[error("the name {0} stands out of order")]
    Unsorted(Name),
    /// The sums do not fit.
    #[error(transparent)]
    Totals(#[from] TotalsOverflow),
}

impl Tree {
    /// A tree of these entries, which may come in any order.
    pub fn from_entries(mut entries: Vec<(Name, Entry)>) -> Result<Self, TreeError> {
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Self::from_sorted(entries)
    }

    /// A tree of these entries, which must ascend strictly by name.
    pub fn from_sorted(entries: Vec<(Name, Entry)>) -> Result<Self, TreeError> {
        for pair in entries.windows(2) {
            match pair[0].0.cmp(&pair[1].0) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Err(TreeError::Duplicate(pair[1].0.clone())),
                std::cmp::Ordering::Greater => return Err(TreeError::Unsorted(pair[1].0.clone())),
            }
        }
        let totals = entries.iter().try_fold(Totals::default(), |sum, (_, entry)| sum.checked_add(entry.totals()))?;
        Ok(Self { entries, totals })
    }

    /// The entries, ascending by name.
    pub fn entries(&self) -> &[(Name, Entry)] {
        &self.entries
    }

    /// The entry of this name.
    pub fn get(&self, name: &[u8]) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|(candidate, _)| candidate.as_bytes().cmp(name)).ok()?;
        Some(&self.entries[at].1)
    }

    /// What lies in the tree, at any depth.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Whether it has no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// This tree with one entry set, or removed when `entry` is `None`.
    pub fn with(&self, name: &Name, entry: Option<Entry>) -> Result<Self, TreeError> {
        let kept = self.entries.iter().filter(|(other, _)| other != name).cloned();
        Self::from_entries(kept.chain(entry.map(|entry| (name.clone(), entry))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(size: u64) -> Entry {
        Entry::File { id: BlobId::of(b""), executable: false, size }
    }

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn entries_are_sorted_by_bytes_whatever_their_order() {
        let tree = Tree::from_entries(vec![(name("b"), file(1)), (name("B"), file(2)), (name("a"), file(4))]).unwrap();
        let order: Vec<_> = tree.entries().iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(order, ["B", "a", "b"]);
        assert_eq!(tree.totals(), Totals { files: 3, links: 0, bytes: 7 });
        assert_eq!(tree.get(b"a"), Some(&file(4)));
        assert_eq!(tree.get(b"c"), None);
    }

    #[test]
    fn a_name_twice_or_out_of_order_is_no_tree() {
        let twice = Tree::from_entries(vec![(name("a"), file(1)), (name("a"), file(2))]);
        assert_eq!(twice, Err(TreeError::Duplicate(name("a"))));
        let unsorted = Tree::from_sorted(vec![(name("b"), file(1)), (name("a"), file(2))]);
        assert_eq!(unsorted, Err(TreeError::Unsorted(name("a"))));
    }

    #[test]
    fn totals_beyond_64_bits_are_refused() {
        let tree = Tree::from_entries(vec![(name("a"), file(u64::MAX)), (name("b"), file(1))]);
        assert_eq!(tree, Err(TreeError::Totals(TotalsOverflow)));
    }

    #[test]
    fn with_sets_replaces_and_removes_one_entry() {
        let tree = Tree::default().with(&name("a"), Some(file(1))).unwrap();
        assert_eq!(tree.with(&name("a"), Some(file(5))).unwrap().totals().bytes, 5);
        assert!(tree.with(&name("a"), None).unwrap().is_empty());
    }
}
