//! A failed operation, with what it was done to.

use std::io;
use std::path::{Path, PathBuf};

/// An operation on the file system that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", path.display())]
pub struct DiskError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl DiskError {
    /// `operation` (a verb: "open", "link") on `path` failed with `source`.
    pub fn new(operation: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self { operation, path: path.into(), source: source.into() }
    }

    /// For `map_err`: turns an I/O error into one that names its operation and path.
    pub fn at<E: Into<io::Error>>(operation: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        move |source| Self::new(operation, path, source)
    }

    /// What the operation was done to.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the system said.
    pub fn io(&self) -> &io::Error {
        &self.source
    }

    /// Whether the thing is not there.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// Whether something stands there already.
    pub fn is_already_there(&self) -> bool {
        self.source.kind() == io::ErrorKind::AlreadyExists
    }

    /// Whether the file system has no room, or the user no quota, left.
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// Whether a file has as many links as its file system allows.
    pub fn is_too_many_links(&self) -> bool {
        self.source.kind() == io::ErrorKind::TooManyLinks
    }
}
