//! Where tests hear of every change: each call that changes the file system or a database passes here when it has returned.
//!
//! In the program this is nothing at all. In unit tests `crash.rs` listens, and learns what a power cut at this moment could leave.

use std::os::fd::BorrowedFd;
use std::path::Path;

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
