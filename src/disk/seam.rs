//! Where tests hear of every change, and forbid it: each call that changes the file system or a database passes here before it is made, and
//! when it has returned.
//!
//! In the program this is nothing at all. In unit tests `crash.rs` listens, and learns what a power cut at this moment could leave; there and in
//! fuzzing `faults.rs` makes calls fail.

use std::os::fd::BorrowedFd;
use std::path::Path;

#[cfg(not(any(test, fuzzing)))]
use super::DiskError;

/// What has just happened. Each path tells which data directory it belongs to.
#[cfg_attr(not(test), expect(dead_code, reason = "nobody listens outside tests"))]
#[derive(Clone, Copy)]
pub(crate) enum Event<'a> {
    /// Something at, or below, this path may have changed.
    Changed(&'a Path),
    /// This open file's content, or this open directory's entries, are durable.
    Synced(&'a Path, BorrowedFd<'a>),
    /// Everything on this path's file system is durable.
    FileSystemSynced(&'a Path),
    /// Something was written to the database in this directory.
    Database {
        /// The database's directory.
        path: &'a Path,
        /// Whether it is durable, with all that was written there before.
        synced: bool,
    },
}

/// Says so to whoever listens.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn tell(_: Event<'_>) {}

#[cfg(test)]
pub(crate) use super::crash::tell;

/// Asked before a change at `path`, or below: an error is what the system would have said.
#[cfg(not(any(test, fuzzing)))]
#[inline(always)]
pub(crate) fn allow(_: &Path) -> Result<(), DiskError> {
    Ok(())
}

#[cfg(any(test, fuzzing))]
pub(crate) use super::faults::allow;
