//! What is sent to a client that lacks objects: frames in the order of `storage-format.md` §7.
//!
//! ```text
//! fetch.rs    a whole commit, less what the client holds
//! have.rs     what the client holds
//! objects.rs  single objects, each only where it stands at the path that is asked
//! ```
//!
//! Blocking, over one consistent view of the store, and free of HTTP. Invariants: no object is sent twice in one stream; nothing is
//! left out unless a commit that the client named holds it; one blob or tree is in memory at a time, besides lists of ids.
//!
//! Deliberately absent: verifying what is read. The receiver hashes every object, so damage cannot spread; `fsck` finds it here.

mod fetch;
mod have;
mod objects;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::io::{self, Write};
use std::rc::Rc;

pub(super) use fetch::Fetch;
pub(super) use objects::{misplaced, send_objects};

use crate::store::{ReadStore, Snapshot, StoreError, StoredBlob};
use crate::values::{BlobId, ChunkList, TreeId};
use crate::wire::{Frame, StreamWriter};

/// Why a stream cannot be finished.
#[derive(Debug, thiserror::Error)]
pub(super) enum PackError {
    /// The receiver went away, or takes nothing any more.
    #[error("the receiver is gone")]
    Receiver(#[from] io::Error),
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
    /// A tree that a commit needs is not stored.
    #[error("the store lacks the tree {0}; run `sceneshift fsck` on the primary")]
    NoTree(TreeId),
    /// A blob that a tree names is not stored.
    #[error("the store lacks the blob {0}; run `sceneshift fsck` on the primary")]
    NoBlob(BlobId),
    /// A piece of a blob is not stored, or is itself cut into pieces.
    #[error("the store lacks the piece {chunk} of the blob {blob}; run `sceneshift fsck` on the primary")]
    NoChunk {
        /// The whole blob.
        blob: BlobId,
        /// The piece.
        chunk: BlobId,
    },
}

/// How much was sent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// Trees, whole or as a delta.
    pub(super) trees: u64,
    /// Blobs, whole or in pieces.
    pub(super) blobs: u64,
}

/// Sends one blob; of a large one without the pieces that the receiver has.
fn send_blob<W: Write>(
    source: &Snapshot<'_>,
    id: BlobId,
    held: impl FnOnce() -> Result<Rc<HashSet<BlobId>>, PackError>,
    stream: &mut StreamWriter<W>,
) -> Result<(), PackError> {
    match source.blob(&id)?.ok_or(PackError::NoBlob(id))? {
        StoredBlob::Whole(content) => Ok(stream.write(&Frame::Blob(content))?),
        StoredBlob::Chunked(chunks) => {
            let held = held()?;
            send_chunked(source, id, chunks, &held, stream)
        }
    }
}

fn send_chunked<W: Write>(
    source: &Snapshot<'_>,
    id: BlobId,
    chunks: ChunkList,
    held: &HashSet<BlobId>,
    stream: &mut StreamWriter<W>,
) -> Result<(), PackError> {
    let sent: Vec<bool> = chunks.chunks().iter().map(|chunk| !held.contains(&chunk.id)).collect();
    let pieces: Vec<BlobId> =
        chunks.chunks().iter().zip(&sent).filter(|(_, sent)| **sent).map(|(chunk, _)| chunk.id).collect();
    stream.write(&Frame::Chunked { id, chunks, sent })?;
    for chunk in pieces {
        match source.blob(&chunk)? {
            Some(StoredBlob::Whole(content)) => stream.write(&Frame::Chunk(content))?,
            Some(StoredBlob::Chunked(_)) | None => return Err(PackError::NoChunk { blob: id, chunk }),
        }
    }
    Ok(())
}
