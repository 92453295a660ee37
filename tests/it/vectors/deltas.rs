//! Trees as the difference from another (`storage-format.md` §7), and the tree that comes of them.

use sceneshift::codec::{decode_tree, encode_tree};
use sceneshift::values::{Name, TotalsOverflow, TreeError, TreeId};
use sceneshift::wire::{DeltaError, Frame, TreeDelta};

use super::bytes::Bytes;
use super::streams::{delta, read_all, single};
use super::trees::{file_entry, tree};
use super::{Case, File, Outcome};

pub(super) fn file() -> File {
    let about = "Tree deltas (storage-format.md §7): the tree `base`, the payload `delta` of a frame of kind 3, and the tree that it `makes`.
        The base's id in a delta is a stand-in.";
    File { name: "tree-delta.txt", about, cases: [accepted(), rejected()].concat(), check: |inputs| check(inputs) }
}

fn check(inputs: &[Vec<u8>]) -> Outcome {
    let [base, payload] = inputs else { panic!("a delta has a base and a payload") };
    let base = decode_tree(base).expect("a good base");
    let delta = read_delta(payload);
    match delta.apply(&base) {
        Ok(tree) => {
            let again = TreeDelta::between(delta.base, &base, &tree);
            assert_eq!(again, delta, "a difference that was read is not found as it was");
            Outcome::Accepted(vec![("makes", made(&encode_tree(&tree)))])
        }
        Err(error) => Outcome::Rejected(format!("{error:?}")),
    }
}

/// The delta of this payload, taken from a stream: that is the only way in.
fn read_delta(payload: &[u8]) -> TreeDelta {
    let stream = single(3, &Bytes::new().raw(payload)).concat();
    let compressed = zstd::encode_all(stream.as_slice(), 1).expect("memory can be compressed");
    match read_all(&compressed).expect("a good stream").as_slice() {
        [Frame::TreeDelta(delta)] => delta.clone(),
        other => panic!("a tree delta was expected, not {other:?}"),
    }
}

fn made(tree: &[u8]) -> String {
    TreeId::of(tree).to_string()
}

fn files(entries: &[(&[u8], u64)]) -> Bytes {
    tree(&entries.iter().map(|(name, size)| file_entry(name, 0, *size)).collect::<Vec<_>>())
}

fn base() -> Bytes {
    files(&[(b"a", 1), (b"b", 2), (b"c", 3)])
}

fn accepted() -> Vec<Case> {
    let good = |name: &str, delta: Bytes, tree: &Bytes| Case {
        name: name.into(),
        inputs: vec![("base", base()), ("delta", delta)],
        encoded: None,
        outcome: Outcome::Accepted(vec![("makes", made(&tree.concat()))]),
    };
    let none = files(&[]);
    vec![
        good("nothing changes", delta(&[], &none), &base()),
        good("one name goes", delta(&[b"b"], &none), &files(&[(b"a", 1), (b"c", 3)])),
        good("all names go", delta(&[b"a", b"b", b"c"], &none), &none),
        good(
            "one changes, one comes, one goes",
            delta(&[b"a"], &files(&[(b"b", 9), (b"d", 4)])),
            &files(&[(b"b", 9), (b"c", 3), (b"d", 4)]),
        ),
    ]
}

fn rejected() -> Vec<Case> {
    let bad = |name: &str, delta: Bytes, error: DeltaError| Case {
        inputs: vec![("base", base()), ("delta", delta)],
        ..Case::bad(name, Bytes::new(), error)
    };
    let name = |name: &[u8]| Name::new(name).expect("a good name");
    let none = files(&[]);
    let overflow = DeltaError::Tree(TreeError::Totals(TotalsOverflow));
    vec![
        bad("removed names out of order", delta(&[b"b", b"a"], &none), DeltaError::Unsorted(name(b"a"))),
        bad("a name removed twice", delta(&[b"a", b"a"], &none), DeltaError::Unsorted(name(b"a"))),
        bad("a name removed that the base does not have", delta(&[b"x"], &none), DeltaError::Removed(name(b"x"))),
        bad("a name removed and set", delta(&[b"a"], &files(&[(b"a", 9)])), DeltaError::Removed(name(b"a"))),
        bad("an entry set as it was", delta(&[], &files(&[(b"a", 1)])), DeltaError::Unchanged(name(b"a"))),
        bad("totals of 2^64", delta(&[], &files(&[(b"d", u64::MAX - 5)])), overflow),
    ]
}
