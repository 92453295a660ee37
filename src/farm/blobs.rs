//! Blob files: written, checked before they are linked, given a fresh inode when one has too many links.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use super::{BlobKey, BlobRecord, ChunkPlace, Farm, FarmError, blob_mtime};
use crate::disk::seam::{self, Event};
use crate::disk::{Dir, DiskError, Kind};
use crate::values::{BlobId, ChunkList, Hasher};

/// How much is copied at once, in bytes.
const COPY: usize = 128 << 10;

/// Receives the bytes of one blob. Nothing is left of it unless [`BlobWriter::finish`] is reached.
#[derive(Debug)]
pub struct BlobWriter<'a> {
    farm: &'a Farm,
    file: File,
    name: String,
    hasher: Hasher,
    size: u64,
}

impl BlobWriter<'_> {
    /// Takes the next bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FarmError> {
        let path = self.farm.data.tmp.path_of(self.name.as_str());
        seam::allow(&path)?;
        self.file.write_all(bytes).map_err(DiskError::at("write", &path))?;
        seam::tell(Event::Changed(&path));
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// How many bytes were taken.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Checks that the bytes are those of `expected`, and puts them in place: as a plain file, an executable one, or both.
    pub fn finish(self, expected: BlobId, executable: &BTreeSet<bool>) -> Result<(), FarmError> {
        self.finish_as(expected, executable, false)
    }

    fn finish_as(self, expected: BlobId, executable: &BTreeSet<bool>, full: bool) -> Result<(), FarmError> {
        let found = self.hasher.id();
        if found != expected {
            return Err(FarmError::WrongContent { expected, found });
        }
        let mut variants = executable.iter().map(|executable| BlobKey { id: expected, executable: *executable });
        let Some(first) = variants.next() else { return Ok(()) };
        self.farm.place(&self.name, first, self.size, full)?;
        variants.try_for_each(|key| self.farm.copy_blob(first, key))
    }
}

impl Drop for BlobWriter<'_> {
    fn drop(&mut self) {
        // After `finish` it has its own name, and this finds nothing.
        let _ = self.farm.data.tmp.remove_file(self.name.as_str());
    }
}

