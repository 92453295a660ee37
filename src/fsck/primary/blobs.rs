//! Contents and chunks.

use std::collections::HashMap;

use rayon::prelude::*;

use super::Check;
use super::trees::Needed;
use crate::codec::{BlobRecord, decode_blob_record};
use crate::findings::PrimaryFinding;
use crate::store::{Family, ReadStore, StoreError, StoredBlob, each_stat_record};
use crate::values::{BlobId, Chunk, ChunkList, Hasher, TreeId};

/// What is stored under the ids of blobs.
#[derive(Default)]
pub(super) struct Blobs {
    /// Their sizes; `None` for one that was found damaged.
    sizes: HashMap<BlobId, Option<u64>>,
    lists: HashMap<BlobId, ChunkList>,
}

impl Blobs {
    pub(super) fn len(&self) -> usize {
        self.sizes.len()
    }

    fn join(mut self, other: Self) -> Self {
        self.sizes.extend(other.sizes);
        self.lists.extend(other.lists);
        self
    }
}

impl<S: ReadStore + Sync> Check<'_, S> {
    /// Hashes everything that is stored whole, and reads the lists of what is not.
    pub(super) fn blobs(&self) -> Result<Blobs, StoreError> {
        let shards = self.part.first_bytes().into_par_iter().map(|first| self.shard(first));
        shards.try_reduce(Blobs::default, |a, b| Ok(a.join(b)))
    }

    fn shard(&self, first: u8) -> Result<Blobs, StoreError> {
        let mut blobs = Blobs::default();
        let walked = self.store.each_record_in(Family::Blobs, first, &mut |key, value| {
            match <[u8; 32]>::try_from(key) {
                Ok(id) => self.blob(BlobId::from_bytes(id), value, &mut blobs),
                Err(_) => self.foreign(Family::Blobs, key),
            }
            self.step(value.len())
        });
        self.survive(Family::Blobs, walked)?;
        Ok(blobs)
    }

    fn blob(&self, id: BlobId, record: &[u8], blobs: &mut Blobs) {
        let size = match decode_blob_record(record) {
            Ok(BlobRecord::Whole(content)) if BlobId::of(content) == id => Some(content.len() as u64),
            Ok(BlobRecord::Whole(_)) => {
                self.find(PrimaryFinding::BlobDamaged { id });
                None
            }
            Ok(BlobRecord::Chunked(list)) => {
                let size = list.size();
                blobs.lists.insert(id, list);
                Some(size)
            }
            Err(_) => {
                self.find(PrimaryFinding::BlobUnreadable { id });
                None
            }
        };
        blobs.sizes.insert(id, size);
    }

    /// Whether everything that commits need is stored, has the size that is said of it, and its chunks.
    pub(super) fn needed_blobs(&self, needed: &Needed, blobs: &Blobs) -> Result<(), StoreError> {
        for (id, claims) in needed.blobs() {
            let size = match blobs.sizes.get(id) {
                Some(None) => continue,
                Some(Some(size)) => *size,
                None => match (self.look_up(*id)?, claims.first()) {
                    (LookedUp::Sound(size), _) => size,
                    (LookedUp::Absent, Some((_, claim))) => {
                        self.find(PrimaryFinding::BlobMissing { id: *id, at: needed.at(claim) });
                        continue;
                    }
                    _ => continue,
                },
            };
            for (recorded, claim) in claims.iter().filter(|(recorded, _)| *recorded != size) {
                let (at, recorded) = (needed.at(claim), *recorded);
                self.find(PrimaryFinding::BlobSize { id: *id, at, found: size, recorded });
            }
        }
        let lists = blobs.lists.par_iter();
        lists.try_for_each(|(id, list)| self.chunks(*id, list, blobs, needed.needs_blob(id)))
    }

    /// Looks for a blob that no walk came by: it is not there, or in a damaged block, or beyond one.
    fn look_up(&self, id: BlobId) -> Result<LookedUp, StoreError> {
        let mut hasher = Hasher::new();
        match self.store.copy_blob(&id, &mut hasher) {
            Ok(None) | Err(StoreError::Missing { .. }) => Ok(LookedUp::Absent),
            Ok(Some(size)) if hasher.id() == id => Ok(LookedUp::Sound(size)),
            Ok(Some(_)) => {
                self.find(PrimaryFinding::BlobDamaged { id });
                Ok(LookedUp::Damaged)
            }
            Err(StoreError::Damaged { .. } | StoreError::DamagedBlocks { .. }) => {
                self.find(PrimaryFinding::BlobUnreadable { id });
                Ok(LookedUp::Damaged)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a blob's chunks are there and make it up. A list that nothing needs may lack some: GC removes in no order.
    fn chunks(&self, blob: BlobId, list: &ChunkList, blobs: &Blobs, needed: bool) -> Result<(), StoreError> {
        let (mut hasher, mut whole) = (Hasher::new(), true);
        for chunk in list.chunks() {
            match blobs.sizes.get(&chunk.id) {
                // Told of already.
                Some(None) => whole = false,
                Some(Some(size)) if *size == u64::from(chunk.length) && !blobs.lists.contains_key(&chunk.id) => {
                    if whole {
                        self.store.copy_chunk(chunk, &mut hasher)?;
                    }
                }
                Some(Some(_)) => {
                    whole = false;
                    self.find(PrimaryFinding::ChunkLength { blob, chunk: chunk.id });
                }
                None if !self.part.holds(chunk.id.as_bytes()) => {
                    whole &= self.chunk_beside(blob, chunk, needed, &mut hasher)?;
                }
                None => {
                    whole = false;
                    if needed && self.look_up(chunk.id)? == LookedUp::Absent {
                        self.find(PrimaryFinding::ChunkMissing { blob, chunk: chunk.id });
                    }
                }
            }
            if self.progress.is_cancelled() {
                return Err(StoreError::Cancelled);
            }
        }
        if whole && hasher.id() != blob {
            self.find(PrimaryFinding::BlobDamaged { id: blob });
        }
        Ok(())
    }

    /// Reads a chunk of another part. Gives whether it is sound; that it is not is told there, that it does not fit its list is told here.
    fn chunk_beside(&self, blob: BlobId, chunk: &Chunk, needed: bool, hasher: &mut Hasher) -> Result<bool, StoreError> {
        let length = match self.store.blob(&chunk.id) {
            Ok(Some(StoredBlob::Whole(content))) if BlobId::of(&content) == chunk.id => {
                hasher.update(&content);
                content.len() as u64
            }
            Ok(Some(StoredBlob::Chunked(_))) => 0,
            Ok(None) => {
                if needed {
                    self.find(PrimaryFinding::ChunkMissing { blob, chunk: chunk.id });
                }
                return Ok(false);
            }
            Ok(Some(StoredBlob::Whole(_))) | Err(StoreError::Damaged { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let fits = length == u64::from(chunk.length);
        if !fits {
            self.find(PrimaryFinding::ChunkLength { blob, chunk: chunk.id });
        }
        Ok(fits)
    }

    /// Whether what the stat cache vouches for is stored. A record that vouches for more keeps content from being read that is not there.
    pub(super) fn stat_cache(&self, needed: &Needed, blobs: &Blobs) -> Result<(), StoreError> {
        let tree_is_there = |id: &TreeId| match needed.has_tree(id) {
            true => Ok(true),
            false => or_damaged(self.store.tree_is_there(id)),
        };
        let walked = each_stat_record(self.store, &mut |repo, dir, record| {
            let mut honest = record.tree().map_or(Ok(true), |id| tree_is_there(&id))?;
            for file in record.files() {
                let there = blobs.sizes.contains_key(&file.id) || or_damaged(self.store.blob_is_there(&file.id))?;
                honest &= there;
            }
            if !honest {
                self.find(PrimaryFinding::StatCacheLies { repo, dir });
            }
            self.step(0)
        });
        self.survive(Family::StatCache, walked)
    }
}

/// What became of a look for a single blob.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LookedUp {
    Absent,
    Sound(u64),
    /// And told of.
    Damaged,
}

/// What is damaged is there; that it is damaged is told elsewhere.
fn or_damaged(there: Result<bool, StoreError>) -> Result<bool, StoreError> {
    match there {
        Err(StoreError::Damaged { .. }) => Ok(true),
        other => other,
    }
}
