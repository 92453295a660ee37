//! What a walk remembers of staging: enough to tell whether anything differs at the next look, and no more.
//!
//! An estate may have a million files, so an entry takes 16 bytes and its name. The stat itself is not kept: a 64-bit keyed hash of it
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

/// One entry of a directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    /// What the look showed; of a directory [`Fingerprint::NONE`], for it stands in its own node.
    pub(super) fingerprint: Fingerprint,
    pub(super) kind: ItemKind,
    name_length: u8,
}

/// What is known of a directory's content.
#[derive(Debug)]
pub(super) enum Outcome {
    /// All of it; the tree is stored, or on its way there.
    Tree(Subtree),
    /// Some of its entries were looked at, these; only where a walk of named environments starts.
    Part(Vec<(Name, Entry)>),
}

/// One directory.
#[derive(Debug)]
pub(super) struct Node {
    /// What a look at the directory itself showed, before it was listed.
    pub(super) own: Fingerprint,
    names: Box<[u8]>,
    items: Box<[Item]>,
    /// Those of its entries that are directories, in the order of the items.
    children: Box<[Node]>,
    /// Set when all files below are known.
    pub(super) outcome: OnceLock<Outcome>,
}

impl Node {
    /// The entries, ascending by name; with the node of each that is a directory.
    pub(super) fn items(&self) -> impl Iterator<Item = (Name, Item, Option<&Node>)> {
        let mut rest = &self.names[..];
        let mut children = self.children.iter();
        self.items.iter().map(move |item| {
            let (name, after) = rest.split_at(usize::from(item.name_length));
            rest = after;
            let name = Name::new(name).expect("these bytes came from a name");
            (name, *item, if item.kind == ItemKind::Dir { children.next() } else { None })
        })
    }

    /// Whether the directory, or what was looked at of it, has no entries.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The directory's tree, where it is known.
    pub(super) fn subtree(&self) -> Option<Subtree> {
        match self.outcome.get() {
            Some(Outcome::Tree(subtree)) => Some(*subtree),
            _ => None,
        }
    }
}

/// Collects the entries of one directory.
#[derive(Debug, Default)]
pub(super) struct Items {
    names: Vec<u8>,
    items: Vec<Item>,
}

impl Items {
    /// Adds an entry; they must come ascending by name.
    pub(super) fn push(&mut self, name: &Name, kind: ItemKind, fingerprint: Fingerprint) {
        let name_length = u8::try_from(name.as_bytes().len()).expect("a name has at most 255 bytes");
        self.names.extend_from_slice(name.as_bytes());
        self.items.push(Item { fingerprint, kind, name_length });
    }

    /// The node of the directory, whose outcome is not known yet.
    pub(super) fn into_node(self, own: Fingerprint, children: Vec<Node>) -> Node {
        let (names, items) = (self.names.into_boxed_slice(), self.items.into_boxed_slice());
        Node { own, names, items, children: children.into_boxed_slice(), outcome: OnceLock::new() }
    }
}
