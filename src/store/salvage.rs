//! A new store of what can still be read of one that RocksDB refuses to open, or to go on with.
//!
//! The old one is never written to: what RocksDB changes while it tries to read it are links to its files, in `tmp/`. Objects are taken
//! only where they hash to their ids; what ingest knew of staging is left behind, for it is a cache.
//!
//! ```text
//! tmp/damaged    links to all files of the old store but its log: opened as it is, where that works
//! tmp/tables     links to its tables: RocksDB's own repair takes in what it can read, without the list of tables
//! tmp/rebuilt    the new store, which takes the old one's place in one exchange
//! ```
//!
//! The log is newer than the tables, and read by itself (`salvage/wal.rs`).
//!
//! Deliberately absent: what the heads should be where they are lost, and filling gaps from staging, which are ingest's.

mod wal;

use std::collections::HashSet;

use rocksdb::{ColumnFamily, DB, WriteBatch};

pub(super) use wal::Logs;

use super::family::{self, Family};
use super::write::Sync;
use super::{ReadStore, Store, StoreError};
use crate::codec::{BlobRecord, decode_blob_record, decode_commit, decode_tree};
use crate::datadir::DataDir;
use crate::disk::Dir;
use crate::progress::Progress;
use crate::values::{BlobId, CommitId, Entry, TreeId};

/// The name that the old store has when the new one has taken its place.
pub const DAMAGED: &str = "store.damaged";

const STORE: &str = "store";
const REBUILT: &str = "rebuilt";

/// How many bytes go into one write.
const BATCH_BYTES: usize = 1 << 20;

/// What was saved, and what was not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Saved {
    /// Blobs and chunks.
    pub blobs: u64,
    /// Trees.
    pub trees: u64,
    /// Commits.
    pub commits: u64,
    /// Records that could be read, and are not what their ids say.
    pub wrong: u64,
    /// Whether the database's list of its tables could be read.
    pub list_read: bool,
    /// How many stretches of its tables could not.
    pub gaps: u64,
    /// Whether something in its log could not.
    pub log_has_gap: bool,
}

/// A store that was made anew, and does not yet stand in its place.
#[derive(Debug)]
pub struct Salvage<'a> {
    data: &'a DataDir,
    store: Store,
    pub(super) saved: Saved,
}

impl<'a> Salvage<'a> {
    /// Saves what can be read of the store of this data directory.
    pub fn new(data: &'a DataDir, progress: &Progress) -> Result<Self, StoreError> {
        // Emptied again, should an earlier try have failed half-way.
        data.tmp.remove_contents()?;
        data.tmp.make_dir(REBUILT, 0o700)?;
        let path = data.tmp.path_of(REBUILT);
        let store =
            Store::of(DB::open_cf_descriptors(&family::database_options(), &path, family::descriptors()), &path)?;
        let mut saver = Saver { store: &store, progress, batch: WriteBatch::default(), saved: Saved::default() };
        let sources = sources(data, &mut saver.saved)?;
        progress.expect(sources.iter().flat_map(estimates).sum(), 0);
        for source in &sources {
            saver.copy(source)?;
        }
        saver.replay(&Logs::read(&data.dir.open_dir(STORE)?)?)?;
        saver.copy_named(&sources)?;
        let saved = saver.saved;
        Ok(Self { data, store, saved })
    }

    /// The new store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Puts the new store in the place of the old one, which is kept beside it as [`DAMAGED`]. A crash leaves one or the other in place.
    pub fn put_in_place(self) -> Result<Saved, StoreError> {
        let Self { data, store, saved } = self;
        for family in Family::ALL {
            let flushed = store.db.flush_cf(family.handle(&store.db));
            flushed.map_err(|source| StoreError::Write { family, source })?;
        }
        drop(store);
        data.dir.sync_file_system()?;
        data.tmp.exchange(REBUILT, &data.dir, STORE)?;
        data.dir.remove_all(DAMAGED)?;
        data.tmp.rename(REBUILT, &data.dir, DAMAGED)?;
        data.tmp.remove_contents()?;
        data.dir.sync()?;
        Ok(saved)
    }
}

