//! Streams: what is accepted is written as it was read, and no claim of a length makes the reader allocate.
//!
//! The input is a stream before its compression; beside that it is tried as a compressed one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sceneshift::wire::{Frame, StreamError, StreamReader, StreamWriter};
use sceneshift_fuzz::bounded;

/// What one step for a payload that has not arrived takes, with the buffers of the reader.
const FIXED: usize = 2 << 20;

fuzz_target!(|bytes: &[u8]| {
    let compressed = zstd::encode_all(bytes, 1).expect("memory can be compressed");
    if let Ok(frames) = bounded(FIXED + 48 * bytes.len(), || read(&compressed)) {
        assert_eq!(written(&frames), bytes);
    }
    // These may stand for many more bytes, so that only one frame is kept at a time.
    if let Ok(mut reader) = StreamReader::new(bytes) {
        while let Ok(Some(_)) = reader.next_frame() {}
    }
});

fn read(compressed: &[u8]) -> Result<Vec<Frame>, StreamError> {
    let mut reader = StreamReader::new(compressed)?;
    std::iter::from_fn(|| reader.next_frame().transpose()).collect()
}

fn written(frames: &[Frame]) -> Vec<u8> {
    let mut writer = StreamWriter::new(Vec::new()).expect("memory takes everything");
    frames.iter().for_each(|frame| writer.write(frame).expect("a frame that was read can be written"));
    let compressed = writer.finish().expect("memory takes everything");
    zstd::decode_all(compressed.as_slice()).expect("our own compression")
}
