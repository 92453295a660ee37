//! What a client holds: the trees and blobs of the commits it named, found only when it pays.

use std::collections::HashSet;
use std::rc::Rc;

use super::PackError;
use crate::store::{ReadStore, Snapshot, StoredBlob};
use crate::values::{BlobId, Commit, Entry, MAX_WHOLE_BLOB, Tree, TreeId};

/// The objects of the commits that a client holds whole.
///
/// A change inside known directories needs none of this, its counterparts are found on the way. Walking all of a large estate
/// takes as long as some hundred kilobytes take to be sent, so it is done once, when something came that has no counterpart.
pub(super) struct Have<'s> {
    source: &'s Snapshot<'s>,
    roots: Vec<TreeId>,
    objects: Option<Objects>,
}

struct Objects {
    trees: HashSet<TreeId>,
    blobs: HashSet<BlobId>,
    large: Vec<BlobId>,
    chunks: Option<Rc<HashSet<BlobId>>>,
}

impl<'s> Have<'s> {
    /// Of these commits, the nearest first.
    pub(super) fn new(source: &'s Snapshot<'s>, commits: &[Commit]) -> Self {
        Self { source, roots: commits.iter().map(|commit| commit.root.id).collect(), objects: None }
    }

    /// The root of the nearest commit.
    pub(super) fn nearest_root(&self) -> Option<TreeId> {
        self.roots.first().copied()
    }

    /// Walks all commits, each distinct tree once, unless that was done.
    pub(super) fn load(&mut self) {
        if self.objects.is_some() {
            return;
        }
        let mut trees = HashSet::new();
        let mut blobs = HashSet::new();
        let mut large = Vec::new();
        let mut open = self.roots.clone();
        while let Some(id) = open.pop() {
            if !trees.insert(id) {
                continue;
            }
            let Some(tree) = self.readable(id) else {
                trees.remove(&id);
                continue;
            };
            for (_, entry) in tree.entries() {
                match entry {
                    Entry::Tree(subtree) => open.push(subtree.id),
                    Entry::File { id, size, .. } => {
                        if blobs.insert(*id) && *size > MAX_WHOLE_BLOB as u64 {
                            large.push(*id);
                        }
                    }
                    Entry::Symlink(_) => {}
                }
            }
        }
        self.objects = Some(Objects { trees, blobs, large, chunks: None });
    }

    /// A tree that the client holds, as far as it can be read here: what cannot be read is not relied on, only sent again.
    pub(super) fn readable(&self, id: TreeId) -> Option<Tree> {
        self.source.tree(&id).unwrap_or_else(|error| {
            tracing::warn!(tree = %id, %error, "a tree that a client holds cannot be read here");
            None
        })
    }

    /// Whether the client is known to hold this tree and all below it.
    pub(super) fn holds_tree(&self, id: &TreeId) -> bool {
        self.objects.as_ref().is_some_and(|objects| objects.trees.contains(id))
    }

    /// Whether the client is known to hold this blob.
    pub(super) fn holds_blob(&self, id: &BlobId) -> bool {
        self.objects.as_ref().is_some_and(|objects| objects.blobs.contains(id))
    }

    /// Pieces of large blobs that the client is known to hold; `counterpart` is the blob it has at the same path.
    pub(super) fn chunks(&mut self, counterpart: Option<BlobId>) -> Result<Rc<HashSet<BlobId>>, PackError> {
        let Some(objects) = &mut self.objects else {
            return Ok(Rc::new(chunks_of(self.source, counterpart)?));
        };
        if let Some(chunks) = &objects.chunks {
            return Ok(Rc::clone(chunks));
        }
        let chunks = Rc::new(chunks_of(self.source, objects.large.iter().copied())?);
        objects.chunks = Some(Rc::clone(&chunks));
        Ok(chunks)
    }
}

fn chunks_of(source: &Snapshot<'_>, blobs: impl IntoIterator<Item = BlobId>) -> Result<HashSet<BlobId>, PackError> {
    let mut found = HashSet::new();
    for id in blobs {
        if let Some(StoredBlob::Chunked(list)) = source.blob(&id)? {
            found.extend(list.chunks().iter().map(|chunk| chunk.id));
        }
    }
    Ok(found)
}
