//! Reading one file that nothing vouches for into the store.
//!
//! What is read is what the walk saw: the file is looked at once more through its own handle, and as many bytes are read as it has. Whether it
//! changed meanwhile shows at the last look, which compares every entry with what the walk saw.

use std::cell::RefCell;
use std::fs::File;
use std::io::{ErrorKind, Read};

use super::IngestError;
use super::clock::Moment;
use super::node::Fingerprint;
use super::trouble::Trouble;
use super::work::Work;
use crate::disk::{self, Dir, DiskError, Stat};
use crate::store::{CachedFile, StoreError};
use crate::values::{BlobId, Entry, MAX_WHOLE_BLOB, Name, TreePath};

/// A directory whose files are read.
pub(super) struct Reader<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) moment: &'a Moment,
    pub(super) dir: &'a Dir,
    /// Where it lies.
    pub(super) path: &'a TreePath,
    /// Its device; files of another one are not cached.
    pub(super) device: u64,
}

thread_local! {
    /// Room for the content of one file: the largest that this thread has read, at most [`MAX_WHOLE_BLOB`].
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Reader<'_> {
    /// Reads the file `name`, which must look as it did when `expected` was taken, into the store. Gives its entry, and what to cache of it.
    pub(super) fn read(&self, name: &Name, expected: Fingerprint) -> Result<(Entry, Option<CachedFile>), Trouble> {
        let path = self.path.join(name);
        let mut file = self.dir.open_file(name).map_err(|error| Trouble::at(&path, error))?;
        let before = self.moment.before();
        let stat = disk::stat_of(&file).map_err(DiskError::at("look at", &self.dir.path_of(name)))?;
        let stat = self.work.clock.seen(stat);
        if self.work.prints.of(&stat) != expected {
            return Err(Trouble::changed(&path));
        }
        let id = self.store(&mut file, &stat, &path)?;
        let Stat { device, inode, size, mtime, ctime, mode, .. } = stat;
        let may_be_cached = before.vouches_for(&stat) && device == self.device;
        let cached = may_be_cached.then(|| CachedFile { name: name.clone(), inode, size, mtime, ctime, mode, id });
        Ok((Entry::File { id, executable: executable(&stat), size }, cached))
    }

    /// Stores the content of a file, which must be as long as its stat says. One that grows shows at the last look.
    fn store(&self, file: &mut File, stat: &Stat, path: &TreePath) -> Result<BlobId, Trouble> {
        let failed = |source| IngestError::Read { path: path.clone(), source };
        let guard = self.work.guard;
        if stat.size > MAX_WHOLE_BLOB as u64 {
            let written = guard.write_blob(&mut file.take(stat.size)).map_err(|error| match error {
                StoreError::Content(source) => failed(source),
                other => other.into(),
            })?;
            return if written.size == stat.size { Ok(written.id) } else { Err(Trouble::changed(path)) };
        }
        BUFFER.with_borrow_mut(|buffer| {
            let size = stat.size as usize;
            if buffer.len() < size {
                buffer.resize(size, 0);
            }
            let content = &mut buffer[..size];
            match file.read_exact(content) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(Trouble::changed(path)),
                other => other.map_err(failed)?,
            }
            self.work.warnings.content(path, content);
            Ok(guard.write_whole_blob(content)?.id)
        })
    }
}

/// Whether the owner may execute it.
pub(super) fn executable(stat: &Stat) -> bool {
    stat.mode & 0o100 != 0
}
