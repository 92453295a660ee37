//! Bytes of values and back: the canonical encodings of `storage-format.md` §3 to §5.
//!
//! Canonical or rejected: where `decode(b)` succeeds, `encode` of its result gives `b` again. Nothing is repaired while
//! reading, and nothing is allocated for a length that the bytes at hand do not back.
//!
//! `bincode` encodes the numbers; which numbers stand where is said by the format, so the crate can be replaced.

mod blob;
mod commit;
mod error;
mod primitive;
mod tree;

pub use blob::{
    BlobRecord, decode_blob_record, encode_chunk_list, encode_whole_blob, read_chunk_list, write_chunk_list,
};
pub use commit::{decode_commit, encode_commit};
pub use error::DecodeError;
pub use primitive::{Reader, Writer};
pub use tree::{MAX_TREE_BYTES, decode_tree, encode_tree, read_tree, write_tree};
