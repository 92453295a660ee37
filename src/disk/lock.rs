//! One process at a time: a kernel lock, which a killed process cannot leave behind.

use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::seam::{self, Event};
use super::{Dir, DiskError};

/// Held for as long as this value lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{} is in use by another sceneshift process", directory.display())]
    Held {
        /// The directory that is locked.
        directory: PathBuf,
    },
    /// The lock's file could not be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Lock {
    /// Takes the lock of `dir`, without waiting.
    pub fn take(dir: &Dir) -> Result<Self, LockError> {
        let path = dir.path_of("LOCK");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            // Who can open a file can lock it: a reader of the farm could keep the daemon from starting.
            .mode(0o600)
            .open(&path)
            .map_err(DiskError::at("open", &path))?;
        seam::tell(Event::Changed(dir.path()));
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held { directory: dir.path().to_owned() }),
            Err(TryLockError::Error(error)) => Err(DiskError::new("lock", &path, error).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_refused_until_the_first_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open(folder.path()).unwrap();
        let held = Lock::take(&dir).unwrap();
        assert!(matches!(Lock::take(&dir), Err(LockError::Held { .. })));
        drop(held);
        assert!(Lock::take(&dir).is_ok());
    }
}
