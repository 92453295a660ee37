//! What `fsck` can find, as data: one variant for each kind of damage, which names the exact thing and says what follows.
//!
//! ```text
//! primary.rs  of a primary's store
//! client.rs   of a client's farm and its index
//! ```
//!
//! A daemon that is asked to repair gets findings as JSON; paths in them lose nothing, whatever their bytes are.
//!
//! Deliberately absent: how damage is found (`fsck`) and how it is repaired (the server's and the client's business).

mod client;
mod primary;

use std::borrow::Cow;
use std::fmt;

use crate::values::{CommitId, RepoName, TreePath};

pub use client::{BlobFile, ClientFinding, Holder};
pub use primary::PrimaryFinding;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Finding {
    /// In a primary's data directory.
    Primary(PrimaryFinding),
    /// In a client's.
    Client(ClientFinding),
}

impl Finding {
    /// The name of its kind, as in JSON.
    pub fn kind(&self) -> String {
        let value = serde_json::to_value(self).expect("plain data is plain JSON");
        value["finding"].as_str().unwrap_or_default().to_owned()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Primary(finding) => finding.fmt(f),
            Finding::Client(finding) => finding.fmt(f),
        }
    }
}

impl From<PrimaryFinding> for Finding {
    fn from(finding: PrimaryFinding) -> Self {
        Finding::Primary(finding)
    }
}

impl From<ClientFinding> for Finding {
    fn from(finding: ClientFinding) -> Self {
        Finding::Client(finding)
    }
}

/// What became of a finding that was to be repaired.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outcome {
    /// The finding.
    pub finding: Finding,
    /// Whether all is well there now.
    pub repaired: bool,
    /// What was done, or why nothing could be.
    pub detail: String,
}

impl Outcome {
    /// It was repaired; `detail` says how.
    pub fn repaired(finding: impl Into<Finding>, detail: impl Into<String>) -> Self {
        Self { finding: finding.into(), repaired: true, detail: detail.into() }
    }

    /// It remains; `detail` says why, and what may help.
    pub fn remains(finding: impl Into<Finding>, detail: impl Into<String>) -> Self {
        Self { finding: finding.into(), repaired: false, detail: detail.into() }
    }
}

/// A place in a commit: the first that names the thing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct At {
    /// The repo.
    pub repo: RepoName,
    /// The commit.
    pub commit: CommitId,
    /// The path in it.
    #[serde(with = "path_text")]
    pub path: TreePath,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repo, commit, path } = self;
        let path: Cow<'_, str> = if path.is_root() { "the root".into() } else { path.to_string().into() };
        write!(f, "{path} in commit {} of {repo}", commit.short())
    }
}

/// Paths as text that loses nothing: what is not UTF-8, is a control character, or is `%` itself is percent-encoded.
mod path_text {
    use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode, utf8_percent_encode};
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::values::TreePath;

    const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

    pub(super) fn serialize<S: Serializer>(path: &TreePath, serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = path.as_bytes().utf8_chunks().map(|chunk| encode(&chunk)).collect();
        serializer.serialize_str(&text)
    }

    fn encode(chunk: &std::str::Utf8Chunk<'_>) -> String {
        let mut text = String::new();
        for piece in chunk.valid().split_inclusive(|character: char| !character.is_ascii()) {
            let at =
                piece.char_indices().next_back().filter(|(_, last)| !last.is_ascii()).map_or(piece.len(), |(at, _)| at);
            text.extend(utf8_percent_encode(&piece[..at], ESCAPED));
            // Characters beyond ASCII stay readable.
            text.push_str(&piece[at..]);
        }
        text.extend(percent_encode(chunk.invalid(), percent_encoding::NON_ALPHANUMERIC));
        text
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TreePath, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes: Vec<u8> = percent_decode_str(&text).collect();
        TreePath::new(&bytes).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_survives_json_whatever_its_bytes_are() {
        for bytes in
            [&b""[..], b"a/b c", b"100%", b"%41", "t\u{f6}st/\u{20ac}".as_bytes(), b"a\xff/\n\x1b", b"\xc3(\xa4"]
        {
            let at = At { repo: "r".parse().unwrap(), commit: CommitId::of(b"c"), path: TreePath::new(bytes).unwrap() };
            let json = serde_json::to_string(&at).unwrap();
            assert_eq!(serde_json::from_str::<At>(&json).unwrap(), at, "{json}");
        }
        let at =
            At {
                repo: "r".parse().unwrap(), commit: CommitId::of(b"c"), path: TreePath::new("ö".as_bytes()).unwrap()
            };
        assert!(serde_json::to_string(&at).unwrap().contains('ö'), "what people can read stays readable");
    }

    #[test]
    fn a_finding_says_its_kind_in_json_and_reads_back() {
        let finding = Finding::from(ClientFinding::BlobFileMissing {
            file: BlobFile { id: crate::values::BlobId::of(b"x"), executable: true },
        });
        let json = serde_json::to_value(&finding).unwrap();
        assert_eq!(json["finding"], "blob-file-missing");
        assert_eq!(serde_json::from_value::<Finding>(json).unwrap(), finding);
    }
}
