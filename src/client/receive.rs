//! Objects as they arrive: each is verified against what named it, and kept (`storage-format.md` §7). Blocking.
//!
//! What is known of an object before it comes decides whether it may come: a tree is named by the commit or by a tree before it, a blob by
//! a tree. So a sender cannot make this side keep anything that the commit does not name.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;

use super::error::ReceiveError;
use crate::codec::{encode_commit, encode_tree};
use crate::farm::{Farm, FarmError, MissingBlob, MissingTree, WholeBlob};
use crate::progress::Progress;
use crate::values::{BlobId, ChunkList, CommitId, Entry, Subtree, Totals, Tree, TreeId};
use crate::wire::{Frame, StreamReader, TreeDelta};

/// After so many bytes of blobs, what has arrived is made durable, so that little is sent twice after a crash.
const SETTLE_AFTER: u64 = 64 << 20;

/// So many bytes of blobs are gathered in memory, then written by several threads at once.
const GATHER_BYTES: u64 = 4 << 20;

/// And no more blobs than these.
const GATHER_BLOBS: usize = 512;

/// So many bytes of trees are gathered, then written at once.
const GATHER_TREES: usize = 1 << 20;

/// What may come.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    commit: Option<CommitId>,
    trees: HashMap<TreeId, Totals>,
    blobs: HashMap<BlobId, WantedBlob>,
    /// Whether what a tree names is wanted too.
    follow: bool,
}

#[derive(Debug)]
struct WantedBlob {
    size: u64,
    executable: BTreeSet<bool>,
}

/// What came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) trees: u64,
    pub(super) blobs: u64,
}

impl Wanted {
    /// A commit and everything in it.
    pub(super) fn everything(commit: CommitId) -> Self {
        Self { commit: Some(commit), follow: true, ..Self::default() }
    }

    /// These trees, without what is in them.
    pub(super) fn trees(missing: &[MissingTree]) -> Self {
        let trees = missing.iter().map(|tree| (tree.subtree.id, tree.subtree.totals)).collect();
        Self { trees, ..Self::default() }
    }

    /// These blobs.
    pub(super) fn blobs<'a>(missing: impl Iterator<Item = (&'a BlobId, &'a MissingBlob)>) -> Self {
        let blobs = missing
            .map(|(id, blob)| (*id, WantedBlob { size: blob.size, executable: blob.executable.clone() }))
            .collect();
        Self { blobs, ..Self::default() }
    }

    /// The tree `id` came: it must have been named, and its totals must be those that its entry says.
    fn take_tree(&mut self, id: TreeId, tree: &Tree, progress: &Progress) -> Result<(), ReceiveError> {
        let expected = self.trees.remove(&id).ok_or(ReceiveError::UnwantedTree(id))?;
        if tree.totals() != expected {
            return Err(ReceiveError::Totals { id, found: tree.totals(), expected });
        }
        if self.follow {
            tree.entries().iter().for_each(|(_, entry)| self.want(entry, progress));
        }
        Ok(())
    }

    fn want(&mut self, entry: &Entry, progress: &Progress) {
        match entry {
            Entry::Tree(Subtree { id, totals }) => {
                self.trees.insert(*id, *totals);
            }
            Entry::File { id, executable, size } => {
                let blob = self.blobs.entry(*id).or_insert_with(|| {
                    progress.expect(1, *size);
                    WantedBlob { size: *size, executable: BTreeSet::new() }
                });
                blob.executable.insert(*executable);
            }
            Entry::Symlink(_) => {}
        }
    }

    fn take_blob(&mut self, id: BlobId, size: u64) -> Result<BTreeSet<bool>, ReceiveError> {
        let wanted = self.blobs.remove(&id).ok_or(ReceiveError::UnwantedBlob(id))?;
        match wanted.size == size {
            true => Ok(wanted.executable),
            false => Err(ReceiveError::Size { id, found: size, expected: wanted.size }),
        }
    }
}

/// Takes a whole stream. What came with a whole one is vouched for by whatever is done with it; what had arrived when one broke is kept,
/// and durable when this returns.
pub(super) fn receive(
    farm: &Farm,
    stream: impl Read,
    wanted: Wanted,
    progress: &Progress,
) -> Result<Received, ReceiveError> {
    let gathered = Gathered::default();
    let mut receiver = Receiver { farm, wanted, progress, received: Received::default(), gathered, unsettled: 0 };
    let outcome = receiver.take_all(stream);
    // A broken stream is no reason to lose what it brought.
    receiver.write_gathered()?;
    if outcome.is_err() {
        farm.settle()?;
    }
    outcome.map(|()| receiver.received)
}

struct Receiver<'a> {
    farm: &'a Farm,
    wanted: Wanted,
    progress: &'a Progress,
    received: Received,
    gathered: Gathered,
    unsettled: u64,
}

/// What has arrived and is not written yet.
#[derive(Default)]
struct Gathered {
    trees: Vec<(TreeId, Vec<u8>)>,
    tree_bytes: usize,
    blobs: Vec<(WholeBlob, BTreeSet<bool>)>,
    blob_bytes: u64,
}

