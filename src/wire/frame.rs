//! One frame of the stream (`storage-format.md` §7).

use super::TreeDelta;
use crate::codec::{
    self, DecodeError, MAX_TREE_BYTES, Reader, Writer, decode_commit, decode_tree, read_chunk_list, read_tree,
    write_chunk_list, write_tree,
};
use crate::values::{BlobId, ChunkList, Commit, MAX_WHOLE_BLOB, Name, Tree, TreeId};

const COMMIT: u8 = 1;
const TREE: u8 = 2;
const TREE_DELTA: u8 = 3;
const BLOB: u8 = 4;
const CHUNKED: u8 = 5;
const CHUNK: u8 = 6;
const END: u8 = 7;
const FAILED: u8 = 8;

const MIB: usize = 1 << 20;

/// What one frame holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A commit.
    Commit(Commit),
    /// A tree, in full.
    Tree(Tree),
    /// A tree, as the difference from one that the receiver has.
    TreeDelta(TreeDelta),
    /// The bytes of a blob of at most 1 MiB.
    Blob(Vec<u8>),
    /// A larger blob begins: its chunks, and which of them follow.
    Chunked {
        /// The whole blob's id.
        id: BlobId,
        /// Its chunks.
        chunks: ChunkList,
        /// For each chunk whether it follows in a frame of its own.
        sent: Vec<bool>,
    },
    /// The bytes of one chunk.
    Chunk(Vec<u8>),
    /// The stream is whole, of this many frames before this one.
    End(u64),
    /// The sender could not go on.
    Failed(String),
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A kind that means nothing.
    #[error("a frame of the unknown kind {0}")]
    Kind(u8),
    /// A payload over its kind's limit.
    #[error("a frame of kind {kind} with {length} bytes; {limit} are the limit")]
    TooLarge {
        /// The frame's kind.
        kind: u8,
        /// The length it claims, in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A payload that cannot be decoded.
    #[error(transparent)]
    Payload(#[from] DecodeError),
}

impl Frame {
    /// The most bytes that a payload of this kind may have.
    pub(super) fn check_length(kind: u8, length: usize) -> Result<(), FrameError> {
        let limit = match kind {
            TREE | TREE_DELTA | CHUNKED => MAX_TREE_BYTES,
            BLOB | CHUNK => MAX_WHOLE_BLOB,
            COMMIT => MIB,
            END => 8,
            FAILED => 64 << 10,
            _ => return Err(FrameError::Kind(kind)),
        };
        if length > limit { Err(FrameError::TooLarge { kind, length, limit }) } else { Ok(()) }
    }

    /// The frame's kind and payload.
    pub(super) fn encode(&self) -> (u8, Vec<u8>) {
        let mut writer = Writer::new();
        let kind = match self {
            Frame::Commit(commit) => return (COMMIT, codec::encode_commit(commit)),
            Frame::Tree(tree) => return (TREE, codec::encode_tree(tree)),
            Frame::Blob(content) => return (BLOB, content.clone()),
            Frame::Chunk(content) => return (CHUNK, content.clone()),
            Frame::TreeDelta(delta) => {
                writer.put(*delta.base.as_bytes());
                writer.count::<u32>(delta.removed.len());
                for name in &delta.removed {
                    writer.short::<u8>(name.as_bytes());
                }
                write_tree(&mut writer, &delta.changed);
                TREE_DELTA
            }
            Frame::Chunked { id, chunks, sent } => {
                writer.put(*id.as_bytes());
                write_chunk_list(&mut writer, chunks, |writer, at| writer.put(u8::from(sent[at])));
                CHUNKED
            }
            Frame::End(frames) => {
                writer.put(*frames);
                END
            }
            Frame::Failed(why) => {
                let end = why.floor_char_boundary(64 << 10);
                writer.raw(&why.as_bytes()[..end]);
                FAILED
            }
        };
        (kind, writer.finish())
    }

    /// The frame of this kind and payload.
    pub(super) fn decode(kind: u8, payload: Vec<u8>) -> Result<Self, FrameError> {
        Self::check_length(kind, payload.len())?;
        Ok(match kind {
            COMMIT => Frame::Commit(decode_commit(&payload)?),
            TREE => Frame::Tree(decode_tree(&payload)?),
            TREE_DELTA => Frame::TreeDelta(decode_delta(&payload)?),
            BLOB => Frame::Blob(payload),
            CHUNKED => decode_chunked(&payload)?,
            CHUNK => Frame::Chunk(payload),
            END => {
                let mut reader = Reader::new("an end frame", &payload);
                let frames = reader.take()?;
                reader.finish()?;
                Frame::End(frames)
            }
            FAILED => match String::from_utf8(payload) {
                Ok(why) => Frame::Failed(why),
                Err(_) => return Err(DecodeError::NotUtf8("the sender's reason").into()),
            },
            _ => return Err(FrameError::Kind(kind)),
        })
    }
}

fn decode_delta(payload: &[u8]) -> Result<TreeDelta, DecodeError> {
    let mut reader = Reader::new("a tree delta", payload);
    let base = TreeId::from_bytes(reader.take()?);
    let mut removed = Vec::new();
    for _ in 0..reader.count::<u32>()? {
        removed.push(Name::new(reader.short::<u8>()?)?);
    }
    let changed = read_tree(&mut reader)?;
    reader.finish()?;
    Ok(TreeDelta { base, removed, changed })
}

fn decode_chunked(payload: &[u8]) -> Result<Frame, DecodeError> {
    let mut reader = Reader::new("a chunked blob", payload);
    let id = BlobId::from_bytes(reader.take()?);
    let mut sent = Vec::new();
    let chunks = read_chunk_list(&mut reader, |reader, _| match reader.take()? {
        0u8 => {
            sent.push(false);
            Ok(())
        }
        1 => {
            sent.push(true);
            Ok(())
        }
        tag => Err(DecodeError::Tag { what: "a chunked blob", tag }),
    })?;
    reader.finish()?;
    Ok(Frame::Chunked { id, chunks, sent })
}
