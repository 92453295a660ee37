//! Trees (`storage-format.md` §3).

use sceneshift::codec::{DecodeError, decode_tree, encode_tree};
use sceneshift::values::{
    BlobId, Entry, Name, NameError, Subtree, Target, TargetError, Totals, TotalsOverflow, Tree, TreeError, TreeId,
};

use super::bytes::Bytes;
use super::{Case, File, Outcome};

const LIMIT: usize = 64 << 20;

/// Ids that are easy to see in the bytes.
const BLOB: [u8; 32] = [0xbb; 32];
const TREE: [u8; 32] = [0x77; 32];

pub(super) fn file() -> File {
    let about = "Trees (storage-format.md §3). `id` is the TreeId of a tree that is accepted.";
    File { name: "tree.txt", about, cases: [accepted(), rejected()].concat(), check: |inputs| check(&inputs[0]) }
}

fn check(bytes: &[u8]) -> Outcome {
    match decode_tree(bytes) {
        Ok(tree) => {
            let again = encode_tree(&tree);
            assert!(again == bytes, "a tree that was read is not encoded as it was");
            Outcome::Accepted(vec![("id", TreeId::of(&again).to_string())])
        }
        Err(error) => Outcome::Rejected(format!("{error:?}")),
    }
}

// ---- the two ways to write a tree ----

/// The bytes, from the page.
pub(super) fn tree(entries: &[Bytes]) -> Bytes {
    let begin = Bytes::new().u8(1).u32(entries.len() as u32);
    entries.iter().fold(begin, |bytes, entry| bytes.line().then(entry.clone()))
}

pub(super) fn file_entry(name: &[u8], kind: u8, size: u64) -> Bytes {
    Bytes::new().short8(name).u8(kind).raw(&BLOB).u64(size)
}

fn link_entry(name: &[u8], target: &[u8]) -> Bytes {
    Bytes::new().short8(name).u8(2).short16(target)
}

fn dir_entry(name: &[u8], totals: [u64; 3]) -> Bytes {
    let [files, links, bytes] = totals;
    Bytes::new().short8(name).u8(3).raw(&TREE).u64(files).u64(links).u64(bytes)
}

/// The value, for the program's encoder.
pub(super) fn value(entries: Vec<(&[u8], Entry)>) -> Tree {
    let named = entries.into_iter().map(|(name, entry)| (Name::new(name).expect("a good name"), entry));
    Tree::from_sorted(named.collect()).expect("a good tree")
}

pub(super) fn file_value(executable: bool, size: u64) -> Entry {
    Entry::File { id: BlobId::from_bytes(BLOB), executable, size }
}

fn link_value(target: &[u8]) -> Entry {
    Entry::Symlink(Target::new(target).expect("a good target"))
}

fn dir_value([files, links, bytes]: [u64; 3]) -> Entry {
    Entry::Tree(Subtree { id: TreeId::from_bytes(TREE), totals: Totals { files, links, bytes } })
}

// ---- the cases ----

fn good(name: &str, bytes: Bytes, tree: &Tree) -> Case {
    let id = TreeId::of(&bytes.concat());
    Case::good(name, bytes, encode_tree(tree), vec![("id", id.to_string())])
}

/// A tree of one file with this name.
fn named(name: &[u8]) -> (Bytes, Tree) {
    (tree(&[file_entry(name, 0, 5)]), value(vec![(name, file_value(false, 5))]))
}

/// A tree of one link to this target.
fn linked(target: &[u8]) -> (Bytes, Tree) {
    (tree(&[link_entry(b"a", target)]), value(vec![(b"a", link_value(target))]))
}

/// Name and target of as many links as make a tree of 64 MiB: all targets but the last have the greatest length. `extra` makes it longer.
fn largest(extra: usize) -> Vec<(String, Vec<u8>)> {
    let whole = 1 + 6 + 1 + 2 + Target::MAX;
    let count = (LIMIT - 5) / whole;
    let rest = LIMIT - 5 - count * whole - 10;
    let target = |at| vec![b't'; if at == count { rest + extra } else { Target::MAX }];
    (0..=count).map(|at| (format!("{at:06}"), target(at))).collect()
}

