//! How things are called on a client's disk, their modes and times (`storage-format.md` §8).

use std::fmt;
use std::path::{Path, PathBuf};

use crate::codec::Writer;
use crate::values::{BlobId, CommitId, RepoName, TreeId, TreePath};

/// 2000-01-01T00:00:00Z in seconds since 1970: where the times of blob files begin.
const EPOCH: i64 = 946_684_800;

/// Which blob file: a content, executable or not. The two are two files, since mode belongs to the inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobKey {
    /// The content.
    pub id: BlobId,
    /// Whether it may be executed.
    pub executable: bool,
}

impl BlobKey {
    /// The file's name below `blobs/ab/`.
    pub fn file_name(&self) -> String {
        if self.executable { format!("{}.x", self.id) } else { self.id.to_string() }
    }

    /// The key of a file with this name, if it is one.
    pub fn parse(name: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(name).ok()?;
        let (id, executable) = text.strip_suffix(".x").map_or((text, false), |id| (id, true));
        Some(Self { id: id.parse().ok()?, executable })
    }

    /// The name of the directory below `blobs/`: the first two digits of the id.
    pub fn dir_name(&self) -> String {
        format!("{:02x}", self.shard())
    }

    /// The first byte of the id, which chooses the directory.
    pub(super) fn shard(&self) -> u8 {
        self.id.as_bytes()[0]
    }

    /// The mode of the file, where files have at most `file_mode`.
    pub fn mode(&self, file_mode: u32) -> u32 {
        (if self.executable { 0o555 } else { 0o444 }) & file_mode
    }

    /// The key in the index.
    pub(super) fn to_bytes(self) -> [u8; 33] {
        let mut bytes = [0; 33];
        bytes[..32].copy_from_slice(self.id.as_bytes());
        bytes[32] = u8::from(self.executable);
        bytes
    }

    /// The key in the index as a damaged record's is told: in hexadecimal digits.
    pub fn index_key(&self) -> String {
        super::index::hex(&self.to_bytes())
    }

    /// The inverse of [`BlobKey::index_key`].
    pub fn from_index_key(text: &str) -> Option<Self> {
        Self::from_bytes(&super::index::unhex(text))
    }

    /// The key with these bytes.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes.split_last_chunk::<1>()? {
            (id, [executable @ (0 | 1)]) => {
                Some(Self { id: BlobId::from_bytes(id.try_into().ok()?), executable: *executable == 1 })
            }
            _ => None,
        }
    }
}

/// The mtime of every file with this content, in nanoseconds since 1970: the same on each machine, and different where the content is,
/// because Hiera's cache compares inode, mtime and size.
pub fn blob_mtime(id: &BlobId) -> i64 {
    let [a, b, c, d, ..] = *id.as_bytes();
    let offset = u32::from_be_bytes([a, b, c, d]) >> 4;
    (EPOCH + i64::from(offset)) * 1_000_000_000
}

/// Where a generation shows its root, in the data directory at `data`.
pub(super) fn root_path(data: &Path, repo: &RepoName, commit: &CommitId) -> PathBuf {
    data.join("repos").join(repo.as_str()).join("generations").join(commit.to_string()).join("root")
}

/// The link in a generation to the directory of its environments, for who reads the farm without the index.
pub const ENVIRONMENTS_LINK: &str = "environments";

/// The text of [`ENVIRONMENTS_LINK`]; `None` where a commit has no environments.
pub(super) fn environments_link(environments_dir: &TreePath) -> Option<Vec<u8>> {
    (!environments_dir.is_root()).then(|| [b"root/", environments_dir.as_bytes()].concat())
}

/// Where a shared tree lies, in the data directory at `data`.
pub(super) fn shared_path(data: &Path, name: &SharedName) -> PathBuf {
    data.join("trees").join(name.as_str())
}

/// The name of a shared tree in `trees/`: its id, and which links to other shared trees are built inside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SharedName(String);

impl SharedName {
    /// The name of the tree `id` with these links inside, ascending by path.
    pub fn new(id: &TreeId, links: &[(TreePath, SharedName)]) -> Self {
        let mut writer = Writer::new();
        for (path, name) in links {
            writer.raw(&u16::try_from(path.as_bytes().len()).unwrap_or(u16::MAX).to_le_bytes());
            writer.raw(path.as_bytes());
            writer.short::<u8>(name.0.as_bytes());
        }
        let layout = blake3::hash(&writer.finish()).to_hex();
        Self(format!("{id}-{}", &layout[..16]))
    }

    /// The name with this text, if it is one.
    pub fn parse(text: &[u8]) -> Option<Self> {
        // Generations hold hundreds of these: no more is done than is needed to be sure.
        let (id, rest) = text.split_at_checked(64)?;
        let (b"-", layout) = rest.split_at_checked(1)? else { return None };
        let is_hex = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_one = layout.len() == 16 && is_hex(id) && is_hex(layout);
        is_one.then(|| Self(String::from_utf8(text.to_vec()).expect("digits and letters")))
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its key in the index as a damaged record's is told: in hexadecimal digits.
    pub fn index_key(&self) -> String {
        super::index::hex(self.0.as_bytes())
    }

    /// The inverse of [`SharedName::index_key`].
    pub fn from_index_key(text: &str) -> Option<Self> {
        Self::parse(&super::index::unhex(text))
    }

    /// The tree that it holds.
    pub fn tree(&self) -> TreeId {
        self.0[..64].parse().expect("every name begins with an id")
    }
}

impl fmt::Display for SharedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_file_follows_from_its_content_alone() {
        let id = BlobId::from_bytes([0xff; 32]);
        assert_eq!(blob_mtime(&id), (946_684_800 + (1 << 28) - 1) * 1_000_000_000);
        assert_eq!(blob_mtime(&BlobId::from_bytes([0; 32])), 946_684_800_000_000_000);
    }

    #[test]
    fn names_on_disk_parse_back_and_nothing_else_does() {
        for executable in [false, true] {
            let key = BlobKey { id: BlobId::of(b"x"), executable };
            assert_eq!(BlobKey::parse(key.file_name().as_bytes()), Some(key));
            assert_eq!(BlobKey::from_bytes(&key.to_bytes()), Some(key));
        }
        assert_eq!(BlobKey::parse(b"README"), None);
        let tree = TreeId::of(b"t");
        let name = SharedName::new(&tree, &[]);
        assert_eq!(SharedName::parse(name.as_str().as_bytes()), Some(name.clone()));
        assert_eq!(name.tree(), tree);
        assert_eq!(SharedName::parse(format!("{tree}-xyz").as_bytes()), None);
    }

    #[test]
    fn the_same_content_with_other_links_inside_is_another_tree() {
        let tree = TreeId::of(b"t");
        let inner = SharedName::new(&TreeId::of(b"m"), &[]);
        let links = [(TreePath::new(b"modules/m").unwrap(), inner)];
        assert_ne!(SharedName::new(&tree, &links), SharedName::new(&tree, &[]));
    }
}
