//! Commits (`storage-format.md` §4).

use sceneshift::codec::{DecodeError, decode_commit, encode_commit};
use sceneshift::values::{Author, Commit, CommitError, CommitId, RepoName, Subtree, Totals, TreeId, TreePath};

use super::bytes::Bytes;
use super::{Case, File, Outcome};

const ROOT: [u8; 32] = [0x77; 32];
const PARENT: [u8; 32] = [0xcc; 32];

pub(super) fn file() -> File {
    let about = "Commits (storage-format.md §4). `id` is the CommitId of a commit that is accepted.
        The lines: format, repo, environments-dir; root; parent; sequence, time; author; message.";
    File { name: "commit.txt", about, cases: [accepted(), rejected()].concat(), check: |inputs| check(&inputs[0]) }
}

fn check(bytes: &[u8]) -> Outcome {
    match decode_commit(bytes) {
        Ok(commit) => {
            let again = encode_commit(&commit);
            assert!(again == bytes, "a commit that was read is not encoded as it was");
            Outcome::Accepted(vec![("id", CommitId::of(&again).to_string())])
        }
        Err(error) => Outcome::Rejected(format!("{error:?}")),
    }
}

/// The fields of a commit, right or wrong.
#[derive(Clone)]
struct Fields {
    format: u8,
    repo: Vec<u8>,
    environments_dir: Vec<u8>,
    /// The tag, and whether an id follows.
    parent: (u8, bool),
    sequence: u64,
    time: i64,
    name: Vec<u8>,
    email: Vec<u8>,
    message: Vec<u8>,
}

impl Fields {
    fn bytes(&self) -> Bytes {
        let begin = Bytes::new().u8(self.format).short8(&self.repo).short16(&self.environments_dir);
        let rooted = begin.line().raw(&ROOT).u64(1).u64(2).u64(300).line().u8(self.parent.0);
        let parented = if self.parent.1 { rooted.raw(&PARENT) } else { rooted };
        let timed = parented.line().u64(self.sequence).i64(self.time);
        timed.line().short16(&self.name).short16(&self.email).line().short32(&self.message)
    }

    /// The value, for the program's encoder.
    fn value(&self) -> Commit {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("good text");
        Commit {
            repo: text(&self.repo).parse().expect("a good name"),
            environments_dir: TreePath::new(&self.environments_dir).expect("a good path"),
            root: Subtree { id: TreeId::from_bytes(ROOT), totals: Totals { files: 1, links: 2, bytes: 300 } },
            parent: self.parent.1.then(|| CommitId::from_bytes(PARENT)),
            sequence: self.sequence,
            time: self.time,
            author: Author { name: text(&self.name), email: text(&self.email) },
            message: text(&self.message),
        }
    }
}

/// The fields of a first commit, one or the other changed.
fn first(change: impl FnOnce(&mut Fields)) -> Fields {
    let mut fields = Fields {
        format: 1,
        repo: b"puppet-code".into(),
        environments_dir: b"environments".into(),
        parent: (0, false),
        sequence: 1,
        time: 1_795_478_400_000,
        name: b"Ada".into(),
        email: b"ada@example.com".into(),
        message: b"first".into(),
    };
    change(&mut fields);
    fields
}

fn later(sequence: u64) -> impl FnOnce(&mut Fields) {
    move |fields| (fields.parent, fields.sequence) = ((1, true), sequence)
}

fn good(name: &str, change: impl FnOnce(&mut Fields)) -> Case {
    let fields = first(change);
    let bytes = fields.bytes();
    let id = CommitId::of(&bytes.concat());
    Case::good(name, bytes, encode_commit(&fields.value()), vec![("id", id.to_string())])
}

fn bad(name: &str, error: impl Into<DecodeError>, change: impl FnOnce(&mut Fields)) -> Case {
    Case::bad(name, first(change).bytes(), error.into())
}

/// A path of 15 names of 255 bytes, and these.
fn long_path(rest: &[usize]) -> Vec<u8> {
    let lengths = [255; 15].iter().chain(rest);
    lengths.map(|length| b"d".repeat(*length)).collect::<Vec<_>>().join(&b'/')
}

