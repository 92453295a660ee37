//! What is sent, judged by a receiver that trusts nothing and holds exactly the commits it named.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::*;
use crate::codec::encode_tree;
use crate::server::tests::estate::{Estate, Files, files};
use crate::values::TreePath;
use crate::values::{Commit, CommitId, Entry, MAX_WHOLE_BLOB, Tree};
use crate::wire::StreamReader;
use crate::wire::api::ObjectId;

/// What came over the wire.
#[derive(Default)]
struct Received {
    frames: Vec<Frame>,
    whole_trees: usize,
    deltas: usize,
    blobs: Vec<Vec<u8>>,
    chunks_sent: usize,
    chunks_left_out: usize,
}

/// A large blob whose pieces are coming.
struct Open {
    id: BlobId,
    chunks: Vec<BlobId>,
    sent: Vec<bool>,
}

/// A receiver that holds the objects of `have`.
struct Receiver<'a> {
    estate: &'a Estate,
    trees: HashMap<TreeId, Tree>,
    blobs: HashSet<BlobId>,
    chunks: HashMap<BlobId, Vec<u8>>,
}

impl<'a> Receiver<'a> {
    fn new(estate: &'a Estate, have: &[&Commit]) -> Self {
        let mut receiver = Self { estate, trees: HashMap::new(), blobs: HashSet::new(), chunks: HashMap::new() };
        have.iter().for_each(|commit| receiver.hold(commit.root.id));
        receiver
    }

    fn hold(&mut self, id: TreeId) {
        let tree = self.estate.store.tree(&id).unwrap().unwrap();
        for (_, entry) in tree.entries() {
            match entry {
                Entry::Tree(subtree) => self.hold(subtree.id),
                Entry::File { id, .. } => {
                    self.blobs.insert(*id);
                    if let Some(StoredBlob::Chunked(list)) = self.estate.store.blob(id).unwrap() {
                        for chunk in list.chunks() {
                            let Some(StoredBlob::Whole(content)) = self.estate.store.blob(&chunk.id).unwrap() else {
                                panic!("a chunk is a whole blob");
                            };
                            self.chunks.insert(chunk.id, content);
                        }
                    }
                }
                Entry::Symlink(_) => {}
            }
        }
        self.trees.insert(id, tree);
    }

    /// Takes a stream in by the rules of `storage-format.md` §7, and checks that afterwards nothing of `want` is missing.
    fn take(mut self, want: &Commit, stream: &[u8]) -> Received {
        let mut received = Received::default();
        let mut frames = StreamReader::new(stream).unwrap();
        let mut expected_trees = BTreeSet::new();
        let mut expected_blobs = HashSet::new();
        let mut open: Option<Open> = None;
        while let Some(frame) = frames.next_frame().unwrap() {
            received.frames.push(frame.clone());
            match frame {
                Frame::Commit(commit) => {
                    assert_eq!(&commit, want);
                    expected_trees.insert(commit.root.id);
                    continue;
                }
                Frame::Tree(tree) => {
                    received.whole_trees += 1;
                    self.take_tree(tree, &mut expected_trees, &mut expected_blobs);
                }
                Frame::TreeDelta(delta) => {
                    received.deltas += 1;
                    let base = self.trees.get(&delta.base).expect("the base of a delta is held");
                    let tree = delta.apply(base).unwrap();
                    self.take_tree(tree, &mut expected_trees, &mut expected_blobs);
                }
                Frame::Blob(content) => {
                    let id = BlobId::of(&content);
                    assert!(expected_blobs.remove(&id), "a blob that no tree named, or that came twice");
                    self.blobs.insert(id);
                    received.blobs.push(content);
                }
                Frame::Chunked { id, chunks, sent } => {
                    assert!(expected_blobs.remove(&id));
                    received.chunks_left_out += sent.iter().filter(|sent| !**sent).count();
                    open = Some(Open { id, chunks: chunks.chunks().iter().map(|chunk| chunk.id).collect(), sent });
                }
                Frame::Chunk(content) => {
                    received.chunks_sent += 1;
                    let Open { chunks, sent, .. } = open.as_mut().expect("a chunk follows its list");
                    let at = sent.iter().position(|sent| *sent).expect("a chunk that was announced");
                    sent[at] = false;
                    assert_eq!(BlobId::of(&content), chunks[at]);
                    self.chunks.insert(chunks[at], content);
                }
                Frame::End(_) | Frame::Failed(_) => unreachable!("the reader keeps these"),
            }
            if let Some(Open { id, chunks, .. }) = open.as_ref().filter(|open| !open.sent.contains(&true)) {
                let whole: Vec<u8> = chunks.iter().flat_map(|chunk| self.chunks[chunk].clone()).collect();
                assert_eq!(BlobId::of(&whole), *id);
                self.blobs.insert(*id);
                open = None;
            }
        }
        assert!(open.is_none(), "a blob whose pieces did not all come");
        self.check_whole(want.root.id);
        received
    }

