//! A primary that lies: whatever it sends, the client refuses it, says why, and shows what it showed.

use std::collections::BTreeMap;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::{get, post};
use sceneshift::codec::{encode_commit, encode_tree};
use sceneshift::values::{
    Author, BlobId, Chunk, ChunkList, Commit, CommitId, Entry, MAX_WHOLE_BLOB, Name, Subtree, Totals, Tree, TreeId,
    TreePath,
};
use sceneshift::wire::api::{CommitInfo, SyncRequest};
use sceneshift::wire::{Frame, STREAM_MEDIA_TYPE, StreamWriter};

use crate::support::rig::Rig;
use crate::support::shows::assert_shows;

/// What the liar says is the head, and what it sends of it.
struct Lie {
    commit: Commit,
    stream: Vec<u8>,
    media_type: &'static str,
}

impl Lie {
    /// These frames, well written.
    fn of(commit: &Commit, frames: &[Frame]) -> Self {
        let mut writer = StreamWriter::new(Vec::new()).unwrap();
        frames.iter().for_each(|frame| writer.write(frame).unwrap());
        Self { commit: commit.clone(), stream: writer.finish().unwrap(), media_type: STREAM_MEDIA_TYPE }
    }

    /// These bytes, compressed: for frames that the program does not write.
    fn raw(commit: &Commit, frames: &[(u8, u32, &[u8])]) -> Self {
        let mut bytes = b"SCNSHFT1".to_vec();
        for (kind, length, payload) in frames {
            bytes.push(*kind);
            bytes.extend(length.to_le_bytes());
            bytes.extend(*payload);
        }
        let stream = zstd::encode_all(&bytes[..], 1).unwrap();
        Self { commit: commit.clone(), stream, media_type: STREAM_MEDIA_TYPE }
    }

