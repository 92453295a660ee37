//! A primary's store, damaged one record at a time.

use super::*;
use crate::codec;
use crate::findings::{At, PrimaryFinding};
use crate::store::tests::{Fixture, name, next_commit, noise, repo_name, write_files, write_tree};
use crate::store::{CachedFile, Family, ReadStore, StatRecord, StoredBlob};
use crate::values::{Chunk, ChunkList, Entry, MAX_DEPTH, MAX_WHOLE_BLOB, Subtree, Totals, Tree, TreeId};

const FILES: [(&str, &[u8]); 4] = [
    ("environments/production/site.pp", b"site"),
    ("environments/dev/site.pp", b"dev"),
    ("same", b"site"),
    ("empty", b""),
];

/// A store with two commits, a large file and a tag.
struct Primary {
    store: Fixture,
    commit: CommitId,
    large: Vec<u8>,
}

impl Primary {
    fn new() -> Self {
        let store = Fixture::new();
        let large = noise(1, 3 << 20);
        store.commit_files("code", &[("old", b"old")]);
        let files: Vec<(&str, &[u8])> = FILES.into_iter().chain([("large", large.as_slice())]).collect();
        let (commit, _) = store.commit_files("code", &files);
        store.set_tag(&repo_name("code"), &"v1".parse().unwrap(), &commit).unwrap();
        Self { store, commit, large }
    }

    fn found(&mut self) -> Vec<PrimaryFinding> {
        let data = self.store.close();
        let report = check(&data, &Access::Locked, &Progress::default()).unwrap();
        assert_eq!(report.kind, Kind::Primary);
        let (store, found) = (Store::open_read_only(&data.join("store")).unwrap(), Found::default());
        for byte in 0..=u8::MAX {
            let part = super::super::primary::run(&store.snapshot(), Part::Byte(byte), &found, &Progress::default());
            part.unwrap();
        }
        assert_eq!(found.into_sorted(), report.findings, "a scrub finds the same, part by part");
        let primary = report.findings.into_iter().map(|finding| match finding {
            Finding::Primary(finding) => finding,
            Finding::Client(finding) => panic!("{finding:?} on a primary"),
        });
        primary.collect()
    }

    fn at(&self, text: &str) -> At {
        At { repo: repo_name("code"), commit: self.commit, path: path(text) }
    }

    fn subtree(&self, at: &str) -> Subtree {
        let root = self.store.commit(&self.commit).unwrap().unwrap().root;
        path(at).names().fold(root, |subtree, name| {
            match self.store.tree(&subtree.id).unwrap().unwrap().get(name.as_bytes()) {
                Some(Entry::Tree(subtree)) => *subtree,
                other => panic!("{other:?}"),
            }
        })
    }

    fn chunks(&self) -> ChunkList {
        match self.store.blob(&BlobId::of(&self.large)).unwrap() {
            Some(StoredBlob::Chunked(list)) => list,
            other => panic!("{other:?}"),
        }
    }

    /// Commits a root that the store would not have made itself.
    fn commit_root(&mut self, root: Subtree) {
        let guard = self.store.begin_commit(&repo_name("code"));
        self.commit = guard.publish(&next_commit(&self.store, "code", root, 0), []).unwrap();
    }
}

#[test]
fn a_good_store_is_clean_and_everything_in_it_is_read() {
    let mut primary = Primary::new();
    let bytes = primary.large.len() as u64;
    assert_eq!(primary.found(), []);
    let report = check(&primary.store.close(), &Access::Locked, &Progress::default()).unwrap();
    assert!(report.counts.bytes > bytes, "{report:?}");
    assert!(report.counts.objects >= 5 + 3 + 4 + 2, "{report:?}");
}

#[test]
fn a_checkpoint_of_a_store_in_use_is_checked() {
    let primary = Primary::new();
    let copy = primary.store.folder.path().join("data/tmp/fsck-1");
    primary.store.checkpoint(&copy).unwrap();
    primary.store.commit_files("code", &[("newer", b"newer")]);
    let data = primary.store.folder.path().join("data");
    let report = check(&data, &Access::Checkpoint(copy), &Progress::default()).unwrap();
    assert_eq!(report.findings, []);
}