impl Receiver<'_> {
    fn take_all(&mut self, stream: impl Read) -> Result<(), ReceiveError> {
        let mut reader = StreamReader::new(stream)?;
        while let Some(frame) = reader.next_frame()? {
            if self.progress.is_cancelled() {
                return Err(FarmError::Cancelled.into());
            }
            match frame {
                Frame::Commit(commit) => {
                    let id = CommitId::of(&encode_commit(&commit));
                    if self.wanted.commit.take() != Some(id) {
                        return Err(ReceiveError::UnwantedCommit(id));
                    }
                    self.farm.put_commit(&commit)?;
                    self.wanted.trees.insert(commit.root.id, commit.root.totals);
                }
                Frame::Tree(tree) => self.take_tree(&tree)?,
                Frame::TreeDelta(delta) => self.take_delta(&delta)?,
                Frame::Blob(content) => self.take_blob(content)?,
                Frame::Chunked { id, chunks, sent } => self.take_chunks(&mut reader, id, chunks, &sent)?,
                Frame::Chunk(content) => return Err(ReceiveError::UnwantedChunk(BlobId::of(&content))),
                Frame::End(_) | Frame::Failed(_) => unreachable!("the reader keeps these to itself"),
            }
            if self.unsettled >= SETTLE_AFTER {
                self.write_gathered()?;
                self.farm.settle()?;
                self.unsettled = 0;
            }
        }
        Ok(())
    }

    fn take_tree(&mut self, tree: &Tree) -> Result<(), ReceiveError> {
        let canonical = encode_tree(tree);
        let id = TreeId::of(&canonical);
        self.wanted.take_tree(id, tree, self.progress)?;
        self.gathered.tree_bytes += canonical.len();
        self.gathered.trees.push((id, canonical));
        if self.gathered.tree_bytes >= GATHER_TREES {
            self.write_trees()?;
        }
        self.received.trees += 1;
        Ok(())
    }

    fn take_delta(&mut self, delta: &TreeDelta) -> Result<(), ReceiveError> {
        let base = match self.farm.index().tree(&delta.base)? {
            Some(base) => base,
            None => {
                self.write_trees()?;
                self.farm.tree(&delta.base)?
            }
        };
        self.take_tree(&delta.apply(&base)?)
    }

    fn take_blob(&mut self, content: Vec<u8>) -> Result<(), ReceiveError> {
        let blob = WholeBlob::new(content);
        let size = blob.size();
        let executable = self.wanted_of(blob.id(), size)?;
        self.gathered.blob_bytes += size;
        self.gathered.blobs.push((blob, executable));
        if self.gathered.blob_bytes >= GATHER_BYTES || self.gathered.blobs.len() >= GATHER_BLOBS {
            self.write_blobs()?;
        }
        self.count(size);
        Ok(())
    }

    /// Writes what has arrived.
    fn write_gathered(&mut self) -> Result<(), ReceiveError> {
        self.write_trees()?;
        self.write_blobs()
    }

    fn write_trees(&mut self) -> Result<(), ReceiveError> {
        self.gathered.tree_bytes = 0;
        Ok(self.farm.put_trees(&std::mem::take(&mut self.gathered.trees))?)
    }

    fn write_blobs(&mut self) -> Result<(), ReceiveError> {
        self.gathered.blob_bytes = 0;
        Ok(self.farm.put_blobs(&std::mem::take(&mut self.gathered.blobs))?)
    }

    fn wanted_of(&mut self, id: BlobId, size: u64) -> Result<BTreeSet<bool>, ReceiveError> {
        let executable = self.wanted.take_blob(id, size)?;
        // Empty files are made where they stand.
        Ok(if size == 0 { BTreeSet::new() } else { executable })
    }

    fn count(&mut self, size: u64) {
        self.received.blobs += 1;
        self.unsettled += size;
        self.progress.advance(1, size);
    }

    /// Puts a large blob together from chunks that follow and chunks of an older version that is here.
    fn take_chunks(
        &mut self,
        reader: &mut StreamReader<impl Read>,
        id: BlobId,
        chunks: ChunkList,
        sent: &[bool],
    ) -> Result<(), ReceiveError> {
        let variants = self.wanted_of(id, chunks.size())?;
        // "Already there" is no mistake of the sender, who cannot know everything.
        let executable = self.farm.lacking_variants(id, &variants)?;
        let mut writer = self.farm.blob_writer()?;
        // Where an old chunk turns out damaged, the rest is read past, and the blob is asked for again as a whole.
        let mut complete = true;
        for (chunk, sent) in chunks.chunks().iter().zip(sent) {
            let content = if *sent {
                match reader.next_frame()? {
                    Some(Frame::Chunk(content)) if BlobId::of(&content) == chunk.id => Some(content),
                    _ => return Err(ReceiveError::UnwantedChunk(chunk.id)),
                }
            } else {
                match self.farm.chunk_place(&chunk.id)? {
                    Some(place) => self.farm.read_chunk(chunk.id, place)?,
                    None => None,
                }
            };
            match content {
                Some(content) if complete && !executable.is_empty() => writer.write(&content)?,
                Some(_) => {}
                None => complete = false,
            }
        }
        let size = chunks.size();
        if complete && let Some(first) = executable.first().copied() {
            writer.finish(id, &executable)?;
            self.farm.note_chunks(id, first, chunks);
        }
        self.count(size);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