    fn take_tree(&mut self, tree: Tree, trees: &mut BTreeSet<TreeId>, blobs: &mut HashSet<BlobId>) {
        let id = TreeId::of(&encode_tree(&tree));
        assert!(trees.remove(&id), "a tree that nothing named, or that came twice");
        for (_, entry) in tree.entries() {
            match entry {
                Entry::Tree(subtree) if !self.trees.contains_key(&subtree.id) => drop(trees.insert(subtree.id)),
                Entry::File { id, .. } => drop(blobs.insert(*id)),
                Entry::Tree(_) | Entry::Symlink(_) => {}
            }
        }
        self.trees.insert(id, tree);
    }

    fn check_whole(&self, id: TreeId) {
        let tree = self.trees.get(&id).expect("every tree of the commit is held or was sent");
        for (name, entry) in tree.entries() {
            match entry {
                Entry::Tree(subtree) => self.check_whole(subtree.id),
                Entry::File { id, .. } => {
                    assert!(self.blobs.contains(id), "the content of {name} is neither held nor sent");
                }
                Entry::Symlink(_) => {}
            }
        }
    }
}

fn fetched(estate: &Estate, want: &Commit, have: &[&Commit]) -> Received {
    let snapshot = estate.store.snapshot();
    let commits: Vec<Commit> = have.iter().map(|commit| (*commit).clone()).collect();
    let mut stream = StreamWriter::new(Vec::new()).unwrap();
    Fetch::new(&snapshot, want.clone(), &commits).send(&mut stream).unwrap();
    Receiver::new(estate, have).take(want, &stream.finish().unwrap())
}

/// Two environments with a module of two files, and a module of their own each.
fn site() -> Files {
    files(&[
        ("environments/production/manifests/site.pp", "include ntp"),
        ("environments/production/modules/ntp/manifests/init.pp", "class ntp {}"),
        ("environments/production/modules/ntp/files/ntp.conf", "server a"),
        ("environments/staging/manifests/site.pp", "include ntp, new"),
        ("environments/staging/modules/ntp/manifests/init.pp", "class ntp {}"),
        ("environments/staging/modules/ntp/files/ntp.conf", "server a"),
        ("environments/staging/link", "-> ../production"),
    ])
}