#[test]
fn garbage_that_gc_left_half_removed_is_clean() {
    let mut primary = Primary::new();
    let garbage = noise(2, 2 << 20);
    let guard = primary.store.begin_commit(&repo_name("code"));
    guard.write_blob(&mut garbage.as_slice()).unwrap();
    let root = write_files(&guard, &[("a", b"garbage")]);
    assert!(primary.store.tree_is_there(&root.id).unwrap());
    drop(guard);
    let Some(StoredBlob::Chunked(list)) = primary.store.blob(&BlobId::of(&garbage)).unwrap() else { panic!() };
    primary.store.remove_raw(Family::Blobs, list.chunks()[1].id.as_bytes());
    primary.store.remove_raw(Family::Blobs, BlobId::of(b"garbage").as_bytes());
    assert_eq!(primary.found(), []);
}

#[test]
fn a_blob_with_other_bytes() {
    let mut primary = Primary::new();
    let id = BlobId::of(b"dev");
    primary.store.put_raw(Family::Blobs, id.as_bytes(), b"\0Dev");
    assert_eq!(primary.found(), [PrimaryFinding::BlobDamaged { id }]);
}

#[test]
fn a_blob_whose_record_is_none() {
    let mut primary = Primary::new();
    let id = BlobId::of(b"dev");
    primary.store.put_raw(Family::Blobs, id.as_bytes(), b"\x09dev");
    assert_eq!(primary.found(), [PrimaryFinding::BlobUnreadable { id }]);
}

#[test]
fn a_truncated_blob() {
    let mut primary = Primary::new();
    let id = BlobId::of(b"dev");
    primary.store.put_raw(Family::Blobs, id.as_bytes(), b"\0de");
    assert_eq!(primary.found(), [PrimaryFinding::BlobDamaged { id }]);
    primary.store.reopen();
    primary.store.put_raw(Family::Blobs, id.as_bytes(), b"");
    assert_eq!(primary.found(), [PrimaryFinding::BlobUnreadable { id }], "nothing is left, not even its kind");
}

#[test]
fn two_blobs_and_two_trees_swapped() {
    let mut primary = Primary::new();
    let (a, b) = (BlobId::of(b"dev"), BlobId::of(b"site"));
    primary.store.put_raw(Family::Blobs, a.as_bytes(), b"\0site");
    primary.store.put_raw(Family::Blobs, b.as_bytes(), b"\0dev");
    let mut expected = vec![PrimaryFinding::BlobDamaged { id: a }, PrimaryFinding::BlobDamaged { id: b }];
    let (c, d) = (primary.subtree("environments/dev").id, primary.subtree("environments/production").id);
    let (at_c, at_d) = (primary.store.tree_bytes(&c).unwrap().unwrap(), primary.store.tree_bytes(&d).unwrap().unwrap());
    primary.store.put_raw(Family::Trees, c.as_bytes(), &at_d);
    primary.store.put_raw(Family::Trees, d.as_bytes(), &at_c);
    expected.extend([PrimaryFinding::TreeDamaged { id: c }, PrimaryFinding::TreeDamaged { id: d }]);
    expected.sort();
    assert_eq!(primary.found(), expected);
}

#[test]
fn a_tree_entry_that_leads_nowhere() {
    let mut primary = Primary::new();
    let guard = primary.store.begin_commit(&repo_name("code"));
    let nowhere = Subtree { id: TreeId::of(b"nowhere"), totals: Totals::default() };
    let root = write_tree(&guard, vec![(name("gone"), Entry::Tree(nowhere))]);
    drop(guard);
    primary.commit_root(root);
    let at = primary.at("gone");
    assert_eq!(primary.found(), [PrimaryFinding::TreeMissing { id: nowhere.id, at }]);
}

