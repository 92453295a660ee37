//! Streams of frames (`storage-format.md` §7), as they are before they are compressed.

use std::io;

use sceneshift::codec::{DecodeError, decode_commit};
use sceneshift::values::{BlobId, ChunkListError, Name, NameError, Tree, TreeError, TreeId};
use sceneshift::wire::{Frame, FrameError, StreamError, StreamReader, StreamWriter, TreeDelta};

use super::blobs::{MIB, list_value};
use super::bytes::Bytes;
use super::trees::{file_entry, file_value, tree, value};
use super::{Case, File, Outcome};

const BASE: [u8; 32] = [0xba; 32];
const LARGE: [u8; 32] = [0x1a; 32];
const CHUNK: [u8; 32] = [0xaa; 32];

pub(super) fn file() -> File {
    let about =
        "Streams (storage-format.md §7), before they are compressed. `frames` are those of a stream that is accepted.
        Most consist of one frame and the end: a line for the head of the stream, and one or more for each frame.";
    File { name: "stream.txt", about, cases: [accepted(), rejected()].concat(), check: |inputs| check(&inputs[0]) }
}

fn check(bytes: &[u8]) -> Outcome {
    let compressed = zstd::encode_all(bytes, 1).expect("memory can be compressed");
    match read_all(&compressed) {
        Ok(frames) => {
            assert!(write_all(&frames) == bytes, "a stream that was read is not written as it was");
            Outcome::Accepted(vec![("frames", kinds(&frames))])
        }
        Err(error) => Outcome::Rejected(shown(&error)),
    }
}

/// All frames of a compressed stream.
pub(super) fn read_all(compressed: &[u8]) -> Result<Vec<Frame>, StreamError> {
    let mut reader = StreamReader::new(compressed)?;
    std::iter::from_fn(|| reader.next_frame().transpose()).collect()
}

/// What the compression holds when these frames are written.
fn write_all(frames: &[Frame]) -> Vec<u8> {
    let write = || -> io::Result<Vec<u8>> {
        let mut writer = StreamWriter::new(Vec::new())?;
        frames.iter().try_for_each(|frame| writer.write(frame))?;
        zstd::decode_all(writer.finish()?.as_slice())
    };
    write().expect("memory takes everything")
}

/// The error. What the operating system or zstd says may change, and is left out.
pub(super) fn shown(error: &StreamError) -> String {
    match error {
        StreamError::Io(_) => "Io(_)".into(),
        _ => format!("{error:?}"),
    }
}

pub(super) fn kinds(frames: &[Frame]) -> String {
    let kind = |frame: &Frame| match frame {
        Frame::Commit(_) => "commit",
        Frame::Tree(_) => "tree",
        Frame::TreeDelta(_) => "tree delta",
        Frame::Blob(_) => "blob",
        Frame::Chunked { .. } => "chunked",
        Frame::Chunk(_) => "chunk",
        Frame::End(_) => "end",
        Frame::Failed(_) => "failed",
    };
    frames.iter().map(kind).collect::<Vec<_>>().join(", ")
}

// ---- bytes, from the page ----

fn head() -> Bytes {
    Bytes::new().raw(b"SCNSHFT1")
}

fn frame(kind: u8, payload: &Bytes) -> Bytes {
    frame_of(kind, payload.len(), payload)
}

/// A frame that claims a length.
fn frame_of(kind: u8, length: usize, payload: &Bytes) -> Bytes {
    Bytes::new().line().u8(kind).u32(length as u32).then(payload.clone())
}

fn end(frames: u64) -> Bytes {
    frame(7, &Bytes::new().u64(frames))
}

/// A stream of one frame.
pub(super) fn single(kind: u8, payload: &Bytes) -> Bytes {
    head().then(frame(kind, payload)).then(end(1))
}

/// A commit of one file, `a`, of 5 bytes.
fn commit() -> Bytes {
    let root = TreeId::of(&tree(&[file_entry(b"a", 0, 5)]).concat());
    let begin = Bytes::new().u8(1).short8(b"r").short16(b"").line().raw(root.as_bytes()).u64(1).u64(0).u64(5);
    begin.line().u8(0).u64(1).i64(0).short16(b"").short16(b"").short32(b"")
}

pub(super) fn delta(removed: &[&[u8]], changed: &Bytes) -> Bytes {
    let begin = Bytes::new().raw(&BASE).u32(removed.len() as u32);
    removed.iter().fold(begin, |bytes, name| bytes.short8(name)).line().then(changed.clone())
}

