//! A file that is being made. What it gets, it gets by its own handle: looking its name up for each call cost more than the calls.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;

use nix::sys::stat::Mode;
use nix::sys::time::TimeSpec;

use super::seam::{self, Event};
use super::{Dir, DiskError, Stat, Step, stat_of};

/// A file that did not exist before, open for writing.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    path: PathBuf,
}

impl NewFile {
    /// Makes the file `name` in `dir`, which must not exist. The process's umask applies to `mode`, which may forbid others to write it.
    pub fn create<N: Step + ?Sized>(dir: &Dir, name: &N, mode: u32) -> Result<Self, DiskError> {
        Ok(Self { file: dir.create_file(name, mode)?, path: dir.path_of(name) })
    }

    /// Makes a call that changes the file.
    fn change<E: Into<std::io::Error>>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&File) -> Result<(), E>,
    ) -> Result<(), DiskError> {
        seam::allow(&self.path)?;
        let outcome = call(&self.file).map_err(DiskError::at(operation, &self.path));
        seam::tell(Event::Changed(&self.path));
        outcome
    }

    /// Adds bytes.
    pub fn write(&self, bytes: &[u8]) -> Result<(), DiskError> {
        self.change("write", |mut file| file.write_all(bytes))
    }

    /// Sets its permission bits, where it has others. Gives what a look at it showed before that.
    pub fn set_mode(&self, mode: u32) -> Result<Stat, DiskError> {
        let stat = stat_of(&self.file).map_err(DiskError::at("look at", &self.path))?;
        if stat.mode != mode {
            self.change("set the mode of", |file| nix::sys::stat::fchmod(file, Mode::from_bits_truncate(mode)))?;
        }
        Ok(stat)
    }

    /// Sets its mtime and atime, in nanoseconds since 1970.
    pub fn set_mtime(&self, mtime: i64) -> Result<(), DiskError> {
        let time = TimeSpec::new(mtime.div_euclid(1_000_000_000), mtime.rem_euclid(1_000_000_000));
        self.change("set the time of", |file| nix::sys::stat::futimens(file, &time, &time))
    }

    /// Makes it durable, with its mode and time; its name is its directory's.
    pub fn sync(&self) -> Result<(), DiskError> {
        seam::allow(&self.path)?;
        self.file.sync_all().map_err(DiskError::at("sync", &self.path))?;
        seam::tell(Event::Synced(&self.path, self.file.as_fd()));
        Ok(())
    }
}