fn largest_bytes(links: &[(String, Vec<u8>)]) -> Bytes {
    tree(&links.iter().map(|(name, target)| link_entry(name.as_bytes(), target)).collect::<Vec<_>>())
}

fn accepted() -> Vec<Case> {
    let every_byte: Vec<u8> = (1..=255).filter(|byte| *byte != b'/').collect();
    let mut cases = vec![
        good("no entries", tree(&[]), &Tree::default()),
        good(
            "one entry of each kind",
            tree(&[
                file_entry(b"a", 0, 5),
                file_entry(b"b", 1, 7),
                link_entry(b"c", b"../a"),
                dir_entry(b"d", [1, 2, 300]),
            ]),
            &value(vec![
                (b"a", file_value(false, 5)),
                (b"b", file_value(true, 7)),
                (b"c", link_value(b"../a")),
                (b"d", dir_value([1, 2, 300])),
            ]),
        ),
    ];
    for (what, name) in [
        ("a name of 1 byte", &b"a"[..]),
        ("a name of 254 bytes", &[b'n'; 254]),
        ("a name of 255 bytes", &[b'n'; 255]),
        ("a name of every byte but NUL and /", &every_byte),
        ("the name ...", b"..."),
        ("a name that is not UTF-8", b"\xff\xfe"),
    ] {
        let (bytes, value) = named(name);
        cases.push(good(what, bytes, &value));
    }
    for (what, target) in [
        ("a target of 1 byte", &b"t"[..]),
        ("a target of 4094 bytes", &[b't'; 4094]),
        ("a target of 4095 bytes", &[b't'; 4095]),
        ("an absolute target", b"/etc/passwd"),
        ("a target that leaves everything", b"../../.."),
    ] {
        let (bytes, value) = linked(target);
        cases.push(good(what, bytes, &value));
    }
    cases.push(good(
        "names ascend as unsigned bytes, the shorter first",
        tree(&[b"A", &b"a"[..], b"a\x01", b"a-", b"b", b"\x80"].map(|name| file_entry(name, 0, 5))),
        &value([b"A", &b"a"[..], b"a\x01", b"a-", b"b", b"\x80"].map(|name| (name, file_value(false, 5))).into()),
    ));
    cases.push(good(
        "totals of exactly 2^64 - 1",
        tree(&[
            file_entry(b"a", 0, u64::MAX - 1),
            file_entry(b"b", 0, 1),
            dir_entry(b"c", [u64::MAX - 2, u64::MAX, 0]),
        ]),
        &value(vec![
            (b"a", file_value(false, u64::MAX - 1)),
            (b"b", file_value(false, 1)),
            (b"c", dir_value([u64::MAX - 2, u64::MAX, 0])),
        ]),
    ));
    let links = largest(0);
    cases.push(good(
        "64 MiB: links named 000000 and so on, with targets of 4095 bytes 74, the last one shorter",
        largest_bytes(&links),
        &value(links.iter().map(|(name, target)| (name.as_bytes(), link_value(target))).collect()),
    ));
    cases
}

