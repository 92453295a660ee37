//! A file that is only ever appended to: a log.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::DiskError;
use super::seam::{self, Event};

/// A log file. Others may not read it, its group may.
#[derive(Debug)]
pub struct AppendFile {
    file: File,
    path: PathBuf,
}

impl AppendFile {
    /// Opens the file, made first where it is missing.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path);
        let file = file.map_err(DiskError::at("open", path))?;
        seam::tell(Event::Changed(path));
        Ok(Self { file, path: path.to_owned() })
    }

    /// Appends. Not synced: a log may lose its last lines in a power cut.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        seam::allow(&self.path)?;
        self.file.write_all(bytes).map_err(DiskError::at("write to", &self.path))?;
        seam::tell(Event::Changed(&self.path));
        Ok(())
    }
}
