//! Everything that an index knows, read record by record: what cannot be read is told and is not fatal. For `fsck`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::index::{self, Index, Links};
use super::{BlobKey, BlobRecord, FarmError, GenerationRecord, SharedName};
use crate::codec::{self, Reader};
use crate::progress::Progress;
use crate::values::{Commit, CommitId, RepoName, Tree, TreeId};

/// The content of an index. Objects in it are those that their ids say.
#[derive(Debug, Default)]
pub struct Survey {
    /// What is known of blob files.
    pub blobs: BTreeMap<BlobKey, BlobRecord>,
    /// The shared trees that are vouched for, with the links inside.
    pub built: BTreeMap<SharedName, Links>,
    /// The generations that are vouched for.
    pub generations: Vec<(RepoName, CommitId, GenerationRecord)>,
    /// The tree objects.
    pub trees: HashMap<TreeId, Arc<Tree>>,
    /// The commit objects.
    pub commits: HashMap<CommitId, Commit>,
    /// Where the data directory was when it was last opened.
    pub path: Option<Vec<u8>>,
    /// Permission bits that files had at most when it was last opened.
    pub file_mode: Option<u32>,
    /// What could not be read.
    pub flaws: Vec<Flaw>,
    /// How many records were looked at.
    pub records: u64,
}

/// Something in an index that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// A tree object that is not what its id says.
    Tree(TreeId),
    /// A commit object that is not what its id says.
    Commit(CommitId),
    /// A record that is none.
    Record {
        /// The column family.
        family: &'static str,
        /// Its key, in hexadecimal digits.
        key: String,
    },
    /// Blocks that the database finds damaged: the records in them are unknown.
    Blocks {
        /// The column family.
        family: &'static str,
    },
}

impl Survey {
    /// Whether it may lack records of this family.
    pub fn is_partial(&self, family: &str) -> bool {
        self.flaws.iter().any(|flaw| matches!(flaw, Flaw::Blocks { family: lacking } if *lacking == family))
    }

    fn read(
        &mut self,
        index: &Index,
        family: &'static str,
        progress: &Progress,
        mut take: impl FnMut(&mut Self, &[u8], &[u8]) -> Option<()>,
    ) -> Result<(), FarmError> {
        for item in index.each(family) {
            let (key, value) = match item {
                Ok(record) => record,
                Err(FarmError::Index(error)) if error.kind() == rocksdb::ErrorKind::Corruption => {
                    self.flaws.push(Flaw::Blocks { family });
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            if progress.is_cancelled() {
                return Err(FarmError::Cancelled);
            }
            progress.advance(1, 0);
            self.records += 1;
            if take(self, &key, &value).is_none() {
                self.flaws.push(Flaw::Record { family, key: index::hex(&key) });
            }
        }
        Ok(())
    }
}

impl Index {
    /// Reads everything, and verifies every object.
    pub fn survey(&self, progress: &Progress) -> Result<Survey, FarmError> {
        let mut survey = Survey::default();
        progress.expect(self.estimate(), 0);
        survey.read(self, index::TREES, progress, |survey, key, value| {
            let id = TreeId::from_bytes(key.try_into().ok()?);
            match codec::decode_tree(value) {
                Ok(tree) if TreeId::of(value) == id => drop(survey.trees.insert(id, Arc::new(tree))),
                _ => survey.flaws.push(Flaw::Tree(id)),
            }
            Some(())
        })?;
        survey.read(self, index::COMMITS, progress, |survey, key, value| {
            let id = CommitId::from_bytes(key.try_into().ok()?);
            match codec::decode_commit(value) {
                Ok(commit) if CommitId::of(value) == id => drop(survey.commits.insert(id, commit)),
                _ => survey.flaws.push(Flaw::Commit(id)),
            }
            Some(())
        })?;
        survey.read(self, index::BLOBS, progress, |survey, key, value| {
            let record = index::decode_blob(value).ok().filter(|record| !record.inodes.is_empty())?;
            survey.blobs.insert(BlobKey::from_bytes(key)?, record);
            Some(())
        })?;
        survey.read(self, index::BUILT, progress, |survey, key, value| {
            let links = index::decode_links(&mut Reader::new("a built tree", value)).ok()?;
            survey.built.insert(SharedName::parse(key)?, links);
            Some(())
        })?;
        survey.read(self, index::GENERATIONS, progress, |survey, key, value| {
            let (repo, commit) = index::parse_generation_key(key)?;
            survey.generations.push((repo, commit, index::decode_generation(value).ok()?));
            Some(())
        })?;
        survey.read(self, index::CHUNKS, progress, |_, key, value| {
            let _: [u8; 32] = key.try_into().ok()?;
            index::decode_chunk(value).ok().map(drop)
        })?;
        survey.path = self.meta(super::recover::PATH)?;
        let mode = self.meta(super::FILE_MODE)?;
        survey.file_mode = mode.and_then(|mode| u32::from_str_radix(std::str::from_utf8(&mode).ok()?, 8).ok());
        Ok(survey)
    }
}
