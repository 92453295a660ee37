//! Ids (`storage-format.md` §2), and what a client calls things on its disk (§8).

use sceneshift::farm::{SharedName, blob_mtime};
use sceneshift::values::{BlobId, CommitId, TreeId, TreePath};

use super::bytes::Bytes;
use super::{Case, File, Outcome};

/// A case that asks for facts: they come from here, what the program makes of the inputs must be the same.
fn ask(name: &str, inputs: Vec<(&'static str, Bytes)>, facts: Vec<(&'static str, String)>) -> Case {
    Case { name: name.into(), inputs, encoded: None, outcome: Outcome::Accepted(facts) }
}

// ---- §2 ----

pub(super) fn ids() -> File {
    let about = "Ids (storage-format.md §2): the three ids that the same bytes have.";
    // BLAKE3 works in chunks of 1024 bytes.
    let sizes = [("1023 bytes", 1023), ("1024 bytes", 1024), ("1025 bytes", 1025), ("1 MiB", 1 << 20)];
    let named = [("nothing", vec![]), ("abc", b"abc".to_vec()), ("the empty tree", vec![1, 0, 0, 0, 0])];
    let sized = sizes.map(|(name, size)| (name, vec![b'x'; size]));
    let cases = named.into_iter().chain(sized).map(|(name, bytes)| {
        let hex = |digest: [u8; 32]| blake3::Hash::from_bytes(digest).to_hex().to_string();
        let facts = vec![
            ("blob", hex(*blake3::hash(&bytes).as_bytes())),
            ("tree", hex(blake3::derive_key("sceneshift 2026-11-24 tree v1", &bytes))),
            ("commit", hex(blake3::derive_key("sceneshift 2026-11-24 commit v1", &bytes))),
        ];
        ask(name, vec![("bytes", Bytes::new().raw(&bytes))], facts)
    });
    let check = |inputs: &[Vec<u8>]| {
        let bytes = &inputs[0];
        let (blob, tree, commit) = (BlobId::of(bytes), TreeId::of(bytes), CommitId::of(bytes));
        Outcome::Accepted(vec![("blob", blob.to_string()), ("tree", tree.to_string()), ("commit", commit.to_string())])
    };
    File { name: "id.txt", about, cases: cases.collect(), check }
}

// ---- §8 ----

pub(super) fn farm() -> [File; 2] {
    let about_names = "Names of shared trees (storage-format.md §8): the TreeId, then for each link inside its path and the name that it leads to.";
    let about_times = "Times of blob files (storage-format.md §8): the BlobId, and the mtime in seconds since 1970.";
    [
        File { name: "shared-name.txt", about: about_names, cases: shared_names(), check: |inputs| check_name(inputs) },
        File { name: "blob-mtime.txt", about: about_times, cases: mtimes(), check: |inputs| check_mtime(&inputs[0]) },
    ]
}

const TREE: [u8; 32] = [0x77; 32];

fn shared_names() -> Vec<Case> {
    let longest = vec!["d".repeat(255); 16].join("/");
    let inner = |digit: &str| format!("{}-{}", digit.repeat(64), digit.repeat(16));
    let (a, b) = (inner("a"), inner("b"));
    [
        ("no links inside", vec![]),
        ("one link to a shared tree inside", vec![("modules/a", &a)]),
        ("two links to shared trees inside", vec![("modules/a", &a), ("modules/b", &b)]),
        ("two links to the same shared tree inside", vec![("modules/a", &a), ("modules/b", &a)]),
        ("a path of 4095 bytes", vec![(longest.as_str(), &a)]),
    ]
    .into_iter()
    .map(|(name, links)| {
        let mut hashed = Bytes::new();
        let mut inputs = vec![("tree", Bytes::new().raw(&TREE))];
        for (path, link) in links {
            hashed = hashed.short16(path.as_bytes()).short8(link.as_bytes());
            inputs.push(("path", Bytes::new().raw(path.as_bytes())));
            inputs.push(("leads", Bytes::new().raw(link.as_bytes())));
        }
        let layout = blake3::hash(&hashed.concat()).to_hex();
        ask(name, inputs, vec![("name", format!("{}-{}", "77".repeat(32), &layout[..16]))])
    })
    .collect()
}

fn check_name(inputs: &[Vec<u8>]) -> Outcome {
    let tree = TreeId::from_bytes(inputs[0].as_slice().try_into().expect("32 bytes"));
    let links = inputs[1..].chunks(2).map(|link| {
        let path = TreePath::new(&link[0]).expect("a good path");
        (path, SharedName::parse(&link[1]).expect("a good name"))
    });
    let name = SharedName::new(&tree, &links.collect::<Vec<_>>());
    assert_eq!((name.tree(), SharedName::parse(name.as_str().as_bytes())), (tree, Some(name.clone())));
    Outcome::Accepted(vec![("name", name.to_string())])
}

fn mtimes() -> Vec<Case> {
    let beginning_with = |first: [u8; 4]| [&first[..], &[0x99; 28]].concat();
    let abc = blake3::hash(b"abc").as_bytes().to_vec();
    let seconds: u64 = blake3::hash(b"abc").to_hex()[..7]
        .chars()
        .fold(0, |sum, digit| sum * 16 + u64::from(digit.to_digit(16).expect("a hexadecimal digit")));
    [
        ("the earliest", beginning_with([0, 0, 0, 0x0f]), 0),
        ("one second later", beginning_with([0, 0, 0, 0x10]), 1),
        ("the latest", beginning_with([0xff; 4]), (1 << 28) - 1),
        ("the file abc", abc, seconds),
    ]
    .into_iter()
    .map(|(name, id, seconds)| {
        // 2000-01-01T00:00:00Z.
        let facts = vec![("mtime", (946_684_800 + seconds).to_string())];
        ask(name, vec![("blob", Bytes::new().raw(&id))], facts)
    })
    .collect()
}

fn check_mtime(id: &[u8]) -> Outcome {
    let mtime = blob_mtime(&BlobId::from_bytes(id.try_into().expect("32 bytes")));
    assert_eq!(mtime % 1_000_000_000, 0, "whole seconds");
    Outcome::Accepted(vec![("mtime", (mtime / 1_000_000_000).to_string())])
}
