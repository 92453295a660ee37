//! What can be wrong in a client's farm and its index (`storage-format.md` §8).

use std::fmt;

use super::{At, path_text};
use crate::values::{BlobId, CommitId, RepoName, TreeId, TreePath};

/// A file under `blobs/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BlobFile {
    /// The content.
    pub id: BlobId,
    /// Whether it may be executed.
    pub executable: bool,
}

impl fmt::Display for BlobFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = if self.executable { ".x" } else { "" };
        write!(f, "blobs/{:02x}/{}{suffix}", self.id.as_bytes()[0], self.id)
    }
}

/// What holds a hard link: a directory that was built in one piece.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holder {
    /// The shared tree of this name.
    Tree(String),
    /// The root of a generation.
    Generation {
        /// The repo.
        repo: RepoName,
        /// The commit.
        commit: CommitId,
    },
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Tree(name) => write!(f, "trees/{name}"),
            Holder::Generation { repo, commit } => write!(f, "repos/{repo}/generations/{commit}/root"),
        }
    }
}

/// One thing in a client's data directory that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(tag = "finding", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum ClientFinding {
    /// A blob file with other bytes than its name says; so has every link to it.
    BlobFileDamaged {
        /// The file.
        file: BlobFile,
    },
    /// A blob file that the index vouches for and that is gone.
    BlobFileMissing {
        /// The file.
        file: BlobFile,
    },
    /// A blob file with the right bytes that is another inode than the one which trees link to.
    BlobFileReplaced {
        /// The file.
        file: BlobFile,
    },
    /// A blob file with the wrong permission bits.
    BlobFileMode {
        /// The file.
        file: BlobFile,
        /// What they are.
        found: u32,
        /// What they should be.
        wanted: u32,
    },
    /// A blob file with the wrong modification time.
    BlobFileTime {
        /// The file.
        file: BlobFile,
    },
    /// A file or directory that does not belong where it is. Its path begins in the data directory.
    ForeignFile {
        /// What is there.
        #[serde(with = "path_text")]
        path: TreePath,
    },
    /// An entry of a tree that is gone.
    EntryMissing {
        /// What should hold it.
        holder: Holder,
        /// Where in it.
        #[serde(with = "path_text")]
        path: TreePath,
    },
    /// An entry that its tree does not have.
    EntryForeign {
        /// What holds it.
        holder: Holder,
        /// Where in it.
        #[serde(with = "path_text")]
        path: TreePath,
    },
    /// An entry of another kind than its tree says: a directory where a file should be, and the like.
    EntryKind {
        /// What holds it.
        holder: Holder,
        /// Where in it.
        #[serde(with = "path_text")]
        path: TreePath,
    },
    /// A file that is no link to its blob file.
    EntryNotTheBlob {
        /// What holds it.
        holder: Holder,
        /// Where in it.
        #[serde(with = "path_text")]
        path: TreePath,
        /// The blob file that it should be.
        file: BlobFile,
    },
    /// A file with wrong bytes that only trees have: an inode that took part before `blobs/` got a fresh one, or an empty file that is not.
    EntryDamaged {
        /// What holds it.
        holder: Holder,
        /// Where in it.
        #[serde(with = "path_text")]
        path: TreePath,
        /// The content that it should have.
        file: BlobFile,
    },
    /// A directory, an empty file, or an inode that only trees have, with wrong permission bits.
    EntryMode {
        /// What holds it.
        holder: Holder,
        /// Where in it.
        #[serde(with = "path_text")]
        path: TreePath,
        /// What they are.
        found: u32,
        /// What they should be.
        wanted: u32,
    },
    /// An empty file, or an inode that only trees have, with the wrong modification time.
    EntryTime {
        /// What holds it.
        holder: Holder,
        /// Where in it.
        #[serde(with = "path_text")]
        path: TreePath,
    },
    /// A symbolic link that leads elsewhere than it should.
    LinkRetargeted {
        /// What holds it.
        holder: Holder,
        /// Where in it.
        #[serde(with = "path_text")]
        path: TreePath,
        /// Its text.
        found: String,
        /// What that should be.
        wanted: String,
    },
    /// A shared tree that the index vouches for and that is gone.
    SharedTreeMissing {
        /// Its name.
        tree: String,
    },
    /// A shared tree that is linked to, and that the index does not vouch for.
    SharedTreeUnvouched {
        /// Its name.
        tree: String,
        /// Who links to it.
        holder: Holder,
    },
    /// A generation that the index vouches for and that is gone.
    GenerationMissing {
        /// The repo.
        repo: RepoName,
        /// The commit.
        commit: CommitId,
    },
    /// An environment's entry in a generation's `ids/` that is missing, surplus, or names another tree.
    IdsWrong {
        /// The repo.
        repo: RepoName,
        /// The commit.
        commit: CommitId,
        /// The environment.
        #[serde(with = "path_text")]
        environment: TreePath,
    },
    /// A generation's link to its environments that is missing, or leads elsewhere.
    EnvironmentsLinkWrong {
        /// The repo.
        repo: RepoName,
        /// The commit.
        commit: CommitId,
    },
    /// No `current`, although a generation was deployed.
    CurrentMissing {
        /// The repo.
        repo: RepoName,
    },
    /// A `current` that is no symbolic link to a generation.
    CurrentOdd {
        /// The repo.
        repo: RepoName,
    },
    /// A `current` that names a generation which the index does not know.
    CurrentUnknown {
        /// The repo.
        repo: RepoName,
        /// The commit.
        commit: CommitId,
    },
    /// A directory outside trees, or the control socket, with the wrong permission bits.
    PlaceMode {
        /// Its path from the data directory, which is "" itself.
        #[serde(with = "path_text")]
        path: TreePath,
        /// What they are.
        found: u32,
        /// What they should be.
        wanted: u32,
    },
    /// The data directory lies elsewhere than when it was last opened.
    DataDirMoved {
        /// Where it was.
        before: String,
    },
    /// A tree object with other bytes than its id says, or bytes that are no tree.
    IndexTreeDamaged {
        /// The tree.
        id: TreeId,
    },
    /// A tree object that a generation needs and that the index lacks.
    IndexTreeMissing {
        /// The tree.
        id: TreeId,
        /// Who needs it.
        at: At,
    },
    /// A tree object that holds other totals than its directory's entry says.
    IndexTreeTotals {
        /// The tree.
        id: TreeId,
        /// The entry.
        at: At,
    },
    /// A commit object with other bytes than its id says, or bytes that are no commit.
    IndexCommitDamaged {
        /// The commit.
        id: CommitId,
    },
    /// A generation whose commit object the index lacks.
    IndexCommitMissing {
        /// The repo.
        repo: RepoName,
        /// The commit.
        commit: CommitId,
    },
    /// A blob that a generation needs and that the index does not vouch for.
    IndexBlobMissing {
        /// Its file.
        file: BlobFile,
        /// Who needs it.
        at: At,
    },
    /// A blob's record that says another size than its bytes have.
    IndexBlobSize {
        /// Its file.
        file: BlobFile,
    },
    /// A shared tree's record whose links inside are not those of its name.
    IndexTreeLinks {
        /// The shared tree's name.
        tree: String,
    },
    /// A generation's record that does not say what its commit and patterns give.
    IndexGenerationLinks {
        /// The repo.
        repo: RepoName,
        /// The commit.
        commit: CommitId,
    },
    /// A record of the index that is none.
    IndexRecordUnreadable {
        /// Its kind.
        family: String,
        /// Its key, in hexadecimal digits.
        key: String,
    },
    /// Blocks of the index that its own checksums find damaged.
    IndexBlocksDamaged {
        /// The kind of record they hold.
        family: String,
    },
}

