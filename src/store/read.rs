//! Reading: the same methods for the store as it is and for a [`Snapshot`] of it.

use std::io::Write;

use rocksdb::{DB, DBPinnableSlice, ReadOptions};

use super::family::Family;
use super::{Store, StoreError};
use crate::codec::{self, BlobRecord, DecodeError, Reader};
use crate::store::error::Damage;
use crate::values::{BlobId, Chunk, ChunkList, Commit, CommitId, RepoName, Tree, TreeId};

/// A blob as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredBlob {
    /// All its bytes, at most 1 MiB.
    Whole(Vec<u8>),
    /// The chunks that make it up, each of them a blob.
    Chunked(ChunkList),
}

/// The store as it was at one moment. Costs little to take; while it lives, space of what GC removes does not return.
pub struct Snapshot<'a> {
    db: &'a DB,
    inner: rocksdb::Snapshot<'a>,
}

impl<'a> Snapshot<'a> {
    pub(super) fn of(db: &'a DB) -> Self {
        Self { db, inner: db.snapshot() }
    }
}

impl std::fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("sequence", &self.inner.sequence_number()).finish_non_exhaustive()
    }
}

/// Where records come from. Nobody else implements it, so nobody else implements [`ReadStore`].
pub(super) mod source {
    use super::{DB, ReadOptions, Snapshot, Store};

    pub trait Source {
        fn db(&self) -> &DB;
        fn options(&self) -> ReadOptions;
    }

    impl Source for Store {
        fn db(&self) -> &DB {
            &self.db
        }
        fn options(&self) -> ReadOptions {
            ReadOptions::default()
        }
    }

    impl Source for Snapshot<'_> {
        fn db(&self) -> &DB {
            self.db
        }
        fn options(&self) -> ReadOptions {
            let mut options = ReadOptions::default();
            options.set_snapshot(&self.inner);
            options
        }
    }
}

/// Reading objects and heads.
pub trait ReadStore: source::Source {
    /// The tree with this id.
    fn tree(&self, id: &TreeId) -> Result<Option<Tree>, StoreError> {
        decoded(self, Family::Trees, id.as_bytes(), codec::decode_tree)
    }

    /// The canonical bytes of a tree, as they are stored.
    fn tree_bytes(&self, id: &TreeId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(record(self, Family::Trees, id.as_bytes())?.map(|bytes| bytes.to_vec()))
    }

    /// Whether the tree with this id is stored.
    fn tree_is_there(&self, id: &TreeId) -> Result<bool, StoreError> {
        Ok(record(self, Family::Trees, id.as_bytes())?.is_some())
    }

    /// The commit with this id.
    fn commit(&self, id: &CommitId) -> Result<Option<Commit>, StoreError> {
        decoded(self, Family::Commits, id.as_bytes(), codec::decode_commit)
    }

    /// The blob with this id, as it is stored.
    fn blob(&self, id: &BlobId) -> Result<Option<StoredBlob>, StoreError> {
        decoded(self, Family::Blobs, id.as_bytes(), |bytes| {
            Ok(match codec::decode_blob_record(bytes)? {
                BlobRecord::Whole(content) => StoredBlob::Whole(content.to_vec()),
                BlobRecord::Chunked(list) => StoredBlob::Chunked(list),
            })
        })
    }

    /// Whether the blob with this id is stored. Of a chunked one this says that its list is.
    fn blob_is_there(&self, id: &BlobId) -> Result<bool, StoreError> {
        Ok(record(self, Family::Blobs, id.as_bytes())?.is_some())
    }

    /// Writes the content of a blob of any size to `out`, a chunk at a time, and answers its size.
    fn copy_blob(&self, id: &BlobId, out: &mut dyn Write) -> Result<Option<u64>, StoreError> {
        let list = {
            let Some(bytes) = record(self, Family::Blobs, id.as_bytes())? else { return Ok(None) };
            match codec::decode_blob_record(&bytes) {
                Ok(BlobRecord::Whole(content)) => {
                    out.write_all(content).map_err(StoreError::Output)?;
                    return Ok(Some(content.len() as u64));
                }
                Ok(BlobRecord::Chunked(list)) => list,
                Err(error) => return Err(StoreError::damaged(Family::Blobs, id.as_bytes(), error)),
            }
        };
        for chunk in list.chunks() {
            self.copy_chunk(chunk, out)?;
        }
        Ok(Some(list.size()))
    }

