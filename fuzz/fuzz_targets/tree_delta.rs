//! Trees as differences: one that fits its base is the only one that leads to its result.
//!
//! The input: the base's length (`u16`), the base, the payload of a frame of kind 3.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sceneshift::codec::{decode_tree, encode_tree};
use sceneshift::wire::{Frame, StreamReader, TreeDelta};

fuzz_target!(|input: &[u8]| {
    let Some((length, rest)) = input.split_first_chunk() else { return };
    let Some((base, payload)) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length))) else { return };
    let (Ok(base), Some(delta)) = (decode_tree(base), read(payload)) else { return };
    if let Ok(tree) = delta.apply(&base) {
        assert_eq!(TreeDelta::between(delta.base, &base, &tree), delta);
        assert_eq!(decode_tree(&encode_tree(&tree)), Ok(tree));
    }
});

/// The delta of this payload, taken from a stream: that is the only way in.
fn read(payload: &[u8]) -> Option<TreeDelta> {
    let length = u32::try_from(payload.len()).ok()?;
    let stream = [b"SCNSHFT1\x03", &length.to_le_bytes()[..], payload].concat();
    let compressed = zstd::encode_all(stream.as_slice(), 1).ok()?;
    match StreamReader::new(compressed.as_slice()).ok()?.next_frame() {
        Ok(Some(Frame::TreeDelta(delta))) => Some(delta),
        _ => None,
    }
}
