//! A whole commit, less what the client holds.

use std::collections::HashSet;
use std::io::Write;

use super::have::Have;
use super::{PackError, Sent, send_blob};
use crate::codec::encode_tree;
use crate::store::{ReadStore, Snapshot};
use crate::values::{BlobId, Commit, Entry, Tree, TreeId};
use crate::wire::{Frame, StreamWriter, TreeDelta};

/// When the blobs without a counterpart have more bytes than this together, it is worth finding out what the client holds elsewhere.
const WORTH_A_WALK: u64 = 1 << 20;

/// One answer to `fetch`.
pub(in crate::server) struct Fetch<'s> {
    source: &'s Snapshot<'s>,
    want: Commit,
    have: Have<'s>,
}

/// A blob to send, and what the client has in its place.
struct Wanted {
    id: BlobId,
    size: u64,
    counterpart: Option<BlobId>,
}

impl<'s> Fetch<'s> {
    /// All of `want` that none of `have` (the nearest first) holds.
    pub(in crate::server) fn new(source: &'s Snapshot<'s>, want: Commit, have: &[Commit]) -> Self {
        Self { source, want, have: Have::new(source, have) }
    }

    /// Sends it. Does not end the stream.
    pub(in crate::server) fn send<W: Write>(mut self, stream: &mut StreamWriter<W>) -> Result<Sent, PackError> {
        let mut sent = Sent::default();
        stream.write(&Frame::Commit(self.want.clone()))?;
        let wanted = self.send_trees(stream, &mut sent)?;
        self.send_blobs(wanted, stream, &mut sent)?;
        Ok(sent)
    }

    /// Sends the trees in pre-order and lists the blobs in the order in which they are named.
    fn send_trees<W: Write>(
        &mut self,
        stream: &mut StreamWriter<W>,
        sent: &mut Sent,
    ) -> Result<Vec<Wanted>, PackError> {
        let mut wanted = Vec::new();
        let mut named = HashSet::new();
        let mut done: HashSet<TreeId> = HashSet::new();
        let mut open = vec![(self.want.root.id, self.have.nearest_root())];
        while let Some((id, counterpart)) = open.pop() {
            if counterpart == Some(id) || done.contains(&id) {
                continue;
            }
            if counterpart.is_none() {
                self.have.load();
            }
            if self.have.holds_tree(&id) {
                continue;
            }
            done.insert(id);
            let tree = self.source.tree(&id)?.ok_or(PackError::NoTree(id))?;
            let base = counterpart.and_then(|id| Some((id, self.have.readable(id)?)));
            let below = open.len();
            for (name, entry) in tree.entries() {
                let before = base.as_ref().and_then(|(_, base)| base.get(name.as_bytes()));
                match (entry, before) {
                    (Entry::Tree(subtree), Some(Entry::Tree(before))) => open.push((subtree.id, Some(before.id))),
                    (Entry::Tree(subtree), _) => open.push((subtree.id, None)),
                    (Entry::File { id, .. }, Some(Entry::File { id: before, .. })) if id == before => {}
                    (Entry::File { id, size, .. }, before) => {
                        if named.insert(*id) {
                            let counterpart = before.and_then(blob_of);
                            wanted.push(Wanted { id: *id, size: *size, counterpart });
                        }
                    }
                    (Entry::Symlink(_), _) => {}
                }
            }
            // The last one pushed is popped first.
            open[below..].reverse();
            stream.write(&smaller_frame(tree, base))?;
            sent.trees += 1;
        }
        Ok(wanted)
    }

    /// Sends the blobs. One that the store has lost does not keep the others back: the client keeps what arrives before the stream
    /// fails at its end.
    fn send_blobs<W: Write>(
        &mut self,
        wanted: Vec<Wanted>,
        stream: &mut StreamWriter<W>,
        sent: &mut Sent,
    ) -> Result<(), PackError> {
        if wanted.iter().fold(0u64, |sum, blob| sum.saturating_add(blob.size)) > WORTH_A_WALK {
            self.have.load();
        }
        let mut lost = None;
        for Wanted { id, counterpart, .. } in wanted {
            if self.have.holds_blob(&id) {
                continue;
            }
            let have = &mut self.have;
            match send_blob(self.source, id, || have.chunks(counterpart), stream) {
                Ok(()) => sent.blobs += 1,
                Err(error @ PackError::NoBlob(_)) => lost = lost.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        lost.map_or(Ok(()), Err)
    }
}

fn blob_of(entry: &Entry) -> Option<BlobId> {
    match entry {
        Entry::File { id, .. } => Some(*id),
        Entry::Symlink(_) | Entry::Tree(_) => None,
    }
}

/// The tree, or its difference from what the client has at the same path, whichever is smaller.
fn smaller_frame(tree: Tree, base: Option<(TreeId, Tree)>) -> Frame {
    let Some((base_id, base)) = base else {
        return Frame::Tree(tree);
    };
    let delta = TreeDelta::between(base_id, &base, &tree);
    let removed: usize = delta.removed.iter().map(|name| 1 + name.as_bytes().len()).sum();
    let delta_size = base_id.as_bytes().len() + 4 + removed + encode_tree(&delta.changed).len();
    if delta_size < encode_tree(&tree).len() { Frame::TreeDelta(delta) } else { Frame::Tree(tree) }
}
