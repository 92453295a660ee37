//! Blobs above 1 MiB.

use std::io::Read;

use super::*;
use crate::values::{ChunkList, MAX_WHOLE_BLOB};

const FIVE_MIB: usize = 5 << 20;

fn chunk_list(store: &Store, id: &BlobId) -> ChunkList {
    match store.blob(id).unwrap() {
        Some(StoredBlob::Chunked(list)) => list,
        other => panic!("not in chunks: {other:?}"),
    }
}

#[test]
fn a_large_blob_is_stored_in_chunks_and_reads_back() {
    let store = Fixture::new();
    let content = noise(1, FIVE_MIB);
    let guard = store.begin_commit(&repo_name("code"));
    let written = guard.write_blob(&mut content.as_slice()).unwrap();
    assert_eq!(written, WrittenBlob { id: BlobId::of(&content), size: FIVE_MIB as u64, new: true });
    assert_eq!(read_blob(&**store, &written.id), Some(content.clone()));
    let list = chunk_list(&store, &written.id);
    assert!((5..=20).contains(&list.chunks().len()), "{} chunks", list.chunks().len());
    for chunk in list.chunks() {
        assert!(
            matches!(store.blob(&chunk.id).unwrap(), Some(StoredBlob::Whole(piece)) if piece.len() as u32 == chunk.length)
        );
    }
    assert!(!guard.write_blob(&mut content.as_slice()).unwrap().new);
}

#[test]
fn exactly_one_mebibyte_is_whole_and_a_byte_more_is_not() {
    let store = Fixture::new();
    let guard = store.begin_commit(&repo_name("code"));
    let content = noise(2, MAX_WHOLE_BLOB + 1);
    let whole = guard.write_blob(&mut &content[..MAX_WHOLE_BLOB]).unwrap();
    assert!(matches!(store.blob(&whole.id).unwrap(), Some(StoredBlob::Whole(_))));
    let chunked = guard.write_blob(&mut content.as_slice()).unwrap();
    assert_eq!(chunk_list(&store, &chunked.id).size(), MAX_WHOLE_BLOB as u64 + 1);
    assert_eq!(read_blob(&**store, &chunked.id), Some(content));
}

#[test]
fn an_edit_in_the_middle_leaves_most_chunks_as_they_were() {
    let store = Fixture::new();
    let guard = store.begin_commit(&repo_name("code"));
    let mut content = noise(3, 2 * FIVE_MIB);
    let before = guard.write_blob(&mut content.as_slice()).unwrap();
    content.splice(FIVE_MIB..FIVE_MIB, *b"a few more bytes");
    let after = guard.write_blob(&mut content.as_slice()).unwrap();
    let (before, after) = (chunk_list(&store, &before.id), chunk_list(&store, &after.id));
    let new = after.chunks().iter().filter(|chunk| !before.chunks().contains(chunk)).count();
    assert!(new <= 2, "{new} of {} chunks are new", after.chunks().len());
}

#[test]
fn the_borders_of_chunks_stay_where_they_are_from_version_to_version() {
    let store = Fixture::new();
    let guard = store.begin_commit(&repo_name("code"));
    let id = guard.write_blob(&mut noise(4, FIVE_MIB).as_slice()).unwrap().id;
    let lengths: Vec<_> = chunk_list(&store, &id).chunks().iter().map(|chunk| chunk.length).collect();
    // Other lengths here mean that every large file already stored is stored, and sent, once more.
    insta::assert_compact_debug_snapshot!(lengths, @"[808866, 834179, 806989, 832959, 629750, 570383, 267889, 491865]");
}

#[test]
fn a_blob_is_never_in_memory_as_a_whole() {
    /// Zeros, read in small pieces; remembers how far it was read when chunks were asked for.
    struct Zeros<'a> {
        left: usize,
        store: &'a Store,
    }
    impl Read for Zeros<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = buffer.len().min(self.left).min(64 << 10);
            buffer[..count].fill(0);
            self.left -= count;
            // From the third MiB on, the first chunk must have gone to the store.
            if self.left < (61 << 20) {
                assert!(self.store.blob_is_there(&BlobId::of(&vec![0; MAX_WHOLE_BLOB])).unwrap());
            }
            Ok(count)
        }
    }
    let store = Fixture::new();
    let guard = store.begin_commit(&repo_name("code"));
    let written = guard.write_blob(&mut Zeros { left: 64 << 20, store: &store }).unwrap();
    assert_eq!(written.size, 64 << 20);
    assert_eq!(chunk_list(&store, &written.id).chunks().len(), 64, "of zeros no border is found before the maximum");
}

#[test]
fn a_content_that_cannot_be_read_to_its_end_is_not_stored() {
    struct Breaks(usize);
    impl Read for Breaks {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = buffer.len().min(self.0);
            self.0 -= count;
            if count == 0 { Err(std::io::Error::other("gone")) } else { Ok(count) }
        }
    }
    let store = Fixture::new();
    let guard = store.begin_commit(&repo_name("code"));
    for size in [10, 3 << 20] {
        assert!(matches!(guard.write_blob(&mut Breaks(size)), Err(StoreError::Content(_))));
    }
}

#[test]
fn a_missing_or_wrong_chunk_is_told_by_its_id() {
    let store = Fixture::new();
    let id = store.begin_commit(&repo_name("code")).write_blob(&mut noise(5, FIVE_MIB).as_slice()).unwrap().id;
    let chunk = chunk_list(&store, &id).chunks()[2];
    store.put_raw(Family::Blobs, chunk.id.as_bytes(), b"\0short");
    let error = store.copy_blob(&id, &mut std::io::sink()).unwrap_err();
    assert!(matches!(&error, StoreError::Damaged { source: Damage::ChunkLength { found: 5, .. }, .. }), "{error:?}");
    assert!(error.to_string().contains(&chunk.id.to_string()));
    store.remove_raw(Family::Blobs, chunk.id.as_bytes());
    let error = store.copy_blob(&id, &mut std::io::sink()).unwrap_err();
    assert!(matches!(error, StoreError::Missing { family: Family::Blobs, .. }), "{error:?}");
    let guard = store.begin_commit(&repo_name("code"));
    guard.replace_blob(&mut noise(5, FIVE_MIB).as_slice()).unwrap();
    assert!(store.copy_blob(&id, &mut std::io::sink()).is_ok(), "replacing a blob replaces its chunks");
}