fn chunked(size: u64, chunks: &[(u32, u8)]) -> Bytes {
    let begin = Bytes::new().raw(&LARGE).u64(size).u32(chunks.len() as u32);
    chunks.iter().fold(begin, |bytes, (length, sent)| bytes.line().raw(&CHUNK).u32(*length).u8(*sent))
}

// ---- the cases ----

fn good(name: &str, bytes: Bytes, frames: &[Frame]) -> Case {
    Case::good(name, bytes, write_all(frames), vec![("frames", kinds(frames))])
}

fn accepted() -> Vec<Case> {
    let large = u64::from(MIB) + 1;
    let commit_value = decode_commit(&commit().concat()).expect("a good commit");
    let one = || tree(&[file_entry(b"a", 0, 5)]);
    let one_value = || value(vec![(b"a", file_value(false, 5))]);
    let delta_value = |removed: &[&[u8]], changed| {
        let removed = removed.iter().map(|name| Name::new(name).expect("a good name")).collect();
        Frame::TreeDelta(TreeDelta { base: TreeId::from_bytes(BASE), removed, changed })
    };
    let chunked_value = |size, chunks: &[(u32, u8)]| {
        let lengths: Vec<u32> = chunks.iter().map(|(length, _)| *length).collect();
        let sent = chunks.iter().map(|(_, sent)| *sent == 1).collect();
        Frame::Chunked { id: BlobId::from_bytes(LARGE), chunks: list_value(size, &lengths), sent }
    };
    let mut cases = vec![
        good("nothing but the end", head().then(end(0)), &[]),
        good("a commit", single(1, &commit()), &[Frame::Commit(commit_value.clone())]),
        good("an empty tree", single(2, &tree(&[])), &[Frame::Tree(Tree::default())]),
        good("a tree", single(2, &one()), &[Frame::Tree(one_value())]),
        good("a tree delta", single(3, &delta(&[b"b", b"c"], &one())), &[delta_value(&[b"b", b"c"], one_value())]),
        good("an empty tree delta", single(3, &delta(&[], &tree(&[]))), &[delta_value(&[], Tree::default())]),
    ];
    for (what, content) in
        [("an empty blob", vec![]), ("a blob", b"hello\n".to_vec()), ("a blob of 1 MiB", vec![b'b'; MIB as usize])]
    {
        cases.push(good(what, single(4, &Bytes::new().raw(&content)), &[Frame::Blob(content)]));
    }
    for (what, chunks) in [
        ("a chunked blob of which the last chunk follows", [(MIB, 0), (1, 1)]),
        ("a chunked blob of which none follows", [(MIB, 0), (1, 0)]),
    ] {
        cases.push(good(what, single(5, &chunked(large, &chunks)), &[chunked_value(large, &chunks)]));
    }
    for (what, content) in [("a chunk of 1 byte", vec![b'c']), ("a chunk of 1 MiB", vec![b'c'; MIB as usize])] {
        cases.push(good(what, single(6, &Bytes::new().raw(&content)), &[Frame::Chunk(content)]));
    }
    let blob = Bytes::new().raw(b"hello");
    let whole = [frame(1, &commit()), frame(2, &one()), frame(4, &blob), end(3)];
    cases.push(good(
        "a whole fetch",
        whole.into_iter().fold(head(), Bytes::then),
        &[Frame::Commit(commit_value), Frame::Tree(one_value()), Frame::Blob(b"hello".into())],
    ));
    cases
}

fn bad(name: impl Into<String>, bytes: Bytes, error: &StreamError) -> Case {
    Case { outcome: Outcome::Rejected(shown(error)), ..Case::bad(name, bytes, ()) }
}

fn payload_error(error: impl Into<DecodeError>) -> StreamError {
    StreamError::Frame(FrameError::Payload(error.into()))
}

fn rejected() -> Vec<Case> {
    [bad_order(), bad_lengths(), bad_payloads()].concat()
}

