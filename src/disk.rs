//! The file system, through directory handles: the only place that writes to it.
//!
//! Everything goes by [`Dir`], an open directory, and one [`Name`]-sized step at a time, so that no path is ever longer than the
//! kernel takes, no link is followed unseen, and an entry cannot be swapped for another between two steps. Every error
//! names the operation and the path.
//!
//! ```text
//! dir.rs      an open directory: look, make, link, rename, remove
//! new_file.rs a file that is being made
//! durable.rs  what survives a power cut: write-then-rename, syncfs
//! lock.rs     one process at a time
//! append.rs   a log
//! cache.rs    what the kernel keeps of a file in memory
//! clock.rs    what time a file system believes it is
//! seam.rs     where tests hear of every change, and forbid it
//! faults.rs   tests only: calls that fail
//! crash.rs    tests only: what a power cut may leave
//! ```
//!
//! Deliberately absent: what the files mean; asynchronous calls (callers run this on threads that may block).

mod append;
mod cache;
mod clock;
#[cfg(test)]
pub(crate) mod crash;
mod dir;
mod durable;
mod error;
#[cfg(any(test, fuzzing))]
pub mod faults;
mod lock;
mod new_file;
pub(crate) mod seam;

pub use append::AppendFile;
pub use cache::forget_cached;
pub use clock::file_system_now;
pub use dir::{Dir, Kind, Listed, Stat, Step, stat_of};
pub use durable::replace_file;
pub use error::DiskError;
pub use lock::{Lock, LockError};
pub use new_file::NewFile;
