//! How a large blob is made up of smaller ones (`storage-format.md` §5).

use super::BlobId;

/// The largest blob, in bytes, that is stored and sent whole; a larger one is cut into chunks of at most this size.
pub const MAX_WHOLE_BLOB: usize = 1 << 20;

/// The most chunks of one blob.
const MAX_CHUNKS: usize = 1 << 24;

/// One piece of a large blob: itself a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// The id of the piece's bytes.
    pub id: BlobId,
    /// Its length in bytes: 1 to [`MAX_WHOLE_BLOB`].
    pub length: u32,
}

/// The pieces of one large blob, in order. Their lengths add up to its size, which is above [`MAX_WHOLE_BLOB`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkList {
    size: u64,
    chunks: Vec<Chunk>,
}

/// Why chunks do not make a blob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkListError {
    /// A chunk that is empty or too long.
    #[error("a chunk of {0} bytes; 1 to {MAX_WHOLE_BLOB} are allowed")]
    Length(u32),
    /// Lengths that do not add up.
    #[error("the chunks have {sum} bytes, the blob {size}")]
    Sum {
        /// What the chunks have together.
        sum: u64,
        /// What the blob is said to have.
        size: u64,
    },
    /// A blob that must be stored whole.
    #[error("a blob of {0} bytes is stored whole, not in chunks")]
    TooSmall(u64),
    /// More chunks than the limit.
    #[error("{0} chunks; {MAX_CHUNKS} are the limit")]
    TooMany(usize),
}

impl ChunkList {
    /// Checks and takes the chunks of a blob of `size` bytes.
    pub fn new(size: u64, chunks: Vec<Chunk>) -> Result<Self, ChunkListError> {
        if size <= MAX_WHOLE_BLOB as u64 {
            return Err(ChunkListError::TooSmall(size));
        }
        if chunks.len() > MAX_CHUNKS {
            return Err(ChunkListError::TooMany(chunks.len()));
        }
        let fits = |length: u32| (1..=MAX_WHOLE_BLOB as u32).contains(&length);
        if let Some(chunk) = chunks.iter().find(|chunk| !fits(chunk.length)) {
            return Err(ChunkListError::Length(chunk.length));
        }
        let sum = chunks.iter().map(|chunk| u64::from(chunk.length)).sum();
        if sum == size { Ok(Self { size, chunks }) } else { Err(ChunkListError::Sum { sum, size }) }
    }

    /// The size of the whole blob in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The pieces, in order.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_chunks_that_add_up_make_a_blob() {
        let chunk = |length| Chunk { id: BlobId::of(b""), length };
        let most = MAX_WHOLE_BLOB as u32;
        assert!(ChunkList::new(u64::from(most) + 1, vec![chunk(most), chunk(1)]).is_ok());
        assert_eq!(ChunkList::new(u64::from(most), vec![chunk(most)]), Err(ChunkListError::TooSmall(u64::from(most))));
        assert_eq!(ChunkList::new(1 << 21, vec![chunk(most + 1)]), Err(ChunkListError::Length(most + 1)));
        assert_eq!(ChunkList::new(1 << 21, vec![chunk(0)]), Err(ChunkListError::Length(0)));
        let short = ChunkListError::Sum { sum: u64::from(most), size: 1 << 21 };
        assert_eq!(ChunkList::new(1 << 21, vec![chunk(most)]), Err(short));
    }
}