#[test]
fn a_head_that_a_rebuild_could_not_save() {
    let mut primary = Primary::new();
    let (repo, lost) = (repo_name("code"), CommitId::of(b"lost"));
    primary.store.set_survivor(&repo, Some(&primary.commit), Some(&lost)).unwrap();
    assert_eq!(primary.found(), [PrimaryFinding::HeadLost { repo: repo.clone(), commit: Some(lost) }]);
    // The next commit follows what survived.
    primary.store.reopen();
    let root = primary.store.commit(&primary.commit).unwrap().unwrap().root;
    primary.commit_root(root);
    assert_eq!(primary.found(), []);
}

#[test]
fn a_missing_blob() {
    let mut primary = Primary::new();
    let id = BlobId::of(b"dev");
    primary.store.remove_raw(Family::Blobs, id.as_bytes());
    let at = primary.at("environments/dev/site.pp");
    assert_eq!(primary.found(), [PrimaryFinding::BlobMissing { id, at }]);
}

#[test]
fn a_blob_of_another_size_than_a_tree_says() {
    let mut primary = Primary::new();
    let guard = primary.store.begin_commit(&repo_name("code"));
    let lie = Entry::File { id: BlobId::of(b"dev"), executable: false, size: 4 };
    let root = write_tree(&guard, vec![(name("lie"), lie)]);
    drop(guard);
    primary.commit_root(root);
    let at = primary.at("lie");
    assert_eq!(primary.found(), [PrimaryFinding::BlobSize { id: BlobId::of(b"dev"), at, found: 3, recorded: 4 }]);
}

#[test]
fn a_missing_chunk() {
    let mut primary = Primary::new();
    let (blob, chunk) = (BlobId::of(&primary.large), primary.chunks().chunks()[1].id);
    primary.store.remove_raw(Family::Blobs, chunk.as_bytes());
    assert_eq!(primary.found(), [PrimaryFinding::ChunkMissing { blob, chunk }]);
}

#[test]
fn a_chunk_with_other_bytes() {
    let mut primary = Primary::new();
    let chunk = primary.chunks().chunks()[0];
    let record = codec::encode_whole_blob(&vec![0; chunk.length as usize]);
    primary.store.put_raw(Family::Blobs, chunk.id.as_bytes(), &record);
    assert_eq!(primary.found(), [PrimaryFinding::BlobDamaged { id: chunk.id }]);
}

#[test]
fn a_chunk_that_is_longer_than_its_list_says() {
    let mut primary = Primary::new();
    let (blob, mut chunks) = (BlobId::of(&primary.large), primary.chunks().chunks().to_vec());
    let at = (0..chunks.len() - 1).find(|at| chunks[at + 1].length < MAX_WHOLE_BLOB as u32).unwrap();
    chunks[at].length -= 1;
    chunks[at + 1].length += 1;
    let (chunk, next) = (chunks[at].id, chunks[at + 1].id);
    let record = codec::encode_chunk_list(&ChunkList::new(primary.large.len() as u64, chunks).unwrap());
    primary.store.put_raw(Family::Blobs, blob.as_bytes(), &record);
    let mut expected =
        vec![PrimaryFinding::ChunkLength { blob, chunk }, PrimaryFinding::ChunkLength { blob, chunk: next }];
    expected.sort();
    assert_eq!(primary.found(), expected);
}

#[test]
fn a_chunk_list_of_other_chunks() {
    let mut primary = Primary::new();
    let (blob, mut chunks) = (BlobId::of(&primary.large), primary.chunks().chunks().to_vec());
    chunks.reverse();
    let record = codec::encode_chunk_list(&ChunkList::new(primary.large.len() as u64, chunks).unwrap());
    primary.store.put_raw(Family::Blobs, blob.as_bytes(), &record);
    assert_eq!(primary.found(), [PrimaryFinding::BlobDamaged { id: blob }]);
}

