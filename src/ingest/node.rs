//! What a walk remembers of staging: enough to tell whether anything differs at the next look, and no more.
//!
//! An estate may have a million files, so an entry takes ten bytes and its name. The stat itself is not kept: a 64-bit keyed hash of it
//! shows whether two looks saw the same, and the key is chosen anew for each commit, so that nobody can aim at a collision.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use crate::disk::Stat;
use crate::values::{Entry, Name, Subtree};

/// Stands for a [`Stat`]: equal where two looks saw the same thing, unchanged in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    /// Of nothing.
    pub(super) const NONE: Self = Self(0);
}

/// Makes fingerprints; those of two makers cannot be compared.
#[derive(Debug, Default)]
pub(super) struct Fingerprints(RandomState);

impl Fingerprints {
    /// The fingerprint of what a look showed. Owner and number of links are not in it: a change of them shows in ctime.
    pub(super) fn of(&self, stat: &Stat) -> Fingerprint {
        let Stat { kind, device, inode, mode, size, mtime, ctime, .. } = *stat;
        Fingerprint(self.0.hash_one((kind as u8, device, inode, mode, size, mtime, ctime)))
    }
}

/// What an entry is, and whether its content is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ItemKind {
    /// A file that the stat cache vouched for.
    Vouched,
    /// A file that must be read.
    Unread,
    /// A symbolic link.
    Link,
    /// A directory; it has a node of its own.
    Dir,
}

impl ItemKind {
    fn of(byte: u8) -> Self {
        const ALL: [ItemKind; 4] = [ItemKind::Vouched, ItemKind::Unread, ItemKind::Link, ItemKind::Dir];
        ALL[usize::from(byte)]
    }
}

/// One entry of a directory.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Its name.
    pub(super) name: Name,
    /// What the look showed; of a directory [`Fingerprint::NONE`], for that stands in its own node.
    pub(super) fingerprint: Fingerprint,
    /// What it is.
    pub(super) kind: ItemKind,
}

/// The entries of one directory, ascending by name, packed.
#[derive(Debug, Default)]
pub(super) struct Items(Vec<u8>);

impl Items {
    /// Adds an entry; they must come ascending by name.
    pub(super) fn push(&mut self, name: &Name, kind: ItemKind, fingerprint: Fingerprint) {
        let name = name.as_bytes();
        self.0.extend_from_slice(&fingerprint.0.to_ne_bytes());
        self.0.push(kind as u8);
        self.0.push(u8::try_from(name.len()).expect("a name has at most 255 bytes"));
        self.0.extend_from_slice(name);
    }
}

/// What is known of a directory's content.
#[derive(Debug)]
pub(super) enum Outcome {
    /// All of it; the tree is stored, or on its way there.
    Tree(Subtree),
    /// Some of its entries were looked at, these; only where a walk of named environments starts.
    Part(Vec<(Name, Entry)>),
    /// Files must be read, in it or below.
    Waiting,
}

/// One directory.
#[derive(Debug)]
pub(super) struct Node {
    /// What a look at the directory itself showed, before it was listed.
    pub(super) own: Fingerprint,
    items: Box<[u8]>,
    /// Those of its entries that are directories, in the order of the items.
    children: Box<[Node]>,
    /// The children's trees, as they become known; absent where the directory's own is known and nobody asks any more.
    subtrees: Option<Box<[OnceLock<Subtree>]>>,
}

impl Node {
    /// The node of a directory; `subtrees` are those of its children that are known, and are absent where its own is.
    pub(super) fn new(
        own: Fingerprint,
        Items(items): Items,
        children: Vec<Node>,
        subtrees: Option<Vec<Option<Subtree>>>,
    ) -> Self {
        let slots = subtrees.map(|subtrees| subtrees.into_iter().map(slot).collect());
        Self { own, items: items.into_boxed_slice(), children: children.into_boxed_slice(), subtrees: slots }
    }

    /// The entries, ascending by name; with the place among the directories of each that is one.
    pub(super) fn items(&self) -> impl Iterator<Item = (Item, Option<usize>)> {
        let mut rest = &self.items[..];
        let mut dirs = 0..;
        std::iter::from_fn(move || {
            let (fingerprint, after) = rest.split_first_chunk()?;
            let (&[kind, length], after) = after.split_first_chunk()?;
            let (name, after) = after.split_at(usize::from(length));
            rest = after;
            let name = Name::new(name).expect("these bytes came from a name");
            let kind = ItemKind::of(kind);
            let at = if kind == ItemKind::Dir { dirs.next() } else { None };
            Some((Item { name, fingerprint: Fingerprint(u64::from_ne_bytes(*fingerprint)), kind }, at))
        })
    }

    /// The directory at this place.
    pub(super) fn child(&self, at: usize) -> &Node {
        &self.children[at]
    }

    /// The tree of the directory at this place, where it is known and the directory's own was not.
    pub(super) fn subtree(&self, at: usize) -> Option<Subtree> {
        self.subtrees.as_ref()?[at].get().copied()
    }

    /// Sets the tree of the directory at this place, which is not known yet.
    pub(super) fn set_subtree(&self, at: usize, subtree: Subtree) {
        let first = self.subtrees.as_ref().is_some_and(|subtrees| subtrees[at].set(subtree).is_ok());
        debug_assert!(first, "a directory is finished once, and one above that waits for it");
    }

    /// Whether the directory, or what was looked at of it, has no entries.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

fn slot(subtree: Option<Subtree>) -> OnceLock<Subtree> {
    subtree.map_or_else(OnceLock::new, OnceLock::from)
}
