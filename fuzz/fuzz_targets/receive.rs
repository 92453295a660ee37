//! A fetch as a client takes it: an untouched stream gives the whole commit; whatever is done to it, each blob that is kept has the bytes that
//! it is named by, nothing is kept that the commit does not name, nothing is written outside the data directory, and memory stays within bounds.
//!
//! The input makes up a small site, and then tampers with the stream of it.
#![no_main]

use std::cell::RefCell;
use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use sceneshift::client::fuzzing::receive;
use sceneshift::codec::{encode_commit, encode_tree};
use sceneshift::farm::{BlobKey, Farm, FarmSettings, SharedDirs};
use sceneshift::values::{Author, BlobId, Commit, CommitId, Entry, Name, Subtree, Target, Tree, TreePath};
use sceneshift::wire::{Frame, StreamWriter};
use sceneshift_fuzz::{Folder, bounded};

/// The largest input that is looked at, and what its stream may make a client allocate.
const MOST: usize = 4096;
const MEMORY: usize = 24 << 20;

/// A content that no commit names.
const FOREIGN: &[u8] = b"never named";

/// After so many streams a farm is made anew, so that what one leaves does not hide what another does.
const STREAMS: u64 = 500;

thread_local! {
    static CLIENT: RefCell<Option<(Folder, Farm, u64)>> = const { RefCell::new(None) };
}

fuzz_target!(|input: &[u8]| {
    if input.len() > MOST {
        return;
    }
    let mut input = Input(input);
    let site = Site::of(&mut input);
    let (stream, is_whole) = site.stream(&mut input);
    CLIENT.with_borrow_mut(|client| {
        if client.as_ref().is_none_or(|(_, _, streams)| *streams >= STREAMS) {
            *client = None;
            let folder = Folder::new();
            let farm = Farm::open(&folder.path().join("data"), FarmSettings::default()).expect("a new farm");
            *client = Some((folder, farm, 0));
        }
        let (folder, farm, streams) = client.as_mut().expect("made above");
        *streams += 1;
        check(folder, farm, &site, &stream, is_whole);
    });
});

fn check(folder: &Folder, farm: &Farm, site: &Site, stream: &[u8], is_whole: bool) {
    let outcome = bounded(MEMORY, || receive(farm, stream, site.id));
    let around: Vec<_> = std::fs::read_dir(folder.path()).expect("it is ours").collect();
    assert_eq!(around.len(), 1, "something was written outside the data directory");
    if is_whole {
        outcome.expect("an untouched stream is taken");
        let commit = farm.index().commit(&site.id).expect("the index can be read").expect("it came");
        assert_eq!(commit, site.commit);
        assert!(farm.missing_trees(&site.id, None).expect("the index can be read").is_empty());
        let shared = SharedDirs::new(&["environments/*"]).expect("a good pattern");
        let plan = farm.plan(site.id, &commit, &shared, None).expect("every tree came");
        assert!(farm.missing_blobs(&plan).expect("the farm can be read").is_empty());
    }
    for frame in &site.frames {
        if let Frame::Blob(content) = frame {
            for executable in [false, true] {
                let key = BlobKey { id: BlobId::of(content), executable };
                let path = farm.data().path.join("blobs").join(key.dir_name()).join(key.file_name());
                if farm.blob_is_good(key).expect("the farm can be read") {
                    assert_eq!(
                        &std::fs::read(path).expect("it is there"),
                        content,
                        "a blob has other bytes than its id says"
                    );
                }
            }
        }
    }
    let key = BlobKey { id: BlobId::of(FOREIGN), executable: false };
    assert!(!farm.blob_is_good(key).expect("the farm can be read"), "what nothing names was kept");
}

/// Bytes, and then zeros.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }
}

/// A commit, and its objects in the order in which they are sent.
struct Site {
    commit: Commit,
    id: CommitId,
    frames: Vec<Frame>,
}

