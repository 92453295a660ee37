//! What a walk remembers of staging: enough to tell whether anything differs at the next look, and no more.
//!
//! An estate may have a million files, so an entry takes ten bytes and its name. The stat itself is not kept: a 64-bit keyed hash of it
//! shows whether two looks saw the same, and the key is chosen anew for each commit, so that nobody can aim at a collision.

use std::hash::{BuildHasher, RandomState};

use crate::disk::Stat;
use crate::values::{Entry, Name, Subtree};

/// Stands for a [`Stat`]: equal where two looks saw the same thing, unchanged in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint(u64);

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

/// One entry of a directory.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Its name.
    pub(super) name: Name,
    /// What it is.
    pub(super) kind: ItemKind,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ItemKind {
    /// A directory; the place of its node among those of the directory.
    Dir(usize),
    /// A file or a symbolic link; what the look showed.
    Leaf(Fingerprint),
}

/// The entries of one directory, ascending by name, packed.
#[derive(Debug, Default)]
pub(super) struct Items(Vec<u8>);

/// What the first byte of an entry says.
const DIR: u8 = 0;
const LEAF: u8 = 1;

impl Items {
    /// Adds a file or a symbolic link. Entries must come ascending by name.
    pub(super) fn push(&mut self, name: &Name, fingerprint: Fingerprint) {
        self.0.push(LEAF);
        self.0.extend_from_slice(&fingerprint.0.to_ne_bytes());
        self.push_name(name);
    }

    /// Adds a directory. Entries must come ascending by name.
    pub(super) fn push_dir(&mut self, name: &Name) {
        self.0.push(DIR);
        self.push_name(name);
    }

    fn push_name(&mut self, name: &Name) {
        let name = name.as_bytes();
        self.0.push(u8::try_from(name.len()).expect("a name has at most 255 bytes"));
        self.0.extend_from_slice(name);
    }
}

/// What a directory holds.
#[derive(Debug)]
pub(super) enum Outcome {
    /// All of it; the tree is stored, or on its way there.
    Tree(Subtree),
    /// Some of its entries were looked at, these; only where a walk of named environments starts.
    Part(Vec<(Name, Entry)>),
}

impl Outcome {
    /// The entry of a directory that is known as a whole.
    pub(super) fn into_entry(self) -> Option<Entry> {
        match self {
            Outcome::Tree(subtree) => Some(Entry::Tree(subtree)),
            Outcome::Part(_) => None,
        }
    }
}

/// One directory.
#[derive(Debug)]
pub(super) struct Node {
    /// What a look at the directory itself showed, before it was listed.
    pub(super) own: Fingerprint,
    items: Box<[u8]>,
    /// Those of its entries that are directories, in the order of the items.
    children: Box<[Node]>,
}

impl Node {
    /// The node of a directory.
    pub(super) fn new(own: Fingerprint, Items(items): Items, children: Vec<Node>) -> Self {
        Self { own, items: items.into_boxed_slice(), children: children.into_boxed_slice() }
    }

    /// The entries, ascending by name.
    pub(super) fn items(&self) -> impl Iterator<Item = Item> {
        let mut rest = &self.items[..];
        let mut dirs = 0..;
        std::iter::from_fn(move || {
            let (&kind, after) = rest.split_first()?;
            let (kind, after) = if kind == DIR {
                (ItemKind::Dir(dirs.next()?), after)
            } else {
                let (fingerprint, after) = after.split_first_chunk()?;
                (ItemKind::Leaf(Fingerprint(u64::from_ne_bytes(*fingerprint))), after)
            };
            let (&length, after) = after.split_first()?;
            let (name, after) = after.split_at(usize::from(length));
            rest = after;
            Some(Item { name: Name::new(name).expect("these bytes came from a name"), kind })
        })
    }

    /// The directory at this place.
    pub(super) fn child(&self, at: usize) -> &Node {
        &self.children[at]
    }

    /// Whether the directory, or what was looked at of it, has no entries.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}