impl fmt::Display for ClientFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BlobFileDamaged { file } => {
                write!(f, "{file} holds other bytes than its name says, and so does every link to it")
            }
            Self::BlobFileMissing { file } => write!(f, "{file} is gone; nothing new can be linked to it"),
            Self::BlobFileReplaced { file } => {
                write!(f, "{file} is another file than the one that trees link to, with the same bytes")
            }
            Self::BlobFileMode { file, found, wanted } => {
                write!(f, "{file} has mode {found:04o} in place of {wanted:04o}, and so has every link to it")
            }
            Self::BlobFileTime { file } => write!(f, "{file} has another mtime than its content gives it"),
            Self::ForeignFile { path } => write!(f, "{path} does not belong there"),
            Self::EntryMissing { holder, path } => write!(f, "{holder}/{path} is gone; Puppet does not see it"),
            Self::EntryForeign { holder, path } => {
                write!(f, "{holder}/{path} is not in the tree; Puppet sees it all the same")
            }
            Self::EntryKind { holder, path } => write!(f, "{holder}/{path} is something else than the tree says"),
            Self::EntryNotTheBlob { holder, path, file } => {
                write!(f, "{holder}/{path} is no hard link to {file}; Puppet may see other content")
            }
            Self::EntryDamaged { holder, path, file } => {
                write!(f, "{holder}/{path} holds other bytes than blob {} has", file.id)
            }
            Self::EntryMode { holder, path, found, wanted } => {
                write!(f, "{} has mode {found:04o} in place of {wanted:04o}", Inside(holder, path))
            }
            Self::EntryTime { holder, path } => {
                write!(f, "{holder}/{path} has another mtime than its content gives it")
            }
            Self::LinkRetargeted { holder, path, found, wanted } => {
                let (found, wanted) = (found.escape_debug(), wanted.escape_debug());
                write!(f, "{holder}/{path} leads to {found} in place of {wanted}")
            }
            Self::SharedTreeMissing { tree } => write!(f, "trees/{tree} is gone; generations that link to it lack it"),
            Self::SharedTreeUnvouched { tree, holder } => {
                write!(f, "trees/{tree} is linked to from {holder}, but the index does not vouch for it")
            }
            Self::GenerationMissing { repo, commit } => write!(f, "repos/{repo}/generations/{commit} is gone"),
            Self::IdsWrong { repo, commit, environment } => {
                write!(
                    f,
                    "repos/{repo}/generations/{commit}/ids/{environment} does not say which tree the environment has"
                )
            }
            Self::EnvironmentsLinkWrong { repo, commit } => {
                write!(
                    f,
                    "repos/{repo}/generations/{commit}/environments does not lead to the environments; code-content finds none there"
                )
            }
            Self::CurrentMissing { repo } => write!(f, "repos/{repo}/current is gone; Puppet sees no code"),
            Self::CurrentOdd { repo } => write!(f, "repos/{repo}/current is no link to a generation"),
            Self::CurrentUnknown { repo, commit } => {
                write!(f, "repos/{repo}/current shows commit {commit}, of which the index knows no generation")
            }
            Self::PlaceMode { path, found, wanted } => {
                let name = if path.is_root() { "the data directory".to_owned() } else { path.to_string() };
                write!(f, "{name} has mode {found:04o} in place of {wanted:04o}")
            }
            Self::DataDirMoved { before } => {
                write!(
                    f,
                    "the data directory was moved from {}; links in its generations still lead there",
                    before.escape_debug()
                )
            }
            Self::IndexTreeDamaged { id } => write!(f, "the index's tree {id} is not what its id says"),
            Self::IndexTreeMissing { id, at } => write!(f, "the index lacks tree {id}, which is needed: {at}"),
            Self::IndexTreeTotals { id, at } => {
                write!(f, "the index's tree {id} holds other files, links or bytes than its entry says: {at}")
            }
            Self::IndexCommitDamaged { id } => write!(f, "the index's commit {id} is not what its id says"),
            Self::IndexCommitMissing { repo, commit } => {
                write!(f, "the index lacks commit {commit}, of which {repo} has a generation")
            }
            Self::IndexBlobMissing { file, at } => {
                write!(f, "the index does not vouch for {file}, which is needed: {at}")
            }
            Self::IndexBlobSize { file } => write!(f, "the index says another size of {file} than it has"),
            Self::IndexTreeLinks { tree } => {
                write!(f, "the index says of trees/{tree} that other trees are linked inside than its name tells")
            }
            Self::IndexGenerationLinks { repo, commit } => {
                write!(f, "the index says of the generation {commit} of {repo} what its commit does not give")
            }
            Self::IndexRecordUnreadable { family, key } => {
                write!(f, "the index's record {key} among its {family} cannot be read")
            }
            Self::IndexBlocksDamaged { family } => write!(f, "blocks of the index that hold {family} are damaged"),
        }
    }
}

/// An entry's path, or that of the holder itself.
struct Inside<'a>(&'a Holder, &'a TreePath);

impl fmt::Display for Inside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inside(holder, path) = self;
        if path.is_root() { write!(f, "{holder}") } else { write!(f, "{holder}/{path}") }
    }
}
