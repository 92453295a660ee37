//! Writing objects, and publishing the commit that names them (`storage-format.md` §9).

use std::collections::HashSet;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use rocksdb::{WriteBatch, WriteOptions};

use super::chunking;
use super::family::{Family, repo_key};
use super::gate::CommitTurn;
use super::labels::{lost_head_key, lost_heads};
use super::read::ReadStore;
use super::stat_cache::{self, StatRecord};
use super::{Store, StoreError};
use crate::codec;
use crate::disk::seam::{self, Event};
use crate::values::{BlobId, Chunk, ChunkList, Commit, CommitId, Hasher, MAX_WHOLE_BLOB, RepoName, TreeId, TreePath};

/// How many bytes of trees go into one write.
const BATCH_BYTES: usize = 1 << 20;

/// What became of a content that was to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenBlob {
    /// Its id.
    pub id: BlobId,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it was not there before.
    pub new: bool,
}

/// Whether what is stored already is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IfThere {
    Keep,
    Replace,
}

/// A commit of one repo under way: the only way to write objects. While it lives, GC sweeps nothing and no other commit of the repo
/// begins. May be used from many threads at once.
#[derive(Debug)]
pub struct CommitGuard<'a> {
    store: &'a Store,
    turn: CommitTurn<'a>,
    /// Blobs seen to be stored since the guard was taken. Nothing can remove them meanwhile, and staging holds the same content many times
    /// over: this spares a look into the database for each.
    known: Mutex<HashSet<BlobId>>,
}

impl<'a> CommitGuard<'a> {
    pub(super) fn new(store: &'a Store, turn: CommitTurn<'a>) -> Self {
        Self { store, turn, known: Mutex::default() }
    }

    /// The repo.
    pub fn repo(&self) -> &RepoName {
        self.turn.repo()
    }

    /// Stores what `content` gives until its end, unless it is there already. Holds a few MiB in memory at most, whatever its size.
    pub fn write_blob(&self, content: &mut dyn Read) -> Result<WrittenBlob, StoreError> {
        self.store_blob(content, IfThere::Keep)
    }

    /// Stores a content of at most [`MAX_WHOLE_BLOB`] bytes, unless it is there already.
    pub fn write_whole_blob(&self, content: &[u8]) -> Result<WrittenBlob, StoreError> {
        self.store_whole_blob(content, IfThere::Keep)
    }

    fn store_whole_blob(&self, content: &[u8], if_there: IfThere) -> Result<WrittenBlob, StoreError> {
        debug_assert!(content.len() <= MAX_WHOLE_BLOB);
        let id = BlobId::of(content);
        let new = self.put_blob(&id, if_there, || codec::encode_whole_blob(content))?;
        Ok(WrittenBlob { id, size: content.len() as u64, new })
    }

    /// Stores what `content` gives until its end, in place of what is stored under its id now, which may be damaged.
    pub fn replace_blob(&self, content: &mut dyn Read) -> Result<WrittenBlob, StoreError> {
        self.store_blob(content, IfThere::Replace)
    }

    fn store_blob(&self, content: &mut dyn Read, if_there: IfThere) -> Result<WrittenBlob, StoreError> {
        let mut start = Vec::new();
        let mut limited = content.take(MAX_WHOLE_BLOB as u64 + 1);
        limited.read_to_end(&mut start).map_err(StoreError::Content)?;
        if start.len() <= MAX_WHOLE_BLOB {
            return self.store_whole_blob(&start, if_there);
        }
        let content = limited.into_inner();
        let mut hasher = Hasher::new();
        let mut size = 0;
        let mut chunks = Vec::new();
        for chunk in chunking::chunks(start.as_slice().chain(content)) {
            let chunk = chunk.map_err(StoreError::Content)?;
            hasher.update(&chunk);
            let id = BlobId::of(&chunk);
            self.put_blob(&id, if_there, || codec::encode_whole_blob(&chunk))?;
            let length = u32::try_from(chunk.len()).expect("no chunk is longer than 1 MiB");
            size += u64::from(length);
            chunks.push(Chunk { id, length });
        }
        let list = ChunkList::new(size, chunks).map_err(StoreError::Chunks)?;
        let id = hasher.id();
        // Only now, so that a list is never there without its chunks.
        let new = self.put_blob(&id, if_there, || codec::encode_chunk_list(&list))?;
        Ok(WrittenBlob { id, size, new })
    }

    /// Puts one record, and answers whether it was not there.
    fn put_blob(&self, id: &BlobId, if_there: IfThere, record: impl FnOnce() -> Vec<u8>) -> Result<bool, StoreError> {
        let there = match if_there {
            IfThere::Keep => self.blob_is_there(id)?,
            IfThere::Replace => false,
        };
        if !there {
            let family = Family::Blobs;
            seam::allow(self.store.db.path())?;
            let put = self.store.db.put_cf(family.handle(&self.store.db), id.as_bytes(), record());
            put.map_err(|source| StoreError::Write { family, source })?;
            seam::tell(Event::Database { path: self.store.db.path(), synced: false });
            self.known().insert(*id);
        }
        Ok(!there)
    }