#[test]
fn a_chunk_that_is_a_list_itself() {
    let mut primary = Primary::new();
    let (blob, chunk) = (BlobId::of(&primary.large), primary.chunks().chunks()[0]);
    let part = noise(9, MAX_WHOLE_BLOB);
    let guard = primary.store.begin_commit(&repo_name("code"));
    guard.write_blob(&mut part.as_slice()).unwrap();
    guard.write_blob(&mut &b"x"[..]).unwrap();
    drop(guard);
    let pieces =
        vec![Chunk { id: BlobId::of(&part), length: MAX_WHOLE_BLOB as u32 }, Chunk { id: BlobId::of(b"x"), length: 1 }];
    let list = codec::encode_chunk_list(&ChunkList::new(MAX_WHOLE_BLOB as u64 + 1, pieces).unwrap());
    primary.store.put_raw(Family::Blobs, chunk.id.as_bytes(), &list);
    let mut expected = vec![
        // Its own chunks do not make it up either.
        PrimaryFinding::BlobDamaged { id: chunk.id },
        PrimaryFinding::ChunkLength { blob, chunk: chunk.id },
    ];
    expected.sort();
    assert_eq!(primary.found(), expected);
}

#[test]
fn a_tree_with_other_bytes_or_bytes_that_are_no_tree() {
    for rubbish in [&b"rubbish"[..], b"\x01\0\0\0\0"] {
        let mut primary = Primary::new();
        let id = primary.subtree("environments/dev").id;
        primary.store.put_raw(Family::Trees, id.as_bytes(), rubbish);
        assert_eq!(primary.found(), [PrimaryFinding::TreeDamaged { id }]);
    }
}

#[test]
fn a_damaged_tree_that_nothing_needs_is_found_for_the_next_commit_would_take_it() {
    let mut primary = Primary::new();
    let id = TreeId::of(b"nothing");
    primary.store.put_raw(Family::Trees, id.as_bytes(), b"\x01\0\0\0\0");
    assert_eq!(primary.found(), [PrimaryFinding::TreeDamaged { id }]);
}

#[test]
fn a_missing_tree() {
    let mut primary = Primary::new();
    let id = primary.subtree("environments/dev").id;
    primary.store.remove_raw(Family::Trees, id.as_bytes());
    let at = primary.at("environments/dev");
    assert_eq!(primary.found(), [PrimaryFinding::TreeMissing { id, at }]);
}

#[test]
fn a_tree_whose_totals_are_not_those_of_its_entry() {
    let mut primary = Primary::new();
    let honest = primary.subtree("environments");
    let lying = Subtree { totals: Totals { bytes: 1, ..honest.totals }, ..honest };
    let guard = primary.store.begin_commit(&repo_name("code"));
    let root = write_tree(&guard, vec![(name("a"), Entry::Tree(honest)), (name("b"), Entry::Tree(lying))]);
    drop(guard);
    primary.commit_root(root);
    let at = primary.at("b");
    assert_eq!(primary.found(), [PrimaryFinding::TreeTotals { id: honest.id, at }]);
}

#[test]
fn a_tree_that_lies_too_deep() {
    let mut primary = Primary::new();
    let guard = primary.store.begin_commit(&repo_name("code"));
    let mut subtree = write_tree(&guard, vec![]);
    let deepest = subtree.id;
    for _ in 0..MAX_DEPTH {
        subtree = write_tree(&guard, vec![(name("d"), Entry::Tree(subtree))]);
    }
    drop(guard);
    primary.commit_root(subtree);
    let at = primary.at(&vec!["d"; MAX_DEPTH].join("/"));
    assert_eq!(primary.found(), [PrimaryFinding::TreeTooDeep { id: deepest, at }]);
}

#[test]
fn a_commit_with_other_bytes() {
    let mut primary = Primary::new();
    primary.store.put_raw(Family::Commits, primary.commit.as_bytes(), b"rubbish");
    let id = primary.commit;
    assert_eq!(primary.found(), [PrimaryFinding::CommitDamaged { id }]);
}

#[test]
fn a_head_that_names_a_commit_which_is_not_stored() {
    let mut primary = Primary::new();
    let commit = CommitId::of(b"nowhere");
    primary.store.put_raw(Family::Heads, b"code", commit.as_bytes());
    assert_eq!(primary.found(), [PrimaryFinding::HeadMissingCommit { repo: repo_name("code"), commit }]);
}

#[test]
fn a_head_that_names_another_repos_commit() {
    let mut primary = Primary::new();
    primary.store.put_raw(Family::Heads, b"other", primary.commit.as_bytes());
    let (repo, commit) = (repo_name("other"), primary.commit);
    assert_eq!(primary.found(), [PrimaryFinding::HeadOtherRepo { repo, commit }]);
}