/// The databases in which the old store's tables can be read: it itself, without its log, or else what RocksDB's repair makes of them.
fn sources(data: &DataDir, saved: &mut Saved) -> Result<Vec<DB>, StoreError> {
    let old = data.dir.open_dir(STORE)?;
    let whole = link(&old, &data.tmp, "damaged", |name| !name.ends_with(".log"))?;
    if let Ok(found) = open_lenient(&whole) {
        saved.list_read = true;
        return Ok(vec![found]);
    }
    let tables = link(&old, &data.tmp, "tables", |name| name.ends_with(".sst"))?;
    // Its own options: with ours it would make families anew.
    let repaired = DB::repair(&rocksdb::Options::default(), tables.path()).and_then(|()| open_lenient(&tables));
    // Tables that not even the repair can read hold nothing for anybody.
    Ok(repaired.into_iter().collect())
}

/// About how many records of each family can be read there.
fn estimates(source: &DB) -> impl Iterator<Item = u64> {
    Family::ALL.into_iter().filter(|family| *family != Family::StatCache).filter_map(|family| {
        let handle = source.cf_handle(family.name())?;
        source.property_int_value_cf(handle, "rocksdb.estimate-num-keys").ok()?
    })
}

/// Opens a copy with whatever families it has.
fn open_lenient(dir: &Dir) -> Result<DB, rocksdb::Error> {
    let mut options = family::database_options();
    options.create_if_missing(false);
    options.create_missing_column_families(false);
    options.set_paranoid_checks(false);
    let names = DB::list_cf(&options, dir.path())?;
    let descriptors = family::descriptors().into_iter().filter(|family| names.iter().any(|name| name == family.name()));
    DB::open_cf_descriptors_read_only(&options, dir.path(), descriptors, false)
}

/// A new directory of `tmp`, with links to the files of another whose names are wanted.
fn link(from: &Dir, tmp: &Dir, name: &str, wanted: impl Fn(&str) -> bool) -> Result<Dir, StoreError> {
    tmp.make_dir(name, 0o700)?;
    let to = tmp.open_dir(name)?;
    for listed in from.list()? {
        if std::str::from_utf8(listed.name.as_bytes()).is_ok_and(|name| name != "LOCK" && wanted(name)) {
            from.link(&listed.name, &to, &listed.name)?;
        }
    }
    Ok(to)
}

/// Writes what is read into the new store.
struct Saver<'a> {
    store: &'a Store,
    progress: &'a Progress,
    batch: WriteBatch,
    saved: Saved,
}

