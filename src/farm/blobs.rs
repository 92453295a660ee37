//! Blob files: written, checked before they are linked, given a fresh inode when one has too many links.

use std::collections::BTreeSet;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use rayon::prelude::*;

use super::{BlobKey, BlobRecord, ChunkPlace, Farm, FarmError, blob_mtime};
use crate::disk::{Dir, DiskError, Kind, NewFile};
use crate::values::{BlobId, ChunkList, Hasher};

/// How much is copied at once, in bytes.
const COPY: usize = 128 << 10;

/// A file in `tmp/`, removed again unless it was given its place.
#[derive(Debug)]
struct Temporary<'a> {
    farm: &'a Farm,
    file: NewFile,
    name: String,
    placed: bool,
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.placed {
            // What stays is removed at the next start.
            let _ = self.farm.data.tmp.remove_file(self.name.as_str());
        }
    }
}

/// Receives the bytes of one blob. Nothing is left of it unless [`BlobWriter::finish`] is reached.
#[derive(Debug)]
pub struct BlobWriter<'a> {
    temporary: Temporary<'a>,
    hasher: Hasher,
    size: u64,
}

impl BlobWriter<'_> {
    /// Takes the next bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FarmError> {
        self.temporary.file.write(bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
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
        self.temporary.place_all(expected, executable, self.size, full)
    }
}

/// A blob in memory.
#[derive(Debug)]
pub struct WholeBlob {
    id: BlobId,
    content: Vec<u8>,
}

impl WholeBlob {
    /// The blob of this content.
    pub fn new(content: Vec<u8>) -> Self {
        Self { id: BlobId::of(&content), content }
    }

    /// Its id.
    pub fn id(&self) -> BlobId {
        self.id
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.content.len() as u64
    }
}

impl Farm {
    fn temporary_file(&self, mode: u32) -> Result<Temporary<'_>, FarmError> {
        let name = self.temporary();
        let file = NewFile::create(&self.data.tmp, name.as_str(), mode)?;
        Ok(Temporary { farm: self, file, name, placed: false })
    }

    /// Begins to write a blob.
    pub fn blob_writer(&self) -> Result<BlobWriter<'_>, FarmError> {
        Ok(BlobWriter { temporary: self.temporary_file(0o600)?, hasher: Hasher::new(), size: 0 })
    }

    /// Puts blobs in place by several threads, each as a plain file, an executable one, or both; those that are here already are left alone.
    pub fn put_blobs(&self, blobs: &[(WholeBlob, BTreeSet<bool>)]) -> Result<(), FarmError> {
        blobs.par_iter().try_for_each(|(blob, executable)| self.put_blob(blob, executable))
    }

    fn put_blob(&self, blob: &WholeBlob, executable: &BTreeSet<bool>) -> Result<(), FarmError> {
        let lacking = self.lacking_variants(blob.id, executable)?;
        let Some(first) = lacking.first() else { return Ok(()) };
        let key = BlobKey { id: blob.id, executable: *first };
        let temporary = self.temporary_file(key.mode(self.settings.file_mode))?;
        temporary.file.write(&blob.content)?;
        temporary.place_all(blob.id, &lacking, blob.size(), false)
    }

    /// Those of a blob's variants that are not here as they should be.
    pub fn lacking_variants(&self, id: BlobId, executable: &BTreeSet<bool>) -> Result<BTreeSet<bool>, FarmError> {
        let mut lacking = BTreeSet::new();
        for executable in executable.iter().copied() {
            if !self.blob_is_good(BlobKey { id, executable })? {
                lacking.insert(executable);
            }
        }
        Ok(lacking)
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

impl Temporary<'_> {
    /// Gives the verified file its place as the first of these variants, and a copy of it to the other.
    fn place_all(self, id: BlobId, executable: &BTreeSet<bool>, size: u64, full: bool) -> Result<(), FarmError> {
        let farm = self.farm;
        let mut variants = executable.iter().map(|executable| BlobKey { id, executable: *executable });
        let Some(first) = variants.next() else { return Ok(()) };
        self.place(first, size, full)?;
        variants.try_for_each(|key| farm.copy_blob(first, key))
    }

    /// Gives the verified file its mode, time and place. A file that it replaces lives on in trees when it was full of links, and is worth
    /// nothing otherwise.
    fn place(mut self, key: BlobKey, size: u64, full: bool) -> Result<(), FarmError> {
        let farm = self.farm;
        let inode = self.file.set_mode(key.mode(farm.settings.file_mode))?.inode;
        self.file.set_mtime(blob_mtime(&key.id))?;
        let vouched = farm.index.blob(key)?;
        let replaces = vouched.is_some();
        if replaces {
            // The index vouches for what stands there: there is no moment at which neither is durable.
            self.file.sync()?;
        }
        farm.data.tmp.rename(self.name.as_str(), farm.blob_dir(key)?, key.file_name().as_str())?;
        self.placed = true;
        let mut pending = farm.pending.lock().expect("no holder of this lock panics");
        let before = pending.blobs.remove(&key).or(vouched);
        let mut inodes = before.map_or_else(Vec::new, |record| record.inodes);
        if !full {
            inodes.pop();
        }
        inodes.push(inode);
        pending.distrusted.remove(&key);
        if replaces && !full {
            pending.replaced.insert(key.id);
        }
        pending.blobs.insert(key, BlobRecord { size, inodes });
        Ok(())
    }
}
