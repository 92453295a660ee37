//! What survives a power cut: written beside its place, synced, renamed into it (`storage-format.md` §9).

use std::io::Write;
use std::os::fd::AsFd;

use super::dir::Step;
use super::seam::{self, Event};
use super::{Dir, DiskError};

/// Puts `content` at `name` so that after a crash the old file or the new one is there, whole. Synced when it returns.
pub fn replace_file<N: Step + ?Sized>(dir: &Dir, name: &N, content: &[u8], mode: u32) -> Result<(), DiskError> {
    let temporary = temporary(name);
    remove_if_there(dir, &temporary)?;
    let mut file = dir.create_file(temporary.as_str(), mode)?;
    let path = dir.path_of(temporary.as_str());
    seam::allow(&path)?;
    file.write_all(content).map_err(DiskError::at("write", &path))?;
    seam::tell(Event::Changed(dir.path()));
    seam::allow(&path)?;
    file.sync_all().map_err(DiskError::at("sync", &path))?;
    seam::tell(Event::Synced(dir.path(), file.as_fd()));
    dir.rename(temporary.as_str(), dir, name)?;
    // The rename lives in the directory: without this it may be undone by a crash.
    dir.sync()
}

fn temporary<N: Step + ?Sized>(name: &N) -> String {
    format!(".{}.new", name.step().to_string_lossy())
}

/// A temporary left by a crash is in nobody's way.
fn remove_if_there(dir: &Dir, name: &str) -> Result<(), DiskError> {
    match dir.remove_file(name) {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}