    /// Whether a blob is stored; one that the database cannot read is not. Cheaper than [`ReadStore::blob_is_there`] where the same blob is
    /// asked for again.
    pub fn blob_is_there(&self, id: &BlobId) -> Result<bool, StoreError> {
        if self.known().contains(id) {
            return Ok(true);
        }
        let there = or_damaged(self.store.blob_is_there(id))?;
        if there {
            self.known().insert(*id);
        }
        Ok(there)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<BlobId>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores trees, given by their canonical bytes; those that are there already are not written again.
    pub fn write_trees(&self, trees: impl IntoIterator<Item = (TreeId, Vec<u8>)>) -> Result<(), StoreError> {
        self.store_trees(trees, IfThere::Keep)
    }

    /// Stores trees, given by their canonical bytes, in place of what is stored under their ids now, which may be damaged.
    pub fn replace_trees(&self, trees: impl IntoIterator<Item = (TreeId, Vec<u8>)>) -> Result<(), StoreError> {
        self.store_trees(trees, IfThere::Replace)
    }

    fn store_trees(
        &self,
        trees: impl IntoIterator<Item = (TreeId, Vec<u8>)>,
        if_there: IfThere,
    ) -> Result<(), StoreError> {
        let handle = Family::Trees.handle(&self.store.db);
        let mut batch = WriteBatch::default();
        for (id, canonical) in trees {
            debug_assert_eq!(id, TreeId::of(&canonical));
            if if_there == IfThere::Keep && or_damaged(self.store.tree_is_there(&id))? {
                continue;
            }
            batch.put_cf(handle, id.as_bytes(), canonical);
            if batch.size_in_bytes() >= BATCH_BYTES {
                self.store.write(Family::Trees, std::mem::take(&mut batch), Sync::Later)?;
            }
        }
        self.store.write(Family::Trees, batch, Sync::Later)
    }

    /// Makes `commit`, whose objects are all written, the head of the repo, and notes what was learnt of staging's directories (`None`
    /// forgets one). Durable when it returns.
    pub fn publish(
        &self,
        commit: &Commit,
        stat_cache: impl IntoIterator<Item = (TreePath, Option<StatRecord>)>,
    ) -> Result<CommitId, StoreError> {
        commit.check().map_err(StoreError::Unfit)?;
        if commit.repo != *self.repo() {
            return Err(StoreError::OtherRepo { commit: commit.repo.clone(), guard: self.repo().clone() });
        }
        let head = self.store.head(self.repo())?;
        if commit.parent != head {
            return Err(StoreError::HeadMoved { repo: commit.repo.clone(), head });
        }
        if !self.store.tree_is_there(&commit.root.id)? {
            return Err(StoreError::NotWhole(commit.root.id));
        }
        let canonical = codec::encode_commit(commit);
        let id = CommitId::of(&canonical);
        let mut batch = self.stat_cache_batch(stat_cache);
        batch.put_cf(Family::Commits.handle(&self.store.db), id.as_bytes(), canonical);
        batch.put_cf(Family::Heads.handle(&self.store.db), self.repo().as_str(), id.as_bytes());
        batch.delete_cf(Family::Meta.handle(&self.store.db), lost_head_key(self.repo()));
        self.store.write(Family::Commits, batch, Sync::Now)?;
        Ok(id)
    }

    /// Whether the repo's head was lost, so that the one it has now is only what survived.
    pub fn head_is_lost(&self) -> Result<bool, StoreError> {
        Ok(lost_heads(self.store)?.iter().any(|(repo, _)| repo == self.repo()))
    }

    /// What survived is what staging holds: it is the head again. Durable when it returns.
    pub fn confirm_survivor(&self) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        batch.delete_cf(Family::Meta.handle(&self.store.db), lost_head_key(self.repo()));
        self.store.write(Family::Meta, batch, Sync::Now)
    }

    /// Notes what was learnt of staging's directories where there is nothing to publish (`None` forgets one). Not synced: losing it costs
    /// time, nothing else.
    pub fn write_stat_cache(
        &self,
        stat_cache: impl IntoIterator<Item = (TreePath, Option<StatRecord>)>,
    ) -> Result<(), StoreError> {
        self.store.write(Family::StatCache, self.stat_cache_batch(stat_cache), Sync::Later)
    }

    fn stat_cache_batch(&self, changes: impl IntoIterator<Item = (TreePath, Option<StatRecord>)>) -> WriteBatch {
        let handle = Family::StatCache.handle(&self.store.db);
        let mut batch = WriteBatch::default();
        for (dir, record) in changes {
            let key = repo_key(self.repo(), dir.as_bytes());
            match record {
                Some(record) => batch.put_cf(handle, key, stat_cache::encode(&record)),
                None => batch.delete_cf(handle, key),
            }
        }
        batch
    }
}

/// What is damaged counts as not there, so that it is written anew.
fn or_damaged(there: Result<bool, StoreError>) -> Result<bool, StoreError> {
    match there {
        Err(StoreError::Damaged { .. }) => Ok(false),
        other => other,
    }
}

/// Whether a write is durable when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    /// It is, and so is everything written before.
    Now,
    /// With the next one that is.
    Later,
}

impl Store {
    /// Writes a batch, all of it or nothing. `family` is the one that an error names.
    pub(super) fn write(&self, family: Family, batch: WriteBatch, sync: Sync) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut options = WriteOptions::default();
        options.set_sync(sync == Sync::Now);
        seam::allow(self.db.path())?;
        self.db.write_opt(batch, &options).map_err(|source| StoreError::Write { family, source })?;
        seam::tell(Event::Database { path: self.db.path(), synced: sync == Sync::Now });
        Ok(())
    }
}