impl Site {
    fn of(input: &mut Input<'_>) -> Self {
        let (mut trees, mut blobs) = (Vec::new(), BTreeMap::new());
        let root = tree(input, 0, &mut trees, &mut blobs);
        trees.reverse();
        let commit = Commit {
            repo: "puppet-code".parse().expect("a good name"),
            environments_dir: TreePath::new(b"environments").expect("a good path"),
            root,
            parent: None,
            sequence: 1,
            time: 1_700_000_000_000,
            author: Author::default(),
            message: String::new(),
        };
        let mut frames = vec![Frame::Commit(commit.clone())];
        let mut seen = std::collections::HashSet::new();
        frames.extend(trees.into_iter().filter(|tree| seen.insert(encode_tree(tree))).map(Frame::Tree));
        frames.extend(blobs.into_values().map(Frame::Blob));
        let id = CommitId::of(&encode_commit(&commit));
        Self { commit, id, frames }
    }

    /// The stream, maybe tampered with, and whether it is still what it was.
    fn stream(&self, input: &mut Input<'_>) -> (Vec<u8>, bool) {
        let mut frames = self.frames.clone();
        for _ in 0..input.byte() % 4 {
            let at = usize::from(input.byte()) % frames.len().max(1);
            let other = usize::from(input.byte()) % frames.len().max(1);
            match input.byte() % 7 {
                0 if !frames.is_empty() => drop(frames.remove(at)),
                1 if !frames.is_empty() => frames.swap(at, other),
                2 if !frames.is_empty() => frames.insert(other, frames[at].clone()),
                3 => frames.insert(at, Frame::Blob(FOREIGN.to_vec())),
                4 => frames.insert(at, Frame::Chunk(FOREIGN.to_vec())),
                5 => frames.insert(at, Frame::Tree(Tree::default())),
                6 => {
                    if let Some(Frame::Blob(content)) = frames.get_mut(at) {
                        content.push(input.byte());
                    }
                }
                _ => {}
            }
        }
        let mut writer = StreamWriter::new(Vec::new()).expect("memory takes everything");
        frames.iter().for_each(|frame| writer.write(frame).expect("a good frame"));
        let mut bytes = writer.finish().expect("memory takes everything");
        let sent = bytes.clone();
        // Also as the line breaks it.
        match input.byte() % 4 {
            0 => bytes.truncate(usize::from(input.byte()) * bytes.len() / 255),
            1 => {
                let at = usize::from(input.byte()) * bytes.len() / 256;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (input.byte() % 8);
                }
            }
            _ => {}
        }
        let is_whole = frames == self.frames && bytes == sent;
        (bytes, is_whole)
    }
}

fn tree(input: &mut Input<'_>, depth: u8, trees: &mut Vec<Tree>, blobs: &mut BTreeMap<BlobId, Vec<u8>>) -> Subtree {
    let mut entries = BTreeMap::new();
    for _ in 0..input.byte() % 5 {
        let name = [b'a' + input.byte() % 4];
        let name = if depth == 0 && name == *b"a" { b"environments".to_vec() } else { name.to_vec() };
        let name = Name::new(&name).expect("a good name");
        if entries.contains_key(&name) {
            continue;
        }
        let entry = match input.byte() % 6 {
            0 | 1 if depth < 4 => Entry::Tree(tree(input, depth + 1, trees, blobs)),
            2 => {
                let targets: [&[u8]; 5] = [b"a", b"../a", b"/etc", b"..", b"a/../../../b"];
                Entry::Symlink(Target::new(targets[usize::from(input.byte() % 5)]).expect("a good target"))
            }
            kind => {
                let content = vec![input.byte(); usize::from(input.byte() % 8)];
                let (id, size) = (BlobId::of(&content), content.len() as u64);
                blobs.insert(id, content);
                Entry::File { id, executable: kind % 2 == 0, size }
            }
        };
        entries.insert(name, entry);
    }
    let tree = Tree::from_entries(entries.into_iter().collect()).expect("each name once");
    let subtree = Subtree { id: sceneshift::values::TreeId::of(&encode_tree(&tree)), totals: tree.totals() };
    trees.push(tree);
    subtree
}
