//! What a sender may not do, and what stays of a stream that breaks.

use super::*;
use crate::farm::BlobKey;
use crate::farm::testing::TestFarm;
use crate::values::{Author, Chunk, Commit, MAX_WHOLE_BLOB, Name, Target, TreePath};
use crate::wire::{StreamError, StreamWriter};

/// A commit of one file `a` and one directory `d` with a link in it, and the frames that carry it.
struct Sent {
    commit: CommitId,
    frames: Vec<Frame>,
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

fn file(content: &[u8]) -> Entry {
    Entry::File { id: BlobId::of(content), executable: false, size: content.len() as u64 }
}

fn subtree(tree: &Tree) -> Entry {
    Entry::Tree(Subtree { id: TreeId::of(&encode_tree(tree)), totals: tree.totals() })
}

fn sent_with(entries: Vec<(Name, Entry)>, more: Vec<Frame>) -> Sent {
    let root = Tree::from_entries(entries).unwrap();
    let commit = Commit {
        repo: TestFarm::repo(),
        environments_dir: TreePath::new(b"environments").unwrap(),
        root: Subtree { id: TreeId::of(&encode_tree(&root)), totals: root.totals() },
        parent: None,
        sequence: 1,
        time: 0,
        author: Author::default(),
        message: String::new(),
    };
    let id = CommitId::of(&encode_commit(&commit));
    let mut frames = vec![Frame::Commit(commit), Frame::Tree(root)];
    frames.extend(more);
    Sent { commit: id, frames }
}

fn sent() -> Sent {
    let inner = Tree::from_entries(vec![(name("l"), Entry::Symlink(Target::new(b"../a").unwrap()))]).unwrap();
    let entries = vec![(name("a"), file(b"content")), (name("d"), subtree(&inner))];
    sent_with(entries, vec![Frame::Tree(inner), Frame::Blob(b"content".to_vec())])
}

fn stream(frames: &[Frame]) -> Vec<u8> {
    let mut writer = StreamWriter::new(Vec::new()).unwrap();
    frames.iter().for_each(|frame| writer.write(frame).unwrap());
    writer.finish().unwrap()
}

fn take(farm: &TestFarm, commit: CommitId, frames: &[Frame]) -> Result<Received, ReceiveError> {
    receive(farm.farm(), &*stream(frames), Wanted::everything(commit), &Progress::default())
}

fn is_here(farm: &TestFarm, content: &[u8]) -> bool {
    farm.farm().blob_is_good(BlobKey { id: BlobId::of(content), executable: false }).unwrap()
}

#[test]
fn what_a_commit_names_is_kept() {
    let (farm, sent) = (TestFarm::new(), sent());
    assert_eq!(take(&farm, sent.commit, &sent.frames).unwrap(), Received { trees: 2, blobs: 1 });
    assert!(farm.farm().missing_trees(&sent.commit, None).unwrap().is_empty());
    assert!(is_here(&farm, b"content"));
}

#[test]
fn another_commit_than_the_one_asked_for_is_refused() {
    let (farm, sent) = (TestFarm::new(), sent());
    let error = take(&farm, CommitId::from_bytes([7; 32]), &sent.frames).unwrap_err();
    assert!(matches!(error, ReceiveError::UnwantedCommit(id) if id == sent.commit), "{error}");
}

#[test]
fn an_object_that_nothing_names_or_that_comes_twice_is_refused() {
    let foreign = Tree::from_entries(vec![(name("evil"), file(b"evil"))]).unwrap();
    for (extra, twice) in [
        (Frame::Tree(foreign), false),
        (Frame::Blob(b"evil".to_vec()), false),
        (Frame::Chunk(b"evil".to_vec()), false),
        (sent().frames[2].clone(), true),
        (sent().frames[3].clone(), true),
    ] {
        let (farm, mut sent) = (TestFarm::new(), sent());
        sent.frames.push(extra.clone());
        let error = take(&farm, sent.commit, &sent.frames).unwrap_err();
        let refused = matches!(
            error,
            ReceiveError::UnwantedTree(_) | ReceiveError::UnwantedBlob(_) | ReceiveError::UnwantedChunk(_)
        );
        assert!(refused, "{extra:?}, twice: {twice}: {error}");
        assert!(!is_here(&farm, b"evil"));
    }
}

#[test]
fn other_bytes_than_a_tree_names_never_become_a_file() {
    let (farm, mut sent) = (TestFarm::new(), sent());
    sent.frames[3] = Frame::Blob(b"CONTENT".to_vec());
    let error = take(&farm, sent.commit, &sent.frames).unwrap_err();
    assert!(matches!(error, ReceiveError::UnwantedBlob(id) if id == BlobId::of(b"CONTENT")), "{error}");
    assert!(!is_here(&farm, b"CONTENT") && !is_here(&farm, b"content"));
}

#[test]
fn a_directory_that_lies_about_what_is_in_it_is_refused() {
    let inner = Tree::from_entries(vec![(name("f"), file(b"content"))]).unwrap();
    let mut lie = subtree(&inner);
    if let Entry::Tree(subtree) = &mut lie {
        subtree.totals.bytes += 1;
    }
    let sent = sent_with(vec![(name("d"), lie)], vec![Frame::Tree(inner)]);
    let error = take(&TestFarm::new(), sent.commit, &sent.frames).unwrap_err();
    assert!(matches!(error, ReceiveError::Totals { .. }), "{error}");
}

#[test]
fn a_file_of_another_size_than_its_entry_says_is_refused() {
    let lie = Entry::File { id: BlobId::of(b"content"), executable: false, size: 8 };
    let sent = sent_with(vec![(name("a"), lie)], vec![Frame::Blob(b"content".to_vec())]);
    let error = take(&TestFarm::new(), sent.commit, &sent.frames).unwrap_err();
    assert!(matches!(error, ReceiveError::Size { found: 7, expected: 8, .. }), "{error}");
}

#[test]
fn a_stream_that_breaks_keeps_what_came_and_the_rest_can_be_asked_for() {
    let (test, sent) = (TestFarm::new(), sent());
    let farm = test.farm();
    let mut broken = StreamWriter::new(Vec::new()).unwrap();
    sent.frames[..2].iter().for_each(|frame| broken.write(frame).unwrap());
    let broken = broken.fail("the primary stops").unwrap();
    let error = receive(farm, &*broken, Wanted::everything(sent.commit), &Progress::default());
    assert!(matches!(error, Err(ReceiveError::Stream(StreamError::Failed(_)))), "{error:?}");

    let commit = farm.index().commit(&sent.commit).unwrap().expect("the commit came before the break");
    let missing = farm.missing_trees(&sent.commit, None).unwrap();
    assert_eq!(missing.len(), 1, "the root came, the directory in it did not: {missing:?}");
    let rest = stream(&sent.frames[2..3]);
    receive(farm, &*rest, Wanted::trees(&missing), &Progress::default()).unwrap();
    assert!(farm.missing_trees(&sent.commit, None).unwrap().is_empty());

    let plan = farm.plan(sent.commit, &commit, &crate::farm::SharedDirs::default(), None).unwrap();
    let blobs = farm.missing_blobs(&plan).unwrap();
    assert_eq!(blobs.keys().collect::<Vec<_>>(), [&BlobId::of(b"content")]);
    let rest = stream(&sent.frames[3..]);
    receive(farm, &*rest, Wanted::blobs(blobs.iter()), &Progress::default()).unwrap();
    assert!(farm.missing_blobs(&plan).unwrap().is_empty());
}

#[test]
fn a_large_file_is_put_together_from_new_chunks_and_those_of_its_older_version() {
    let farm = TestFarm::new();
    let parts: Vec<Vec<u8>> = (0..3u8).map(|at| vec![at; MAX_WHOLE_BLOB - usize::from(at)]).collect();
    let large = |parts: &[&Vec<u8>]| {
        let content: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let chunk = |part: &&Vec<u8>| Chunk { id: BlobId::of(part), length: part.len() as u32 };
        let chunks = ChunkList::new(content.len() as u64, parts.iter().map(chunk).collect()).unwrap();
        (content, chunks)
    };
    let (old, old_chunks) = large(&[&parts[0], &parts[1]]);
    let frames = |content: &[u8], chunks: &ChunkList, sent: &[bool]| {
        vec![Frame::Chunked { id: BlobId::of(content), chunks: chunks.clone(), sent: sent.to_vec() }]
    };
    let mut first = sent_with(vec![(name("big"), file(&old))], frames(&old, &old_chunks, &[true, true]));
    first.frames.extend([Frame::Chunk(parts[0].clone()), Frame::Chunk(parts[1].clone())]);
    take(&farm, first.commit, &first.frames).unwrap();
    assert!(is_here(&farm, &old));
    // As the build does that follows a whole stream.
    farm.farm().settle().unwrap();

    let (new, new_chunks) = large(&[&parts[0], &parts[2]]);
    let mut second = sent_with(vec![(name("big"), file(&new))], frames(&new, &new_chunks, &[false, true]));
    second.frames.push(Frame::Chunk(parts[2].clone()));
    take(&farm, second.commit, &second.frames).unwrap();
    assert!(is_here(&farm, &new), "one chunk was sent, the other taken from the older version");

    let (never, never_chunks) = large(&[&parts[2], &vec![9; 5]]);
    let third = sent_with(vec![(name("big"), file(&never))], frames(&never, &never_chunks, &[false, false]));
    take(&farm, third.commit, &third.frames).unwrap();
    assert!(!is_here(&farm, &never), "a chunk that is nowhere leaves the blob missing, to be asked for as a whole");

    let wrong = sent_with(vec![(name("big"), file(&new))], frames(&new, &new_chunks, &[true, true]));
    let mut frames = wrong.frames;
    frames.push(Frame::Chunk(b"other".to_vec()));
    let error = take(&TestFarm::new(), wrong.commit, &frames).unwrap_err();
    assert!(matches!(error, ReceiveError::UnwantedChunk(_)), "{error}");
}
