//! Whether a piece on disk, a shared tree or a generation's root, is what its tree says. Only looks; for `fsck`, and before a repair.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::sync::Arc;

use rayon::prelude::*;

use super::shape::Shape;
use super::{BlobKey, blob_mtime};
use crate::disk::{Dir, DiskError, Kind, Stat};
use crate::progress::Progress;
use crate::values::{Entry, MAX_DEPTH, Name, Tree, TreeId, TreePath};

/// Directories with more files than this below them are looked at by several threads.
const WORTH_SHARING: u64 = 512;

/// The mode of every directory in a piece.
const DIRECTORY: u32 = 0o755;

/// How an entry differs from what its tree says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deviation {
    /// It is not there.
    Missing,
    /// The tree does not have it.
    Foreign,
    /// It is of another kind.
    Kind,
    /// It is a file of another inode than its blob file ever had.
    NotTheBlob(BlobKey),
    /// It is a file of an inode that the blob file had: good if its content, mode and time are.
    Retired(BlobKey, Stat),
    /// It should be an empty file, and is not empty.
    NotEmpty(BlobKey),
    /// Its permission bits are wrong.
    Mode {
        /// What they are.
        found: u32,
        /// What they should be.
        wanted: u32,
    },
    /// Its time is wrong.
    Time,
    /// It is a link that leads elsewhere.
    Retargeted {
        /// Its text.
        found: Vec<u8>,
        /// What that should be.
        wanted: Vec<u8>,
    },
}

/// What an inode is to a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inode {
    /// The blob file's own.
    Own,
    /// One that the blob file had before.
    Retired,
    /// Another.
    Foreign,
    /// Nothing is known of the blob.
    Unknown,
}

/// What an inspection knows, and whom it tells.
pub struct Inspection<'a> {
    /// The tree objects. What lies below one that is not known is not looked at.
    pub tree: &'a (dyn Fn(&TreeId) -> Option<Arc<Tree>> + Sync),
    /// What an inode is to a blob.
    pub inode: &'a (dyn Fn(BlobKey, u64) -> Inode + Sync),
    /// Permission bits that files have at most.
    pub file_mode: u32,
    /// Told of each entry that is not as it should be, by its path in the piece.
    pub tell: &'a (dyn Fn(TreePath, Deviation) + Sync),
    /// Counts entries; may end the inspection.
    pub progress: &'a Progress,
}

impl Inspection<'_> {
    /// Looks at the piece in `dir`, whose content should be that of `tree`. Gives the number of its entries.
    pub fn piece(&self, dir: &Dir, tree: TreeId, shape: &Shape<'_>) -> Result<u64, DiskError> {
        self.directory(dir, tree, &TreePath::root(), shape)
    }

    fn directory(&self, dir: &Dir, id: TreeId, here: &TreePath, shape: &Shape<'_>) -> Result<u64, DiskError> {
        let mode = dir.stat_self()?.mode;
        if mode != DIRECTORY {
            (self.tell)(here.clone(), Deviation::Mode { found: mode, wanted: DIRECTORY });
        }
        let Some(tree) = (self.tree)(&id) else { return Ok(0) };
        if here.depth() > MAX_DEPTH || self.progress.is_cancelled() {
            return Ok(0);
        }
        self.foreign(dir, &tree, here)?;
        let mut directories = Vec::new();
        for (name, entry) in tree.entries() {
            match entry {
                Entry::File { id, executable, size } => {
                    let key = BlobKey { id: *id, executable: *executable };
                    self.file(dir, name, key, *size, here)?;
                }
                Entry::Symlink(target) => self.link(dir, name, shape.link_text(here, name, target), here)?,
                Entry::Tree(subtree) => match shape.shared_link(&here.join(name)) {
                    Some(text) => self.link(dir, name, &text, here)?,
                    None => directories.push((name, subtree.id)),
                },
            }
        }
        let descend = |(name, id): &(&Name, TreeId)| match dir.open_dir(*name) {
            Ok(below) => self.directory(&below, *id, &here.join(name), shape),
            Err(error) => self.no_directory(dir, name, here, error).map(|()| 0),
        };
        let below: u64 = if tree.totals().files > WORTH_SHARING {
            directories.par_iter().map(descend).try_reduce(|| 0, |a, b| Ok(a + b))?
        } else {
            directories.iter().map(descend).sum::<Result<u64, _>>()?
        };
        Ok(below + tree.entries().len() as u64)
    }

    fn foreign(&self, dir: &Dir, tree: &Tree, here: &TreePath) -> Result<(), DiskError> {
        let known: HashSet<&Name> = tree.entries().iter().map(|(name, _)| name).collect();
        for listed in dir.list()? {
            if !known.contains(&listed.name) {
                (self.tell)(here.join(&listed.name), Deviation::Foreign);
            }
        }
        Ok(())
    }

    fn file(&self, dir: &Dir, name: &Name, key: BlobKey, size: u64, here: &TreePath) -> Result<(), DiskError> {
        let tell = |deviation| (self.tell)(here.join(name), deviation);
        let Some(stat) = dir.stat_if_there(name)? else {
            tell(Deviation::Missing);
            return Ok(());
        };
        if stat.kind != Kind::File {
            tell(Deviation::Kind);
        } else if size > 0 {
            match (self.inode)(key, stat.inode) {
                Inode::Own | Inode::Unknown => {}
                Inode::Retired => tell(Deviation::Retired(key, stat)),
                Inode::Foreign => tell(Deviation::NotTheBlob(key)),
            }
        } else if stat.size > 0 {
            tell(Deviation::NotEmpty(key));
        } else {
            self.metadata(key, &stat, &mut |deviation| tell(deviation));
        }
        Ok(())
    }

    /// Whether a file of this content has the mode and time that its content gives it.
    pub fn metadata(&self, key: BlobKey, stat: &Stat, tell: &mut dyn FnMut(Deviation)) {
        let wanted = key.mode(self.file_mode);
        if stat.mode != wanted {
            tell(Deviation::Mode { found: stat.mode, wanted });
        }
        if stat.mtime != blob_mtime(&key.id) {
            tell(Deviation::Time);
        }
    }

    fn link(&self, dir: &Dir, name: &Name, wanted: &[u8], here: &TreePath) -> Result<(), DiskError> {
        let deviation = match dir.read_link(name) {
            Ok(found) if found == wanted => return Ok(()),
            Ok(found) => Deviation::Retargeted { found, wanted: wanted.to_vec() },
            Err(error) if error.is_not_found() => Deviation::Missing,
            Err(error) if error.io().kind() == ErrorKind::InvalidInput => Deviation::Kind,
            Err(error) => return Err(error),
        };
        (self.tell)(here.join(name), deviation);
        Ok(())
    }

    /// A directory that does not open: it is not there, or something else.
    fn no_directory(&self, dir: &Dir, name: &Name, here: &TreePath, error: DiskError) -> Result<(), DiskError> {
        let deviation = match dir.stat_if_there(name)? {
            None => Deviation::Missing,
            Some(stat) if stat.kind != Kind::Dir => Deviation::Kind,
            Some(_) => return Err(error),
        };
        (self.tell)(here.join(name), deviation);
        Ok(())
    }
}