impl Farm {
    /// Begins to write a blob.
    pub fn blob_writer(&self) -> Result<BlobWriter<'_>, FarmError> {
        let name = self.temporary();
        let file = self.data.tmp.create_file(name.as_str(), 0o600)?;
        Ok(BlobWriter { farm: self, file, name, hasher: Hasher::new(), size: 0 })
    }

    /// Remembers how a blob that was written is made up, so that the next version of it can be put together from its chunks.
    pub fn note_chunks(&self, id: BlobId, executable: bool, chunks: ChunkList) {
        let mut pending = self.pending.lock().expect("no holder of this lock panics");
        pending.chunked.push((BlobKey { id, executable }, chunks));
    }

    /// The bytes of a chunk that some blob file holds; `None` where they are not what the chunk's id says.
    pub fn read_chunk(&self, id: BlobId, place: ChunkPlace) -> Result<Option<Vec<u8>>, FarmError> {
        let file = match self.blob_dir(place.blob)?.open_file(place.blob.file_name().as_str()) {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        let mut bytes = vec![0; place.length as usize];
        match file.read_exact_at(&mut bytes, place.offset) {
            Ok(()) if BlobId::of(&bytes) == id => Ok(Some(bytes)),
            _ => Ok(None),
        }
    }

    /// The directory below `blobs/` that holds a blob file, made at its first use.
    pub(super) fn blob_dir(&self, key: BlobKey) -> Result<&Dir, FarmError> {
        let slot = &self.blob_dirs[usize::from(key.shard())];
        if let Some(dir) = slot.get() {
            return Ok(dir);
        }
        let dir = self.blobs.open_or_make_dir(key.dir_name().as_str(), 0o700)?;
        Ok(slot.get_or_init(|| dir))
    }

    /// What is known of a blob file, durable or not yet.
    pub(super) fn blob_record(&self, key: BlobKey) -> Result<Option<BlobRecord>, FarmError> {
        let pending = self.pending.lock().expect("no holder of this lock panics").blobs.get(&key).cloned();
        match pending {
            Some(record) => Ok(Some(record)),
            None => self.index.blob(key),
        }
    }

    /// Whether the blob file is in its place and looks as it was written: kind, size, mtime, mode and inode. An edit in place shows in
    /// one of them; damage of the disk does not, which is what `fsck` is for.
    pub fn blob_is_good(&self, key: BlobKey) -> Result<bool, FarmError> {
        if self.pending.lock().expect("no holder of this lock panics").distrusted.contains(&key) {
            return Ok(false);
        }
        let Some(record) = self.blob_record(key)? else { return Ok(false) };
        let stat = self.blob_dir(key)?.stat_if_there(key.file_name().as_str())?;
        Ok(stat.is_some_and(|stat| {
            stat.kind == Kind::File
                && stat.size == record.size
                && stat.mtime == blob_mtime(&key.id)
                && stat.mode == key.mode(self.settings.file_mode)
                && record.inodes.last() == Some(&stat.inode)
        }))
    }

    /// Makes the blob file `to` from another with the same content, where that one is good.
    pub fn copy_variant(&self, to: BlobKey) -> Result<bool, FarmError> {
        let from = BlobKey { executable: !to.executable, ..to };
        if !self.blob_is_good(from)? {
            return Ok(false);
        }
        match self.copy_blob(from, to) {
            Ok(()) => Ok(true),
            Err(FarmError::WrongContent { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes `to` with the bytes of the file of `from`, verified on the way.
    pub(super) fn copy_blob(&self, from: BlobKey, to: BlobKey) -> Result<(), FarmError> {
        let mut source = self.blob_dir(from)?.open_file(from.file_name().as_str())?;
        let path = self.blob_dir(from)?.path_of(from.file_name().as_str());
        let mut writer = self.blob_writer()?;
        source.seek(SeekFrom::Start(0)).map_err(DiskError::at("read", &path))?;
        let mut buffer = vec![0; COPY];
        loop {
            let count = source.read(&mut buffer).map_err(DiskError::at("read", &path))?;
            if count == 0 {
                return writer.finish_as(to.id, &BTreeSet::from([to.executable]), from == to);
            }
            writer.write(&buffer[..count])?;
        }
    }

    /// Gives the verified file `name` of `tmp/` its mode, time and place. A file that it replaces lives on in trees when it was full of
    /// links, and is worth nothing otherwise.
    fn place(&self, name: &str, key: BlobKey, size: u64, full: bool) -> Result<(), FarmError> {
        let tmp = &self.data.tmp;
        tmp.set_mode(name, key.mode(self.settings.file_mode))?;
        tmp.set_mtime(name, blob_mtime(&key.id))?;
        let inode = tmp.stat(name)?.inode;
        let before = self.blob_record(key)?;
        let replaces = self.index.blob(key)?.is_some();
        if replaces {
            // The index vouches for what stands there: there is no moment at which neither is durable.
            tmp.sync_file(name)?;
        }
        tmp.rename(name, self.blob_dir(key)?, key.file_name().as_str())?;
        let mut inodes = before.map_or_else(Vec::new, |record| record.inodes);
        if !full {
            inodes.pop();
        }
        inodes.push(inode);
        let mut pending = self.pending.lock().expect("no holder of this lock panics");
        pending.distrusted.remove(&key);
        if replaces && !full {
            pending.replaced.insert(key.id);
        }
        pending.blobs.insert(key, BlobRecord { size, inodes });
        Ok(())
    }

    /// Makes `name` in `dir` a hard link to the blob file. Where that has as many links as the file system allows, it gets a fresh
    /// inode first, which takes over for later links.
    pub(super) fn link_blob(&self, key: BlobKey, dir: &Dir, name: &crate::values::Name) -> Result<(), FarmError> {
        let (blobs, file) = (self.blob_dir(key)?, key.file_name());
        match blobs.link(file.as_str(), dir, name) {
            Err(error) if error.is_too_many_links() => {}
            Err(error) if error.is_not_found() => return Err(FarmError::BlobMissing(key.id)),
            other => return Ok(other?),
        }
        let _renewing = self.renewal.lock().expect("no holder of this lock panics");
        // Another thread may have renewed it while this one waited.
        match blobs.link(file.as_str(), dir, name) {
            Err(error) if error.is_too_many_links() => {
                self.copy_blob(key, key)?;
                Ok(blobs.link(file.as_str(), dir, name)?)
            }
            other => Ok(other?),
        }
    }
}