#[test]
fn a_head_whose_record_is_none() {
    let mut primary = Primary::new();
    primary.store.put_raw(Family::Heads, b"code", b"short");
    assert_eq!(primary.found(), [PrimaryFinding::HeadUnreadable { key: "code".into() }]);
}

#[test]
fn a_tag_that_names_a_commit_which_is_not_stored() {
    let mut primary = Primary::new();
    let commit = CommitId::of(b"nowhere");
    primary.store.put_raw(Family::Tags, b"code\0v1", commit.as_bytes());
    let (repo, tag) = (repo_name("code"), "v1".parse().unwrap());
    assert_eq!(primary.found(), [PrimaryFinding::TagMissingCommit { repo, tag, commit }]);
}

#[test]
fn a_tag_whose_record_is_none() {
    let mut primary = Primary::new();
    primary.store.put_raw(Family::Tags, b"code\0v1", b"short");
    assert_eq!(primary.found(), [PrimaryFinding::TagUnreadable { key: "code:v1".into() }]);
}

#[test]
fn a_stat_cache_that_vouches_for_what_is_not_stored() {
    let file = |content: &[u8]| CachedFile {
        name: name("f"),
        inode: 1,
        size: 3,
        mtime: 0,
        ctime: 0,
        mode: 0o644,
        id: BlobId::of(content),
    };
    let tree = Tree::default();
    let known = TreeId::of(&codec::encode_tree(&tree));
    for (record, lies) in [
        (StatRecord::new(1, None, vec![file(b"dev")]), false),
        (StatRecord::new(1, None, vec![file(b"never stored")]), true),
        (StatRecord::new(1, Some(known), vec![]), true),
    ] {
        let mut primary = Primary::new();
        let guard = primary.store.begin_commit(&repo_name("code"));
        guard.write_stat_cache([(path("environments/dev"), Some(record))]).unwrap();
        drop(guard);
        let lie = PrimaryFinding::StatCacheLies { repo: repo_name("code"), dir: path("environments/dev") };
        assert_eq!(primary.found(), if lies { vec![lie] } else { vec![] });
    }
}

#[test]
fn a_record_whose_key_is_no_id() {
    for family in [Family::Blobs, Family::Trees, Family::Commits] {
        let mut primary = Primary::new();
        primary.store.put_raw(family, b"\xab\xcd", b"x");
        let expected = PrimaryFinding::ForeignRecord { family: family.to_string(), key: "abcd".into() };
        assert_eq!(primary.found(), [expected]);
    }
}

#[test]
fn a_damaged_block_of_the_database_costs_what_lay_there_and_nothing_else() {
    let mut primary = Primary::new();
    let (hit, whole) = (noise(5, 100_000), noise(6, 100_000));
    primary.store.commit_files("code", &[("hit", &hit), ("whole", &whole)]);
    primary.store.flush(Family::Blobs);
    let data = primary.store.close();
    let flipped = fs::read_dir(data.join("store")).unwrap().any(|file| {
        let path = file.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let place = bytes.windows(64).position(|window| window == &hit[50_000..50_064]);
        let is_table = path.extension().is_some_and(|kind| kind == "sst");
        place.filter(|_| is_table).is_some_and(|place| {
            bytes[place] ^= 1;
            fs::write(&path, bytes).is_ok()
        })
    });
    assert!(flipped);
    let mut found = primary.found();
    assert_eq!(found.pop(), Some(PrimaryFinding::BlocksDamaged { family: "blobs".into() }));
    assert!(found.contains(&PrimaryFinding::BlobUnreadable { id: BlobId::of(&hit) }), "{found:?}");
    assert!(!found.contains(&PrimaryFinding::BlobUnreadable { id: BlobId::of(&whole) }), "{found:?}");
    let store = Store::open_read_only(&data.join("store")).unwrap();
    for finding in found {
        // Small ones may have lain in the same block.
        assert!(matches!(finding, PrimaryFinding::BlobUnreadable { id } if store.blob(&id).is_err()), "{finding:?}");
    }
}