fn rejected() -> Vec<Case> {
    let name = |name: &[u8]| Name::new(name).expect("a good name");
    let truncated = || DecodeError::Truncated("a tree");
    let overflow = || DecodeError::Tree(TreeError::Totals(TotalsOverflow));
    let of_names = |names: &[&[u8]]| tree(&names.iter().map(|name| file_entry(name, 0, 5)).collect::<Vec<_>>());
    let one = || of_names(&[b"a"]);
    let mut cases = vec![
        Case::bad("nothing", Bytes::new(), truncated()),
        Case::bad("format 0", Bytes::new().u8(0).u32(0), DecodeError::Format { what: "a tree", found: 0 }),
        Case::bad("format 2", Bytes::new().u8(2).u32(0), DecodeError::Format { what: "a tree", found: 2 }),
        Case::bad("no count", Bytes::new().u8(1), truncated()),
        Case::bad("a count of 2^32 - 1, and nothing after it", Bytes::new().u8(1).u32(u32::MAX), truncated()),
        Case::bad(
            "a count of one more than there are",
            Bytes::new().u8(1).u32(2).line().then(file_entry(b"a", 0, 5)),
            truncated(),
        ),
        Case::bad(
            "a count of one less than there are",
            Bytes::new().u8(1).u32(1).line().then(file_entry(b"a", 0, 5)).line().then(file_entry(b"b", 0, 5)),
            DecodeError::Trailing(43),
        ),
        Case::bad("a byte too many", one().u8(0), DecodeError::Trailing(1)),
        Case::bad("a name of no bytes", of_names(&[b""]), DecodeError::Name(NameError::Empty)),
        Case::bad("the name .", of_names(&[b"."]), DecodeError::Name(NameError::Dots(".".into()))),
        Case::bad("the name ..", of_names(&[b".."]), DecodeError::Name(NameError::Dots("..".into()))),
        Case::bad("a name with a /", of_names(&[b"a/b"]), DecodeError::Name(NameError::Forbidden('/'))),
        Case::bad("a name with a NUL", of_names(&[b"a\0"]), DecodeError::Name(NameError::Forbidden('\0'))),
        Case::bad(
            "a name of 256 bytes, whose length no byte holds",
            of_names(&[&[b'n'; 256]]),
            DecodeError::Name(NameError::Empty),
        ),
        Case::bad("kind 4", tree(&[file_entry(b"a", 4, 5)]), DecodeError::Tag { what: "a tree", tag: 4 }),
        Case::bad("kind 255", tree(&[file_entry(b"a", 255, 5)]), DecodeError::Tag { what: "a tree", tag: 255 }),
        Case::bad("a target of no bytes", tree(&[link_entry(b"a", b"")]), DecodeError::Target(TargetError::Empty)),
        Case::bad("a target with a NUL", tree(&[link_entry(b"a", b"t\0")]), DecodeError::Target(TargetError::Nul)),
        Case::bad(
            "a target of 4096 bytes",
            tree(&[link_entry(b"a", &[b't'; 4096])]),
            DecodeError::Target(TargetError::TooLong(4096)),
        ),
        Case::bad(
            "two names out of order",
            of_names(&[b"b", b"a"]),
            DecodeError::Tree(TreeError::Unsorted(name(b"a"))),
        ),
        Case::bad(
            "names in order as signed bytes",
            of_names(&[b"\x80", b"a"]),
            DecodeError::Tree(TreeError::Unsorted(name(b"a"))),
        ),
        Case::bad("a name twice", of_names(&[b"a", b"a"]), DecodeError::Tree(TreeError::Duplicate(name(b"a")))),
        Case::bad("2^64 bytes", tree(&[file_entry(b"a", 0, u64::MAX), file_entry(b"b", 0, 1)]), overflow()),
        Case::bad("2^64 files", tree(&[dir_entry(b"a", [u64::MAX, 0, 0]), file_entry(b"b", 0, 0)]), overflow()),
        Case::bad("2^64 links", tree(&[dir_entry(b"a", [0, u64::MAX, 0]), link_entry(b"b", b"t")]), overflow()),
        Case::bad(
            "64 MiB and one byte",
            largest_bytes(&largest(1)),
            DecodeError::TooLarge { what: "a tree", size: LIMIT + 1, limit: LIMIT },
        ),
    ];
    for (what, end) in [("length", 5), ("name", 6), ("kind", 7), ("id", 39), ("size", 47)] {
        cases.push(Case::bad(format!("cut in an entry's {what}"), one().cut(end), truncated()));
    }
    cases
}