    /// Serves it, until the rig goes; answers the address.
    fn serve(self, rig: &Rig) -> String {
        let info = CommitInfo::of(CommitId::of(&encode_commit(&self.commit)), &self.commit, Vec::new());
        let (stream, media_type) = (self.stream, self.media_type);
        let answer = move || {
            let stream = stream.clone();
            async move { ([(header::CONTENT_TYPE, media_type)], stream) }
        };
        let routes = Router::new()
            .route("/v1/repos/{repo}/head", get(async || axum::Json(info)))
            .route("/v1/repos/{repo}/fetch", post(answer.clone()))
            .route("/v1/repos/{repo}/objects", post(answer))
            .route("/v1/clients/{name}", post(async || StatusCode::NO_CONTENT));
        let listener = rig.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        rig.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        address
    }
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

/// A tree of files with these contents.
fn tree(files: &[(&str, &[u8])]) -> Tree {
    let entry = |content: &[u8]| Entry::File { id: BlobId::of(content), executable: false, size: content.len() as u64 };
    Tree::from_entries(files.iter().map(|(file, content)| (name(file), entry(content))).collect()).unwrap()
}

/// A commit of the tree with these bytes.
fn commit(root: &[u8], totals: Totals) -> Commit {
    Commit {
        repo: "puppet-code".parse().unwrap(),
        environments_dir: TreePath::new(b"environments").unwrap(),
        root: Subtree { id: TreeId::of(root), totals },
        parent: None,
        sequence: 1,
        time: 0,
        author: Author::default(),
        message: String::new(),
    }
}

fn commit_of(tree: &Tree) -> Commit {
    commit(&encode_tree(tree), tree.totals())
}

/// The bytes of a tree with one entry, whose name nobody checked.
fn tree_with_name(bad: &[u8]) -> (Vec<u8>, Totals) {
    let longest = "x".repeat(bad.len());
    let good = tree(&[(longest.as_str(), b"evil")]);
    let mut bytes = encode_tree(&good);
    let at = bytes.windows(bad.len()).position(|window| window == longest.as_bytes()).unwrap();
    bytes[at..at + bad.len()].copy_from_slice(bad);
    (bytes, good.totals())
}

/// Every lie, by what it is, with words that its refusal must hold.
fn lies() -> BTreeMap<&'static str, (Lie, &'static str)> {
    let good = tree(&[("a", b"right"), ("b", b"also right")]);
    let of_good = commit_of(&good);
    let whole = |blobs: &[&[u8]]| {
        let mut frames = vec![Frame::Commit(of_good.clone()), Frame::Tree(good.clone())];
        frames.extend(blobs.iter().map(|content| Frame::Blob(content.to_vec())));
        Lie::of(&of_good, &frames)
    };
    let mut lies = BTreeMap::new();
    lies.insert("a blob with other bytes", (whole(&[b"wrong"]), "was not asked for"));
    lies.insert("a blob twice", (whole(&[b"right", b"right"]), "was not asked for"));
    lies.insert("a blob that nothing names", (whole(&[b"right", b"also right", b"more"]), "was not asked for"));
    lies.insert("a blob too few, each time", (whole(&[b"right"]), "was not asked for"));

    let wrong_size =
        Tree::from_entries(vec![(name("a"), Entry::File { id: BlobId::of(b"four"), executable: false, size: 5 })]);
    let wrong_size = wrong_size.unwrap();
    let of_it = commit_of(&wrong_size);
    let frames = [Frame::Commit(of_it.clone()), Frame::Tree(wrong_size), Frame::Blob(b"four".to_vec())];
    lies.insert("a blob of another length than its entry says", (Lie::of(&of_it, &frames), "its entry says 5"));

    let other = tree(&[("a", b"other")]);
    let frames = [Frame::Commit(of_good.clone()), Frame::Tree(other.clone())];
    lies.insert("a tree that nothing names", (Lie::of(&of_good, &frames), "was not asked for"));
    lies.insert(
        "another commit",
        (Lie::of(&of_good, &[Frame::Commit(commit_of(&other)), Frame::Tree(other)]), "was not asked for"),
    );
    let too_many = commit(&encode_tree(&good), Totals { files: 3, ..good.totals() });
    let frames = [Frame::Commit(too_many.clone()), Frame::Tree(good.clone())];
    lies.insert("a tree with other totals", (Lie::of(&too_many, &frames), "its entry says"));
    lies.insert("a chunk without an announcement", {
        let frames = [Frame::Commit(of_good.clone()), Frame::Tree(good.clone()), Frame::Chunk(b"x".to_vec())];
        (Lie::of(&of_good, &frames), "was not announced")
    });
    lies.insert("chunks that are not the blob", chunks_of_another_blob());

    for (what, bad) in [("the name ..", &b".."[..]), ("the name .", b"."), ("a name with /", b"a/b"), ("NUL", b"a\0b")]
    {
        let (bytes, totals) = tree_with_name(bad);
        let commit = commit(&bytes, totals);
        let encoded = encode_commit(&commit);
        let frames = [(1, encoded.len() as u32, &encoded[..]), (2, bytes.len() as u32, &bytes), (4, 4, b"evil")];
        lies.insert(what, (Lie::raw(&commit, &frames), "bad frame"));
    }

    let encoded = encode_commit(&of_good);
    let raw = |frames: &[(u8, u32, &[u8])]| {
        let commit = [(1, encoded.len() as u32, &encoded[..])];
        Lie::raw(&of_good, &[&commit[..], frames].concat())
    };
    lies.insert("a frame of an unknown kind", (raw(&[(99, 0, b"")]), "bad frame"));
    lies.insert("a frame over its limit", (raw(&[(4, u32::MAX, b"")]), "bad frame"));
    lies.insert("a length that does not come", (raw(&[(2, 64 << 20, b"short")]), "ended before it was whole"));
    lies.insert("a wrong count at the end", (raw(&[(7, 8, &9_u64.to_le_bytes())]), "frames; 1 arrived"));
    lies.insert("a sender that gives up", (raw(&[(8, 7, b"no luck")]), "no luck"));
    lies.insert("nothing", (Lie { stream: Vec::new(), ..whole(&[]) }, "ended before it was whole"));
    lies.insert("no compression", (Lie { stream: b"SCNSHFT1 and so on".to_vec(), ..whole(&[]) }, "broke"));
    lies.insert("a web page", (Lie { media_type: "text/html", ..whole(&[]) }, "text/html"));
    lies
}

