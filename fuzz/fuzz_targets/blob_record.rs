//! Blob records: what is accepted is canonical, and its chunks make up its size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sceneshift::codec::{BlobRecord, decode_blob_record, encode_chunk_list, encode_whole_blob};
use sceneshift_fuzz::bounded;

fuzz_target!(|bytes: &[u8]| {
    match bounded(4096 + 4 * bytes.len(), || decode_blob_record(bytes)) {
        Ok(BlobRecord::Whole(content)) => assert_eq!(encode_whole_blob(content), bytes),
        Ok(BlobRecord::Chunked(list)) => {
            assert_eq!(encode_chunk_list(&list), bytes);
            let sum: u64 = list.chunks().iter().map(|chunk| u64::from(chunk.length)).sum();
            assert_eq!(sum, list.size());
        }
        Err(_) => {}
    }
});
