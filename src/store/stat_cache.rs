//! What ingest knows of the files of one directory of staging (`storage-format.md` §6). A cache: a record that does not decode is no record.

use super::family::{Family, repo_key};
use super::read;
use super::read::ReadStore;
use super::{Store, StoreError};
use crate::codec::{DecodeError, Reader, Writer};
use crate::values::{BlobId, Name, RepoName, TreeId, TreePath};

/// A file whose content is known, for as long as it looks like this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedFile {
    /// Its name.
    pub name: Name,
    /// Its inode.
    pub inode: u64,
    /// Its size in bytes.
    pub size: u64,
    /// When its content last changed, in nanoseconds since 1970.
    pub mtime: i64,
    /// When anything about it last changed, in nanoseconds since 1970.
    pub ctime: i64,
    /// Its permission bits.
    pub mode: u32,
    /// Its content.
    pub id: BlobId,
}

/// What is known of one directory. Its files ascend by name, each name once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatRecord {
    device: u64,
    tree: Option<TreeId>,
    files: Vec<CachedFile>,
}

impl StatRecord {
    /// A record of these files, which may come in any order; of two with the same name the first stays.
    pub fn new(device: u64, tree: Option<TreeId>, mut files: Vec<CachedFile>) -> Self {
        files.sort_by(|a, b| a.name.cmp(&b.name));
        files.dedup_by(|later, earlier| later.name == earlier.name);
        Self { device, tree, files }
    }

    /// The device that holds the directory and its files.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// The tree that the directory last gave; it is stored.
    pub fn tree(&self) -> Option<TreeId> {
        self.tree
    }

    /// The files whose content is known, ascending by name.
    pub fn files(&self) -> &[CachedFile] {
        &self.files
    }

    /// The file of this name.
    pub fn file(&self, name: &Name) -> Option<&CachedFile> {
        let at = self.files.binary_search_by(|file| file.name.cmp(name)).ok()?;
        Some(&self.files[at])
    }
}

impl Store {
    /// What is known of one directory of a repo's staging. It vouches for what it names: trees and blobs in it are stored.
    pub fn stat_record(&self, repo: &RepoName, dir: &TreePath) -> Result<Option<StatRecord>, StoreError> {
        let key = repo_key(repo, dir.as_bytes());
        match read::record(self, Family::StatCache, &key) {
            Ok(bytes) => Ok(bytes.and_then(|bytes| decode(&bytes).ok())),
            Err(StoreError::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The directories of a repo's staging that something is known of, ascending by their paths' bytes.
    pub fn stat_cached_dirs(&self, repo: &RepoName) -> Result<Vec<TreePath>, StoreError> {
        let prefix = repo_key(repo, b"");
        let mut dirs = Vec::new();
        read::each(self, Family::StatCache, &prefix, |key, _| {
            dirs.extend(TreePath::new(&key[prefix.len()..]).ok());
            Ok(())
        })?;
        Ok(dirs)
    }
}

/// Shows everything that is known of any repo's staging. Records that do not decode are passed over, as everywhere.
pub fn each_stat_record<S: ReadStore>(
    store: &S,
    visit: &mut dyn FnMut(RepoName, TreePath, StatRecord) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    read::each(store, Family::StatCache, b"", |key, value| {
        let Some((repo, dir)) = parse_key(key) else { return Ok(()) };
        decode(value).map_or(Ok(()), |record| visit(repo, dir, record))
    })
}

fn parse_key(key: &[u8]) -> Option<(RepoName, TreePath)> {
    let end = key.iter().position(|byte| *byte == 0)?;
    Some((read::decode_repo(&key[..end]).ok()?, TreePath::new(&key[end + 1..]).ok()?))
}

pub(super) fn encode(record: &StatRecord) -> Vec<u8> {
    let mut writer = Writer::with_capacity(64 + record.files.len() * 100);
    writer.put(record.device);
    match &record.tree {
        Some(tree) => writer.put((1u8, *tree.as_bytes())),
        None => writer.put(0u8),
    }
    writer.count::<u32>(record.files.len());
    for file in &record.files {
        writer.short::<u8>(file.name.as_bytes());
        writer.put((file.inode, file.size, file.mtime, file.ctime, file.mode, *file.id.as_bytes()));
    }
    writer.finish()
}

pub(super) fn decode(bytes: &[u8]) -> Result<StatRecord, DecodeError> {
    let what = "a stat record";
    let mut reader = Reader::new(what, bytes);
    let device = reader.take()?;
    let tree = match reader.take()? {
        0u8 => None,
        1 => Some(TreeId::from_bytes(reader.take()?)),
        tag => return Err(DecodeError::Tag { what, tag }),
    };
    let mut files: Vec<CachedFile> = Vec::new();
    for _ in 0..reader.count::<u32>()? {
        let name = Name::new(reader.short::<u8>()?)?;
        if files.last().is_some_and(|last| last.name >= name) {
            return Err(crate::values::TreeError::Unsorted(name).into());
        }
        let (inode, size, mtime, ctime, mode, id) = reader.take()?;
        files.push(CachedFile { name, inode, size, mtime, ctime, mode, id: BlobId::from_bytes(id) });
    }
    reader.finish()?;
    Ok(StatRecord { device, tree, files })
}
