//! Blob records and chunk lists (`storage-format.md` §5).

use sceneshift::codec::{BlobRecord, DecodeError, decode_blob_record, encode_chunk_list, encode_whole_blob};
use sceneshift::values::{BlobId, Chunk, ChunkList, ChunkListError};

use super::bytes::Bytes;
use super::{Case, File, Outcome};

pub(super) const MIB: u32 = 1 << 20;

const CHUNK: [u8; 32] = [0xaa; 32];

pub(super) fn file() -> File {
    let about = "Blob records (storage-format.md §5). `is` says what a record that is accepted holds.";
    File { name: "blob-record.txt", about, cases: [accepted(), rejected()].concat(), check: |inputs| check(&inputs[0]) }
}

fn check(bytes: &[u8]) -> Outcome {
    let (again, is) = match decode_blob_record(bytes) {
        Ok(BlobRecord::Whole(content)) => (encode_whole_blob(content), whole_is(content.len())),
        Ok(BlobRecord::Chunked(list)) => (encode_chunk_list(&list), chunked_is(list.size(), list.chunks().len())),
        Err(error) => return Outcome::Rejected(format!("{error:?}")),
    };
    assert!(again == bytes, "a record that was read is not encoded as it was");
    Outcome::Accepted(vec![("is", is)])
}

fn whole_is(size: usize) -> String {
    format!("whole, {size} bytes")
}

fn chunked_is(size: u64, chunks: usize) -> String {
    format!("{size} bytes in {chunks} chunks")
}

/// The bytes of a chunk list, from the page.
fn chunk_list(size: u64, lengths: &[u32]) -> Bytes {
    let begin = Bytes::new().u8(1).u64(size).u32(lengths.len() as u32);
    lengths.iter().fold(begin, |bytes, length| bytes.line().raw(&CHUNK).u32(*length))
}

/// The value, for the program's encoder.
pub(super) fn list_value(size: u64, lengths: &[u32]) -> ChunkList {
    let chunk = |length: &u32| Chunk { id: BlobId::from_bytes(CHUNK), length: *length };
    ChunkList::new(size, lengths.iter().map(chunk).collect()).expect("a good chunk list")
}

fn accepted() -> Vec<Case> {
    let whole = |name: &str, content: &[u8]| {
        let facts = vec![("is", whole_is(content.len()))];
        Case::good(name, Bytes::new().u8(0).raw(content), encode_whole_blob(content), facts)
    };
    let chunked = |name: &str, size: u64, lengths: &[u32]| {
        let facts = vec![("is", chunked_is(size, lengths.len()))];
        Case::good(name, chunk_list(size, lengths), encode_chunk_list(&list_value(size, lengths)), facts)
    };
    vec![
        whole("an empty blob", b""),
        whole("a blob of a few bytes", b"notify { 'hello': }\n"),
        whole("a blob of 1 MiB less one byte", &vec![b'b'; MIB as usize - 1]),
        whole("a blob of 1 MiB", &vec![b'b'; MIB as usize]),
        chunked("the smallest blob in chunks: 1 MiB and one byte", u64::from(MIB) + 1, &[MIB, 1]),
        chunked("the shortest chunk first", u64::from(MIB) + 1, &[1, MIB]),
        chunked("the same chunk three times", 3 * u64::from(MIB), &[MIB; 3]),
    ]
}

fn rejected() -> Vec<Case> {
    let size = u64::from(MIB) + 1;
    let list = || chunk_list(size, &[MIB, 1]);
    let truncated = || DecodeError::Truncated("a blob record");
    let chunks = DecodeError::Chunks;
    vec![
        Case::bad("nothing", Bytes::new(), truncated()),
        Case::bad("tag 2", Bytes::new().u8(2), DecodeError::Tag { what: "a blob record", tag: 2 }),
        Case::bad(
            "a whole blob of 1 MiB and one byte",
            Bytes::new().u8(0).run(b'b', MIB as usize + 1),
            DecodeError::TooLarge { what: "a blob", size: MIB as usize + 1, limit: MIB as usize },
        ),
        Case::bad("no chunks and no bytes", chunk_list(0, &[]), chunks(ChunkListError::TooSmall(0))),
        Case::bad("1 MiB in chunks", chunk_list(size - 1, &[MIB]), chunks(ChunkListError::TooSmall(size - 1))),
        Case::bad("a chunk of no bytes", chunk_list(size, &[MIB, 1, 0]), chunks(ChunkListError::Length(0))),
        Case::bad(
            "a chunk of 1 MiB and one byte",
            chunk_list(size, &[MIB + 1]),
            chunks(ChunkListError::Length(MIB + 1)),
        ),
        Case::bad(
            "chunks of one byte less than the blob",
            chunk_list(size, &[MIB]),
            chunks(ChunkListError::Sum { sum: size - 1, size }),
        ),
        Case::bad(
            "chunks of one byte more than the blob",
            chunk_list(size, &[MIB, 2]),
            chunks(ChunkListError::Sum { sum: size + 1, size }),
        ),
        Case::bad("a size of 2^64 - 1", chunk_list(u64::MAX, &[MIB]), {
            chunks(ChunkListError::Sum { sum: u64::from(MIB), size: u64::MAX })
        }),
        Case::bad("a count of 2^32 - 1, and nothing after it", Bytes::new().u8(1).u64(size).u32(u32::MAX), truncated()),
        Case::bad("a byte too many", list().u8(0), DecodeError::Trailing(1)),
        Case::bad("cut in the size", list().cut(8), truncated()),
        Case::bad("cut in the last chunk", list().cut(list().len() - 1), truncated()),
    ]
}