fn bad_order() -> Vec<Case> {
    let hello = frame(4, &Bytes::new().raw(b"hello"));
    let blob = || hello.clone();
    let counted = |said, arrived| StreamError::Count { said, arrived };
    vec![
        bad("nothing", Bytes::new(), &StreamError::Cut),
        bad("a head cut short", Bytes::new().raw(b"SCNSHFT"), &StreamError::Cut),
        bad("a head of another version", Bytes::new().raw(b"SCNSHFT2").then(end(0)), &StreamError::Magic),
        bad("no end", head().then(blob()), &StreamError::Cut),
        bad("cut in a frame's head", head().then(blob().cut(4)), &StreamError::Cut),
        bad("cut in a payload", head().then(blob().cut(9)), &StreamError::Cut),
        bad("an end that counts one too many", head().then(blob()).then(end(2)), &counted(2, 1)),
        bad("an end that counts one too few", head().then(blob()).then(end(0)), &counted(0, 1)),
        bad("an end that counts itself", head().then(end(1)), &counted(1, 0)),
        bad("a frame after the end", head().then(end(0)).then(blob()), &StreamError::AfterEnd),
        bad("a byte after the end", head().then(end(0)).line().u8(0), &StreamError::AfterEnd),
        bad(
            "a sender that gives up",
            head().then(blob()).then(frame(8, &Bytes::new().raw(b"the disk is full"))),
            &StreamError::Failed("the disk is full".into()),
        ),
        bad("kind 0", head().then(frame(0, &Bytes::new())), &StreamError::Frame(FrameError::Kind(0))),
        bad("kind 9", head().then(frame(9, &Bytes::new())), &StreamError::Frame(FrameError::Kind(9))),
    ]
}

/// Lengths at their limit are believed until the bytes do not come; one more is refused at once.
fn bad_lengths() -> Vec<Case> {
    const MIB: usize = 1 << 20;
    let limits = [(1, MIB), (2, 64 * MIB), (3, 64 * MIB), (4, MIB), (5, 64 * MIB), (6, MIB), (7, 8), (8, 64 << 10)];
    let claimed = |kind, length| head().then(frame_of(kind, length, &Bytes::new()));
    let mut cases = Vec::new();
    for (kind, limit) in limits {
        let large = FrameError::TooLarge { kind, length: limit + 1, limit };
        cases.push(bad(format!("kind {kind}, a claim of {limit} bytes"), claimed(kind, limit), &StreamError::Cut));
        cases.push(bad(
            format!("kind {kind}, a claim of {} bytes", limit + 1),
            claimed(kind, limit + 1),
            &StreamError::Frame(large),
        ));
    }
    cases
}

fn bad_payloads() -> Vec<Case> {
    let tag = |tag| payload_error(DecodeError::Tag { what: "a chunked blob", tag });
    let dots = || payload_error(NameError::Dots("..".into()));
    let duplicate = || payload_error(TreeError::Duplicate(Name::new(b"a").expect("a good name")));
    let large = u64::from(MIB) + 1;
    let chunks = [(MIB, 1), (1, 1)];
    let twice = || tree(&[file_entry(b"a", 0, 5), file_entry(b"a", 0, 5)]);
    vec![
        bad("a commit of no bytes", single(1, &Bytes::new()), &payload_error(DecodeError::Truncated("a commit"))),
        bad("a commit and a byte", single(1, &commit().u8(0)), &payload_error(DecodeError::Trailing(1))),
        bad("a tree with a name twice", single(2, &twice()), &duplicate()),
        bad("a tree with an entry named ..", single(2, &tree(&[file_entry(b"..", 0, 5)])), &dots()),
        bad("a delta that removes ..", single(3, &delta(&[b".."], &tree(&[]))), &dots()),
        bad("a delta that sets ..", single(3, &delta(&[], &tree(&[file_entry(b"..", 0, 5)]))), &dots()),
        bad("a delta with a name twice", single(3, &delta(&[], &twice())), &duplicate()),
        bad("a delta and a byte", single(3, &delta(&[], &tree(&[])).u8(0)), &payload_error(DecodeError::Trailing(1))),
        bad(
            "a delta that says it removes 2^32 - 1 names",
            single(3, &Bytes::new().raw(&BASE).u32(u32::MAX)),
            &payload_error(DecodeError::Truncated("a tree delta")),
        ),
        bad("a chunk that is sent twice over", single(5, &chunked(large, &[(MIB, 1), (1, 2)])), &tag(2)),
        bad("a flag of 255", single(5, &chunked(large, &[(MIB, 255), (1, 0)])), &tag(255)),
        bad("a chunked blob and a byte", single(5, &chunked(large, &chunks).u8(0)), &{
            payload_error(DecodeError::Trailing(1))
        }),
        bad(
            "a chunked blob of 1 MiB",
            single(5, &chunked(u64::from(MIB), &[(MIB, 1)])),
            &payload_error(ChunkListError::TooSmall(u64::from(MIB))),
        ),
        bad("an end of 7 bytes", head().then(frame(7, &Bytes::new().run(0, 7))), &{
            payload_error(DecodeError::Truncated("an end frame"))
        }),
        bad("a reason that is not UTF-8", head().then(frame(8, &Bytes::new().u8(0xff))), &{
            payload_error(DecodeError::NotUtf8("the sender's reason"))
        }),
    ]
}