fn large(seed: u32, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

#[test]
fn a_client_without_anything_gets_everything_once() {
    let estate = Estate::new();
    let (_, want) = estate.commit(&site());
    let received = fetched(&estate, &want, &[]);
    // root, environments, production, manifests, modules, ntp, manifests, files; staging and its manifests: the module is shared.
    assert_eq!((received.whole_trees, received.deltas), (10, 0));
    assert_eq!(received.blobs.len(), 4);
    assert!(matches!(&received.frames[0], Frame::Commit(commit) if *commit == want));
}

#[test]
fn trees_come_before_blobs_and_after_what_names_them() {
    let estate = Estate::new();
    let (_, want) = estate.commit(&site());
    let received = fetched(&estate, &want, &[]);
    let first_blob = received.frames.iter().position(|frame| matches!(frame, Frame::Blob(_))).unwrap();
    assert!(received.frames[first_blob..].iter().all(|frame| matches!(frame, Frame::Blob(_))));
    assert_eq!(received.blobs[0], b"include ntp", "in the order in which trees name them");
}

#[test]
fn a_changed_file_costs_its_directories_and_itself() {
    let estate = Estate::new();
    let mut site = site();
    for at in 0..50 {
        site.insert(format!("environments/production/modules/ntp/files/{at}"), vec![at; 10]);
    }
    let (_, old) = estate.commit(&site);
    site.insert("environments/production/modules/ntp/files/ntp.conf".into(), b"server b".to_vec());
    let (_, new) = estate.commit(&site);
    let received = fetched(&estate, &new, &[&old]);
    assert_eq!(received.blobs, [b"server b"]);
    assert_eq!(received.whole_trees + received.deltas, 6, "root, environments, production, modules, ntp, files");
    assert!(received.deltas > 0);
    let files = received.frames.iter().rev().find_map(|frame| match frame {
        Frame::TreeDelta(delta) => Some(delta.changed.entries().len()),
        _ => None,
    });
    assert_eq!(files, Some(1), "of the directory with 51 files only the changed entry");
}

#[test]
fn nothing_but_the_commit_is_sent_where_the_tree_is_the_same() {
    let estate = Estate::new();
    let (_, old) = estate.commit(&site());
    let (_, new) = estate.commit(&site());
    assert_eq!(fetched(&estate, &new, &[&old]).frames.len(), 1);
}

#[test]
fn a_delta_is_sent_only_where_it_is_smaller() {
    let estate = Estate::new();
    let (_, old) = estate.commit(&files(&[("a", "1"), ("b", "2")]));
    let (_, new) = estate.commit(&files(&[("c", "3")]));
    let received = fetched(&estate, &new, &[&old]);
    assert_eq!((received.whole_trees, received.deltas), (1, 0));
}

#[test]
fn a_moved_module_is_not_sent_again() {
    let estate = Estate::new();
    let mut site = site();
    let (_, old) = estate.commit(&site);
    for file in ["manifests/init.pp", "files/ntp.conf"] {
        let content = site.remove(&format!("environments/production/modules/ntp/{file}")).unwrap();
        site.insert(format!("environments/production/modules/chrony/{file}"), content);
    }
    let (_, new) = estate.commit(&site);
    let received = fetched(&estate, &new, &[&old]);
    assert!(received.blobs.is_empty());
    assert_eq!(received.whole_trees + received.deltas, 4, "root, environments, production, modules");
}

#[test]
fn a_new_environment_copied_from_another_sends_no_blob() {
    let estate = Estate::new();
    let mut site = site();
    let (_, old) = estate.commit(&site);
    let copies: Vec<_> = site
        .iter()
        .filter_map(|(path, content)| {
            Some((format!("environments/feature/{}", path.strip_prefix("environments/staging/")?), content.clone()))
        })
        .collect();
    site.extend(copies);
    let (_, new) = estate.commit(&site);
    let received = fetched(&estate, &new, &[&old]);
    assert!(received.blobs.is_empty());
    assert_eq!(received.whole_trees + received.deltas, 2, "root, environments");
}

#[test]
fn what_any_named_commit_holds_is_not_sent() {
    let estate = Estate::new();
    let mut site = site();
    let (_, with_module) = estate.commit(&site);
    site.retain(|path, _| !path.contains("ntp"));
    let (_, without) = estate.commit(&site);
    site.insert("environments/production/modules/ntp/manifests/init.pp".into(), b"class ntp {}".to_vec());
    let (_, want) = estate.commit(&site);
    assert_eq!(fetched(&estate, &want, &[&without]).blobs.len(), 1);
    assert!(fetched(&estate, &want, &[&without, &with_module]).blobs.is_empty());
}

#[test]
fn a_large_file_moved_within_known_directories_is_looked_for_before_it_is_sent() {
    let estate = Estate::new();
    let mut site = site();
    site.insert("environments/production/manifests/a.bin".into(), large(1, MAX_WHOLE_BLOB));
    site.insert("environments/production/manifests/b.bin".into(), b"small".to_vec());
    let (_, old) = estate.commit(&site);
    let content = site.remove("environments/production/manifests/a.bin").unwrap();
    site.insert("environments/staging/manifests/c.bin".into(), content);
    site.insert("environments/production/manifests/b.bin".into(), b"other".to_vec());
    let (_, new) = estate.commit(&site);
    assert_eq!(fetched(&estate, &new, &[&old]).blobs, [b"other"]);
}

#[test]
fn a_small_edit_of_a_large_file_sends_the_pieces_that_changed() {
    let estate = Estate::new();
    let mut content = large(7, 8 << 20);
    let mut site = Files::from([("dump".to_owned(), content.clone())]);
    let (_, old) = estate.commit(&site);
    content.splice(4 << 20..4 << 20, *b"an edit");
    site.insert("dump".into(), content.clone());
    let (_, new) = estate.commit(&site);
    let received = fetched(&estate, &new, &[&old]);
    assert!(received.chunks_left_out >= 4, "{} left out", received.chunks_left_out);
    assert!((1..=3).contains(&received.chunks_sent), "{} sent", received.chunks_sent);
    let all = fetched(&estate, &new, &[]);
    assert_eq!((all.chunks_left_out, all.blobs.len()), (0, 0));

    // Renamed and edited at once, it has no counterpart at its path; the pieces are found all the same.
    site.remove("dump");
    content.splice(0..0, *b"another");
    site.insert("renamed".into(), content);
    let (_, renamed) = estate.commit(&site);
    let received = fetched(&estate, &renamed, &[&new]);
    assert!(received.chunks_left_out >= 4, "{} left out", received.chunks_left_out);
}

#[test]
fn a_file_that_becomes_a_directory_and_the_other_way_round_arrives() {
    let estate = Estate::new();
    let (_, old) = estate.commit(&files(&[("a", "file"), ("b/c", "below"), ("d", "-> a")]));
    let (_, new) = estate.commit(&files(&[("a/x", "below"), ("b", "file"), ("d", "now a file")]));
    fetched(&estate, &new, &[&old]);
    fetched(&estate, &old, &[&new]);
}

#[test]
fn whatever_two_commits_differ_by_the_receiver_ends_with_the_whole() {
    let estate = Estate::new();
    let mut commits: Vec<(CommitId, Commit)> = Vec::new();
    for round in 0..12u32 {
        let mut site = Files::new();
        let random = large(round, 400);
        for pair in random.chunks(2) {
            let path = format!("environments/e{}/d{}/f{}", pair[0] % 3, pair[0] % 5, pair[1] % 7);
            site.insert(path, vec![pair[1] % 11; 3]);
        }
        commits.push(estate.commit(&site));
    }
    for (at, (_, want)) in commits.iter().enumerate() {
        let others: Vec<&Commit> = commits.iter().map(|(_, commit)| commit).collect();
        for have in [&others[..at.min(1)], &others[at / 2..at], &others[at..]] {
            fetched(&estate, want, have);
        }
    }
}

#[test]
fn a_lost_blob_does_not_keep_the_others_back() {
    let estate = Estate::new();
    let (_, mut want) = estate.commit(&files(&[("a", "kept"), ("b", "also kept")]));
    let tree = estate.store.tree(&want.root.id).unwrap().unwrap();
    let lost = Entry::File { id: BlobId::of(b"never stored"), executable: false, size: 12 };
    let tree = tree.with(&crate::values::Name::new(b"aa").unwrap(), Some(lost)).unwrap();
    let bytes = encode_tree(&tree);
    want.root.id = TreeId::of(&bytes);
    estate.store.begin_commit(&want.repo).write_trees([(want.root.id, bytes)]).unwrap();
    let snapshot = estate.store.snapshot();
    let mut stream = StreamWriter::new(Vec::new()).unwrap();
    let result = Fetch::new(&snapshot, want, &[]).send(&mut stream);
    assert!(matches!(result, Err(PackError::NoBlob(id)) if id == BlobId::of(b"never stored")));
    let bytes = stream.fail("a blob is lost").unwrap();
    let mut frames = StreamReader::new(&bytes[..]).unwrap();
    let mut blobs = 0;
    while let Ok(Some(frame)) = frames.next_frame() {
        blobs += usize::from(matches!(frame, Frame::Blob(_)));
    }
    assert_eq!(blobs, 2);
}

#[test]
fn objects_are_served_only_where_they_stand() {
    let estate = Estate::new();
    let (_, commit) = estate.commit(&site());
    let snapshot = estate.store.snapshot();
    let path = |text: &str| TreePath::new(text.as_bytes()).unwrap();
    let blob = |content: &str| ObjectId::Blob(BlobId::of(content.as_bytes()));
    let asked = [
        (path("environments/production/manifests/site.pp"), blob("include ntp")),
        (path("environments/production/manifests/site.pp"), blob("class ntp {}")),
        (path("environments/production/manifests"), blob("include ntp")),
        (path("environments/nowhere/site.pp"), blob("include ntp")),
        (path("environments/staging/link"), blob("include ntp")),
        (path("environments/staging/link/manifests/site.pp"), blob("include ntp")),
        (path(""), ObjectId::Tree(commit.root.id)),
        (path("environments"), ObjectId::Tree(commit.root.id)),
        (path("environments/production/modules/ntp/files/ntp.conf"), blob("server a")),
    ];
    assert_eq!(misplaced(&snapshot, &commit, &asked).unwrap(), [1, 2, 3, 4, 5, 7]);
}

#[test]
fn objects_come_in_the_order_asked_and_once() {
    let estate = Estate::new();
    let mut site = site();
    site.insert("dump".into(), large(3, 3 << 20));
    let (_, commit) = estate.commit(&site);
    let snapshot = estate.store.snapshot();
    let at = |content: &[u8]| (TreePath::root(), ObjectId::Blob(BlobId::of(content)));
    let root = (TreePath::root(), ObjectId::Tree(commit.root.id));
    let asked = [at(b"server a"), at(&large(3, 3 << 20)), root.clone(), at(b"server a"), root];
    let mut stream = StreamWriter::new(Vec::new()).unwrap();
    let sent = send_objects(&snapshot, &asked, &mut stream).unwrap();
    assert_eq!(sent, Sent { trees: 1, blobs: 2 });
    let bytes = stream.finish().unwrap();
    let mut frames = StreamReader::new(&bytes[..]).unwrap();
    assert_eq!(frames.next_frame().unwrap(), Some(Frame::Blob(b"server a".to_vec())));
    let Some(Frame::Chunked { sent, .. }) = frames.next_frame().unwrap() else {
        panic!("a large blob comes in pieces")
    };
    assert!(sent.iter().all(|sent| *sent));
    for _ in sent {
        assert!(matches!(frames.next_frame().unwrap(), Some(Frame::Chunk(_))));
    }
    assert!(matches!(frames.next_frame().unwrap(), Some(Frame::Tree(_))));
    assert_eq!(frames.next_frame().unwrap(), None);
}
