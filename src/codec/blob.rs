//! Blob records and chunk lists (`storage-format.md` §5).

use super::{DecodeError, Reader, Writer};
use crate::values::{BlobId, Chunk, ChunkList, MAX_WHOLE_BLOB};

const WHOLE: u8 = 0;
const CHUNKED: u8 = 1;

/// A blob as the primary's store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobRecord<'a> {
    /// All its bytes, at most 1 MiB.
    Whole(&'a [u8]),
    /// The chunks that make it up.
    Chunked(ChunkList),
}

/// The record of a blob that is stored whole.
pub fn encode_whole_blob(content: &[u8]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(1 + content.len());
    writer.put(WHOLE);
    writer.raw(content);
    writer.finish()
}

/// The record of a blob that is stored in chunks.
pub fn encode_chunk_list(list: &ChunkList) -> Vec<u8> {
    let mut writer = Writer::with_capacity(13 + list.chunks().len() * 36);
    writer.put(CHUNKED);
    write_chunk_list(&mut writer, list, |_, _| ());
    writer.finish()
}

/// Reads a blob record. Whether the bytes hash to the record's key is for the caller to check.
pub fn decode_blob_record(bytes: &[u8]) -> Result<BlobRecord<'_>, DecodeError> {
    let mut reader = Reader::new("a blob record", bytes);
    match reader.take()? {
        WHOLE => {
            let content = reader.remaining();
            if content.len() > MAX_WHOLE_BLOB {
                return Err(DecodeError::TooLarge { what: "a blob", size: content.len(), limit: MAX_WHOLE_BLOB });
            }
            Ok(BlobRecord::Whole(content))
        }
        CHUNKED => {
            let list = read_chunk_list(&mut reader, |_, _| Ok(()))?;
            reader.finish()?;
            Ok(BlobRecord::Chunked(list))
        }
        tag => Err(DecodeError::Tag { what: "a blob record", tag }),
    }
}

/// Writes a chunk list; `extra` writes what follows each chunk, by its position.
pub fn write_chunk_list(writer: &mut Writer, list: &ChunkList, mut extra: impl FnMut(&mut Writer, usize)) {
    writer.put(list.size());
    writer.count::<u32>(list.chunks().len());
    for (at, chunk) in list.chunks().iter().enumerate() {
        writer.put((*chunk.id.as_bytes(), chunk.length));
        extra(writer, at);
    }
}

/// Reads a chunk list; `extra` reads what follows each chunk, by its position.
pub fn read_chunk_list(
    reader: &mut Reader<'_>,
    mut extra: impl FnMut(&mut Reader<'_>, usize) -> Result<(), DecodeError>,
) -> Result<ChunkList, DecodeError> {
    let size = reader.take()?;
    let mut chunks = Vec::new();
    for at in 0..reader.count::<u32>()? {
        let (id, length) = reader.take()?;
        chunks.push(Chunk { id: BlobId::from_bytes(id), length });
        extra(reader, at)?;
    }
    Ok(ChunkList::new(size, chunks)?)
}