fn accepted() -> Vec<Case> {
    vec![
        good("the first commit of a repo", |_| ()),
        good("the second commit of a repo", later(2)),
        good("sequence 2^64 - 1", later(u64::MAX)),
        good("a repo name of 1 character", |fields| fields.repo = b"0".into()),
        good("a repo name of 64 characters", |fields| fields.repo = b"A".repeat(64)),
        good("a repo name of every sign", |fields| fields.repo = b"a.b_c-D9".into()),
        good("a repo without environments", |fields| fields.environments_dir = Vec::new()),
        good("environments further down", |fields| fields.environments_dir = b"a/b".into()),
        good("an environments-dir of 4095 bytes", |fields| fields.environments_dir = long_path(&[255])),
        good("nobody, for no reason", |fields| {
            (fields.name, fields.email, fields.message) = (Vec::new(), Vec::new(), Vec::new());
        }),
        good("an author of 65535 and 65535 bytes", |fields| {
            (fields.name, fields.email) = (b"n".repeat(65_535), b"e".repeat(65_535));
        }),
        good("a message of 65535 bytes", |fields| fields.message = b"m".repeat(65_535)),
        good("a message of 65536 bytes", |fields| fields.message = b"m".repeat(65_536)),
        good("a message of more than ASCII", |fields| fields.message = "é 🎭\n\0".into()),
        good("the earliest time", |fields| fields.time = i64::MIN),
        good("the latest time", |fields| fields.time = i64::MAX),
    ]
}

fn rejected() -> Vec<Case> {
    let repo = |text: &str| text.parse::<RepoName>().expect_err("a bad name");
    let path = |bytes: &[u8]| TreePath::new(bytes).expect_err("a bad path");
    let mut cases = vec![
        Case::bad("nothing", Bytes::new(), DecodeError::Truncated("a commit")),
        bad("format 0", DecodeError::Format { what: "a commit", found: 0 }, |fields| fields.format = 0),
        bad("format 2", DecodeError::Format { what: "a commit", found: 2 }, |fields| fields.format = 2),
        bad("a repo name that is not UTF-8", DecodeError::NotUtf8("a repo name"), |fields| {
            fields.repo = b"\xff".into();
        }),
    ];
    for (what, text) in [
        ("a repo name of no characters", String::new()),
        ("a repo name of 65 characters", "A".repeat(65)),
        ("a repo name that begins with a dot", ".a".into()),
        ("a repo name with a /", "a/b".into()),
    ] {
        cases.push(bad(what, repo(&text), |fields| fields.repo = text.into_bytes()));
    }
    for (what, bytes) in [
        ("an absolute environments-dir", &b"/a"[..]),
        ("an environments-dir with a / at its end", b"a/"),
        ("an environments-dir with an empty part", b"a//b"),
        ("an environments-dir that leaves the root", b"a/.."),
        ("an environments-dir with a NUL", b"a\0"),
    ] {
        cases.push(bad(what, path(bytes), |fields| fields.environments_dir = bytes.into()));
    }
    cases.extend([
        bad("an environments-dir of 4096 bytes", CommitError::PathTooLong(4096), |fields| {
            fields.environments_dir = long_path(&[128, 127]);
        }),
        bad("has-parent 2", DecodeError::Tag { what: "a commit", tag: 2 }, |fields| fields.parent = (2, true)),
        bad("sequence 0", CommitError::Sequence(0), |fields| fields.sequence = 0),
        bad("sequence 0 with a parent", CommitError::Sequence(0), later(0)),
        bad("sequence 1 with a parent", CommitError::Sequence(1), later(1)),
        bad("sequence 2 without a parent", CommitError::Sequence(2), |fields| fields.sequence = 2),
        bad("an author's name that is not UTF-8", DecodeError::NotUtf8("an author's name"), |fields| {
            fields.name = b"\xc3".into();
        }),
        bad("an e-mail that is not UTF-8", DecodeError::NotUtf8("an author's e-mail"), |fields| {
            fields.email = b"\xc3".into();
        }),
        bad("a message that is not UTF-8", DecodeError::NotUtf8("a message"), |fields| {
            fields.message = b"\xed\xa0\x80".into();
        }),
        bad("a message of 65537 bytes", CommitError::MessageTooLong(65_537), |fields| {
            fields.message = b"m".repeat(65_537);
        }),
        Case::bad("a byte too many", first(|_| ()).bytes().u8(0), DecodeError::Trailing(1)),
    ]);
    let whole = first(|_| ()).bytes();
    for (what, end) in [
        ("in the repo's name", 12),
        ("in environments-dir", 26),
        ("in the root", 82),
        ("before has-parent", 83),
        ("in the sequence", 91),
        ("in the time", 99),
        ("in the message", whole.len() - 1),
    ] {
        cases.push(Case::bad(format!("cut {what}"), whole.clone().cut(end), DecodeError::Truncated("a commit")));
    }
    cases
}
