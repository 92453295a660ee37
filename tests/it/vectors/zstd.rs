//! The compression around the frames (`storage-format.md` §7): zstd's own frame (RFC 8878), put together by hand with blocks that are not
//! compressed, so that no version of a compressor matters.

use sceneshift::wire::StreamError;

use super::bytes::Bytes;
use super::streams::{kinds, read_all, shown};
use super::{Case, File, Outcome};

pub(super) fn file() -> File {
    let about = "Compressed streams (storage-format.md §7), of blocks that zstd stores as they are (RFC 8878, 3.1.1).
        The lines: zstd's magic number, frame header and window; the blocks, each with its header of 3 bytes.";
    File { name: "compressed.txt", about, cases: cases(), check: |inputs| check(&inputs[0]) }
}

fn check(bytes: &[u8]) -> Outcome {
    match read_all(bytes) {
        Ok(frames) => Outcome::Accepted(vec![("frames", kinds(&frames))]),
        Err(error) => Outcome::Rejected(shown(&error)),
    }
}

/// A window of 2^10 bytes, `exponent` times doubled.
fn head(exponent: u8) -> Bytes {
    Bytes::new().raw(&[0x28, 0xb5, 0x2f, 0xfd]).u8(0).u8(exponent << 3)
}

fn block(last: bool, content: &[u8]) -> Bytes {
    let header = (content.len() as u32) << 3 | u32::from(last);
    Bytes::new().line().raw(&header.to_le_bytes()[..3]).raw(content)
}

/// A stream of one blob.
const STREAM: &[u8] = b"SCNSHFT1\x04\x05\0\0\0hello\x07\x08\0\0\0\x01\0\0\0\0\0\0\0";

/// One that reads, however the frames are cut into blocks: so it has no encoding of its own to compare with.
fn good(name: &str, bytes: Bytes) -> Case {
    let outcome = Outcome::Accepted(vec![("frames", "blob".into())]);
    Case { name: name.into(), inputs: vec![("bytes", bytes)], encoded: None, outcome }
}

fn bad(name: &str, bytes: Bytes, error: &StreamError) -> Case {
    Case { outcome: Outcome::Rejected(shown(error)), ..Case::bad(name, bytes, ()) }
}

fn cases() -> Vec<Case> {
    let whole = || head(0).then(block(true, STREAM));
    let io = || StreamError::Io(std::io::ErrorKind::Other.into());
    vec![
        good("one block", whole()),
        good("a block for the head of a frame, one for its payload", {
            let (front, back) = STREAM.split_at(13);
            head(0).then(block(false, front)).then(block(true, back))
        }),
        good("a window of 8 MiB", head(13).then(block(true, STREAM))),
        bad("a window of 16 MiB", head(14).then(block(true, STREAM)), &io()),
        bad("nothing", Bytes::new(), &StreamError::Cut),
        bad("not zstd", Bytes::new().raw(STREAM), &io()),
        bad("cut in the compression's head", whole().cut(3), &StreamError::Cut),
        bad("cut in the last block", whole().cut(whole().len() - 1), &StreamError::Cut),
        bad("no last block", head(0).then(block(false, STREAM)), &io()),
        bad("a byte after the compression", whole().line().u8(0), &StreamError::AfterEnd),
        bad("a second compressed stream", whole().line().then(whole()), &StreamError::AfterEnd),
    ]
}