impl Saver<'_> {
    fn copy(&mut self, source: &DB) -> Result<(), StoreError> {
        for family in Family::ALL.into_iter().filter(|family| *family != Family::StatCache) {
            if let Some(handle) = source.cf_handle(family.name()) {
                self.copy_family(source, family, handle)?;
            }
        }
        Ok(())
    }

    /// Reads a family; beyond what cannot be read it goes on at keys that begin with the next two bytes.
    fn copy_family(&mut self, source: &DB, family: Family, handle: &ColumnFamily) -> Result<(), StoreError> {
        let mut begin = Some(Vec::new());
        while let Some(from) = begin.take() {
            let mut records = source.raw_iterator_cf(handle);
            records.seek(&from);
            let mut last = from;
            while let Some((key, value)) = records.item() {
                last = key.to_vec();
                self.take(family, key, value)?;
                records.next();
            }
            if records.status().is_err() {
                self.saved.gaps += 1;
                begin = after(&last);
            }
        }
        self.write(family)
    }

    /// Writes what the log says, which is newer than what the tables do. That an object was removed is GC's to find out again.
    fn replay(&mut self, logs: &Logs) -> Result<(), StoreError> {
        self.saved.log_has_gap = logs.has_gap;
        for (number, key, value) in logs.records.iter().flat_map(|record| wal::writes(record)) {
            // RocksDB's default family is number 0; ours were made after it, in their order.
            let position = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
            let Some(family) = position.and_then(|at| Family::ALL.get(at).copied()) else { continue };
            match value {
                _ if family == Family::StatCache => {}
                Some(value) => self.take(family, &key, &value)?,
                None if matches!(family, Family::Blobs | Family::Trees | Family::Commits) => {}
                None => self.batch.delete_cf(family.handle(&self.store.db), &key),
            }
        }
        self.write(Family::Meta)
    }

    fn take(&mut self, family: Family, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if self.progress.is_cancelled() {
            return Err(StoreError::Cancelled);
        }
        self.progress.advance(1, value.len() as u64);
        if !is_right(family, key, value) {
            self.saved.wrong += 1;
            return Ok(());
        }
        match family {
            Family::Blobs => self.saved.blobs += 1,
            Family::Trees => self.saved.trees += 1,
            Family::Commits => self.saved.commits += 1,
            _ => {}
        }
        self.batch.put_cf(family.handle(&self.store.db), key, value);
        if self.batch.size_in_bytes() >= BATCH_BYTES { self.write(family) } else { Ok(()) }
    }

    fn write(&mut self, family: Family) -> Result<(), StoreError> {
        self.store.write(family, std::mem::take(&mut self.batch), Sync::Later)
    }

    /// Looks for what saved commits name and no walk came by: it may lie in a gap, and be readable by its name.
    fn copy_named(&mut self, sources: &[DB]) -> Result<(), StoreError> {
        let mut trees = Vec::new();
        self.store.each_record(Family::Commits, &mut |_, value| {
            trees.extend(decode_commit(value).map(|commit| commit.root.id));
            Ok(())
        })?;
        let mut seen = HashSet::new();
        while let Some(id) = trees.pop() {
            if !seen.insert(id) {
                continue;
            }
            if self.progress.is_cancelled() {
                return Err(StoreError::Cancelled);
            }
            self.look_up(sources, Family::Trees, id.as_bytes())?;
            let Some(tree) = self.store.tree(&id)? else { continue };
            for (_, entry) in tree.entries() {
                match entry {
                    Entry::Tree(subtree) => trees.push(subtree.id),
                    Entry::File { id, .. } => self.look_up_blob(sources, id)?,
                    Entry::Symlink(_) => {}
                }
            }
        }
        Ok(())
    }

    fn look_up_blob(&mut self, sources: &[DB], id: &BlobId) -> Result<(), StoreError> {
        self.look_up(sources, Family::Blobs, id.as_bytes())?;
        if let Some(super::StoredBlob::Chunked(list)) = self.store.blob(id)? {
            for chunk in list.chunks() {
                self.look_up(sources, Family::Blobs, chunk.id.as_bytes())?;
            }
        }
        Ok(())
    }

    fn look_up(&mut self, sources: &[DB], family: Family, key: &[u8]) -> Result<(), StoreError> {
        let handle = family.handle(&self.store.db);
        let there =
            self.store.db.get_pinned_cf(handle, key).map_err(|error| StoreError::reading(family, key, error))?;
        if there.is_some() {
            return Ok(());
        }
        for source in sources {
            let Some(handle) = source.cf_handle(family.name()) else { continue };
            if let Ok(Some(value)) = source.get_pinned_cf(handle, key) {
                self.take(family, key, &value)?;
            }
        }
        self.write(family)
    }
}

/// Whether a record is what its key says. Of a chunked blob its list; its chunks stand for themselves.
fn is_right(family: Family, key: &[u8], value: &[u8]) -> bool {
    match family {
        Family::Blobs => match decode_blob_record(value) {
            Ok(BlobRecord::Whole(content)) => BlobId::of(content).as_bytes() == key,
            Ok(BlobRecord::Chunked(_)) => key.len() == 32,
            Err(_) => false,
        },
        Family::Trees => TreeId::of(value).as_bytes() == key && decode_tree(value).is_ok(),
        Family::Commits => CommitId::of(value).as_bytes() == key && decode_commit(value).is_ok(),
        Family::Heads => value.len() == 32,
        Family::Tags | Family::StatCache | Family::Clients | Family::Meta => true,
    }
}

/// The first key that begins with two bytes greater than this one's; `None` where there can be none.
fn after(key: &[u8]) -> Option<Vec<u8>> {
    let byte = |at: usize| key.get(at).copied().unwrap_or(0);
    let next = u16::from_be_bytes([byte(0), byte(1)]).checked_add(1)?;
    Some(next.to_be_bytes().to_vec())
}