    /// Writes the content of one chunk to `out`. It must be there, whole, and as long as its list says.
    fn copy_chunk(&self, chunk: &Chunk, out: &mut dyn Write) -> Result<(), StoreError> {
        let key = chunk.id.as_bytes();
        let damaged = |damage| StoreError::damaged(Family::Blobs, key, damage);
        let Some(bytes) = record(self, Family::Blobs, key)? else {
            return Err(StoreError::missing(Family::Blobs, key));
        };
        let expected = u64::from(chunk.length);
        let found = match codec::decode_blob_record(&bytes).map_err(|error| damaged(error.into()))? {
            BlobRecord::Whole(content) if content.len() as u64 == expected => {
                return out.write_all(content).map_err(StoreError::Output);
            }
            BlobRecord::Whole(content) => content.len() as u64,
            BlobRecord::Chunked(list) => list.size(),
        };
        Err(damaged(Damage::ChunkLength { expected, found }))
    }

    /// The newest commit of a repo.
    fn head(&self, repo: &RepoName) -> Result<Option<CommitId>, StoreError> {
        decoded(self, Family::Heads, repo.as_str().as_bytes(), decode_commit_id)
    }

    /// The newest commit of every repo that has one, by name.
    fn heads(&self) -> Result<Vec<(RepoName, CommitId)>, StoreError> {
        let mut heads = Vec::new();
        each(self, Family::Heads, b"", |key, value| {
            let head = decode_repo(key).and_then(|repo| Ok((repo, decode_commit_id(value)?)));
            heads.push(head.map_err(|error| StoreError::damaged(Family::Heads, key, error))?);
            Ok(())
        })?;
        Ok(heads)
    }

    /// At most `limit` commits, `from` first, then its parent and so on; and the commit that would come next. The history ends where GC
    /// took the rest.
    fn history(&self, from: CommitId, limit: usize) -> Result<History, StoreError> {
        let mut commits = Vec::new();
        let mut next = Some(from);
        while let Some(id) = next {
            let Some(commit) = self.commit(&id)? else { return Ok((commits, None)) };
            if commits.len() == limit {
                return Ok((commits, Some(id)));
            }
            next = commit.parent;
            commits.push((id, commit));
        }
        Ok((commits, None))
    }

    /// Shows every record of a family, in the order of their keys, with its key. Blocks that the database itself finds damaged end the walk
    /// with [`StoreError::DamagedBlocks`]; records in other blocks can still be read one by one.
    fn each_record(&self, family: Family, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        each(self, family, b"", visit)
    }

    /// The same for those records whose key begins with this byte: ids are spread evenly, so that threads can share a family.
    fn each_record_in(&self, family: Family, first: u8, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        each(self, family, &[first], visit)
    }
}

/// What is shown records, each with its key; its error ends the walk.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError> + 'a;

/// Commits, newest first, and the one that would come next.
pub type History = (Vec<(CommitId, Commit)>, Option<CommitId>);

impl ReadStore for Store {}
impl ReadStore for Snapshot<'_> {}

/// One record, without a copy.
pub(super) fn record<'a, S: source::Source + ?Sized>(
    source: &'a S,
    family: Family,
    key: &[u8],
) -> Result<Option<DBPinnableSlice<'a>>, StoreError> {
    let read = source.db().get_pinned_cf_opt(family.handle(source.db()), key, &source.options());
    read.map_err(|error| StoreError::reading(family, key, error))
}

/// One record, decoded; a failure to decode names the record.
pub(super) fn decoded<S: source::Source + ?Sized, T>(
    source: &S,
    family: Family,
    key: &[u8],
    decode: impl FnOnce(&[u8]) -> Result<T, DecodeError>,
) -> Result<Option<T>, StoreError> {
    let Some(bytes) = record(source, family, key)? else { return Ok(None) };
    decode(&bytes).map(Some).map_err(|error| StoreError::damaged(family, key, error))
}

/// Every record whose key begins with `prefix`, in the order of their keys.
pub(super) fn each<S: source::Source + ?Sized>(
    source: &S,
    family: Family,
    prefix: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut options = source.options();
    options.set_iterate_range(rocksdb::PrefixRange(prefix));
    // A walk over everything must not push out what commits look up all the time.
    options.fill_cache(false);
    let mut records = source.db().raw_iterator_cf_opt(family.handle(source.db()), options);
    records.seek_to_first();
    while let Some((key, value)) = records.item() {
        visit(key, value)?;
        records.next();
    }
    records.status().map_err(|error| StoreError::walking(family, error))
}

/// An id that stands alone: the value of heads and tags, the key of objects.
pub(super) fn decode_id(bytes: &[u8]) -> Result<[u8; 32], DecodeError> {
    let mut reader = Reader::new("an id", bytes);
    let id = reader.take()?;
    reader.finish()?;
    Ok(id)
}

/// The value of heads and tags.
pub(super) fn decode_commit_id(bytes: &[u8]) -> Result<CommitId, DecodeError> {
    decode_id(bytes).map(CommitId::from_bytes)
}

/// The repo of a key.
pub(super) fn decode_repo(bytes: &[u8]) -> Result<RepoName, DecodeError> {
    let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8("a repo name"))?;
    Ok(text.parse()?)
}