/// A large blob is announced, and its chunks are as announced, but together they are another blob.
fn chunks_of_another_blob() -> (Lie, &'static str) {
    let (pieces, announced) = ([vec![1; MAX_WHOLE_BLOB], vec![2; 10]], BlobId::of(b"something else"));
    let size = MAX_WHOLE_BLOB as u64 + 10;
    let file = Entry::File { id: announced, executable: false, size };
    let tree = Tree::from_entries(vec![(name("large"), file)]).unwrap();
    let chunk = |piece: &Vec<u8>| Chunk { id: BlobId::of(piece), length: piece.len() as u32 };
    let chunks = ChunkList::new(size, pieces.iter().map(chunk).collect()).unwrap();
    let commit = commit_of(&tree);
    let mut frames = vec![Frame::Commit(commit.clone()), Frame::Tree(tree)];
    frames.push(Frame::Chunked { id: announced, chunks, sent: vec![true, true] });
    frames.extend(pieces.map(Frame::Chunk));
    (Lie::of(&commit, &frames), "what arrived as blob")
}

/// An error and all its causes.
fn told(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", told(cause)));
    format!("{error}{}", cause.unwrap_or_default())
}

#[test]
fn whatever_a_lying_primary_sends_is_refused_and_current_stands() {
    for (what, (lie, words)) in lies() {
        let rig = Rig::new();
        std::fs::create_dir_all(rig.staging().join("environments/production")).unwrap();
        std::fs::write(rig.staging().join("environments/production/site.pp"), "honest").unwrap();
        rig.commit();
        rig.deploy();
        let address = lie.serve(&rig);
        let error = rig.try_deploy_from(&address).map(drop).expect_err(what);
        assert!(told(&error).contains(words), "{what}: {}", told(&error));
        assert_shows(&rig.staging(), &rig.current());
        rig.assert_clean();
        let here = std::fs::read_dir(rig.client_data()).unwrap().map(|entry| entry.unwrap().file_name());
        let expected = ["FORMAT", "LOCK", "blobs", "index", "repos", "tmp", "trees"];
        let strange: Vec<_> = here.filter(|name| expected.iter().all(|known| name != known)).collect();
        assert!(strange.is_empty(), "{what}: {strange:?}");

        // An honest one is believed again.
        std::fs::write(rig.staging().join("environments/production/site.pp"), "honest as ever").unwrap();
        rig.commit();
        rig.deploy();
        assert_shows(&rig.staging(), &rig.current());
    }
}

#[test]
fn a_daemon_that_is_lied_to_goes_on_and_says_so() {
    let rig = Rig::new();
    let (lie, words) = lies().remove("a blob with other bytes").unwrap();
    let address = lie.serve(&rig);
    let client = rig.start_client_of(&address);
    let sync = || rig.block_on(rig.socket().sync(&SyncRequest::default()));
    let refused = crate::support::wait::until("the daemon answers", std::time::Duration::from_secs(20), || {
        sync().err().filter(|error| error.status().is_some())
    });
    assert_eq!(refused.status(), Some(502), "{refused}");
    assert!(told(&refused).contains(words), "{refused}");
    let report = rig.block_on(rig.socket().status()).unwrap();
    let status = &report.repos[&rig.repo()];
    assert!(
        status.deployed.is_none() && status.error.as_ref().is_some_and(|error| error.contains(words)),
        "{status:?}"
    );
    assert!(!rig.current().exists());
    rig.stop_client(client);
}
